package policies

import (
	"math"

	"github.com/warmlane/warmlane/balancer"
)

// llmd is llm-d's optimised baseline: endpoints that hold nearly all of the prompt, of those the one with the fewest
// uncached tokens before their first token; a valve opens the choice when the holders are far behind.
type llmd struct {
	threshold, tau float64
}

func newLLMD(p *params) balancer.Policy {
	return llmd{
		threshold: p.number("threshold", 0.8, 0.01, 1),
		tau:       p.number("tau", 286_720, 0, 1e9), // 18 s at 15,928 tokens a second, Qwen3-32B on two H100
	}
}

func (llmd) Name() string { return "llmd" }

func (l llmd) Pick(v *balancer.View) (best, runnerUp int) {
	holder, coldest := math.Inf(1), math.Inf(1)
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = c.Pending + v.Tokens - held(v, c) + failCount*c.Failing*v.Tokens
		if l.holds(v, c) {
			holder = min(holder, c.Pending)
		}
		coldest = min(coldest, c.Pending)
	}
	if holder-coldest > l.tau { // also without any holder
		return lowest(v)
	}
	for i := range v.Candidates {
		if c := &v.Candidates[i]; !l.holds(v, c) {
			c.Cost += barred
		}
	}
	return lowest(v)
}

// holds tells whether c has enough of the prompt's full blocks to be preferred for them.
func (l llmd) holds(v *balancer.View, c *balancer.Candidate) bool {
	return c.Blocks > 0 && !sick(c) && float64(c.Blocks) >= l.threshold*float64(len(v.Blocks))
}

package policies

import (
	"math"

	"github.com/warmlane/warmlane/balancer"
)

// cacheAware is the rule of that name in the SGLang router family, with the defaults of its command line: the least
// loaded holder of the longest match where the match is a large enough part of the prompt, the least loaded of all
// otherwise, and a gate against imbalance.
type cacheAware struct {
	threshold float64
	abs, rel  float64
	fleet     bool
}

func newCacheAware(p *params) balancer.Policy {
	return cacheAware{
		threshold: p.number("cache_threshold", 0.3, 0, 1),
		abs:       p.number("balance_abs", 64, 0, 1e6),
		rel:       p.number("balance_rel", 1.5, 1, 1000),
		fleet:     p.choice("gate", "request", "request", "fleet") == "fleet",
	}
}

func (cacheAware) Name() string { return "cache_aware" }

func (a cacheAware) Pick(v *balancer.View) (best, runnerUp int) {
	deepest := a.loads(v)
	holders := deepest > 0 && a.matches(v, deepest)
	if holders && a.fleet {
		holders = !a.imbalanced(v)
	} else if holders {
		holders = !a.overloaded(v, deepest)
	}
	if holders {
		for i := range v.Candidates {
			if c := &v.Candidates[i]; a.blocks(c) < deepest {
				c.Cost += barred
			}
		}
	}
	return lowest(v)
}

// loads sets the costs to the requests that we have in flight, of equals first the one that got fewer so far, and
// returns the longest match in blocks.
func (a cacheAware) loads(v *balancer.View) (deepest int) {
	fewest, most := uint64(math.MaxUint64), uint64(0)
	for i := range v.Candidates {
		c := &v.Candidates[i]
		deepest = max(deepest, a.blocks(c))
		fewest, most = min(fewest, c.Sent), max(most, c.Sent)
	}
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = load(c) + 1e-3*float64(c.Sent-fewest)/float64(most-fewest+1)
	}
	return deepest
}

// blocks is the match that counts for c.
func (cacheAware) blocks(c *balancer.Candidate) int {
	if sick(c) {
		return 0
	}
	return c.Blocks
}

// load is what these routers count: their own requests in flight.
func load(c *balancer.Candidate) float64 { return c.Own + failCount*c.Failing }

// matches tells whether the longest match is a large enough part of the prompt.
func (a cacheAware) matches(v *balancer.View, deepest int) bool {
	for i := range v.Candidates {
		if c := &v.Candidates[i]; a.blocks(c) == deepest {
			return held(v, c) > a.threshold*v.Tokens
		}
	}
	return false
}

// overloaded is the gate of today: the least loaded holder is far above the mean, so this one request leaves it.
func (a cacheAware) overloaded(v *balancer.View, deepest int) bool {
	sum, chosen := 0.0, math.Inf(1)
	for i := range v.Candidates {
		c := &v.Candidates[i]
		sum += load(c)
		if a.blocks(c) == deepest {
			chosen = min(chosen, load(c))
		}
	}
	mean := sum / float64(len(v.Candidates))
	return chosen > a.rel*mean && chosen > mean+a.abs
}

// imbalanced is the older gate: one endpoint far above another ends affinity for everybody.
func (a cacheAware) imbalanced(v *balancer.View) bool {
	least, most := math.Inf(1), 0.0
	for i := range v.Candidates {
		l := load(&v.Candidates[i])
		least, most = min(least, l), max(most, l)
	}
	return most-least > a.abs && most > a.rel*least
}

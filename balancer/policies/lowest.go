package policies

import (
	"math"

	"github.com/warmlane/warmlane/balancer"
)

const (
	// failCount is what a fresh failure weighs for policies that count requests.
	failCount = 4
	// barred is added to the cost of those that a rule passes over: they are chosen only when it passes over all.
	barred = 1e9
)

// company is the requests in flight, with recent failures counted as such: an endpoint that fails fast has little in
// flight and would look idle.
func company(c *balancer.Candidate) float64 { return c.InFlight + failCount*c.Failing }

// held is the number of the prompt's tokens that lie in full blocks which c is believed to hold, whatever the trust in
// the index: routers in the field have no such trust.
func held(v *balancer.View, c *balancer.Candidate) float64 {
	if len(v.Blocks) == 0 {
		return 0
	}
	whole := v.Tokens
	if c.Tail > 0 {
		whole -= c.Tail
	}
	return whole * float64(c.Blocks) / float64(len(v.Blocks))
}

// sick tells that more than one request has failed there just now. Rules in which a match outweighs any load would go
// on sending there.
func sick(c *balancer.Candidate) bool { return c.Failing > 1 }

// thrashes tells that the engine's KV memory is known to be full and requests wait for it: another one is preempted
// for each that is added. Unknown is no.
func thrashes(c *balancer.Candidate) bool { return c.KVUse >= 0.95 && c.Waiting > 0 }

// lowest returns the candidates of the lowest and the second lowest Cost; equal costs are drawn at random. A cost that
// is not a number loses against any other.
func lowest(v *balancer.View) (best, second int) {
	best = draw(v, -1)
	return best, draw(v, best)
}

// draw returns a candidate of the lowest cost other than the one at except, -1 if there is none.
func draw(v *balancer.View, except int) int {
	best, ties := -1, 0
	for i := range v.Candidates {
		if i == except {
			continue
		}
		switch cost := v.Candidates[i].Cost; {
		case best < 0 || cost < v.Candidates[best].Cost:
			best, ties = i, 1
		case cost == v.Candidates[best].Cost:
			ties++
			if v.Rand.IntN(ties) == 0 {
				best = i
			}
		case math.IsNaN(v.Candidates[best].Cost):
			best, ties = i, 1
		}
	}
	return best
}

package policies

import "github.com/warmlane/warmlane/balancer"

// leastTokens takes the endpoint with the fewest tokens still to be prefilled and in context.
type leastTokens struct {
	context float64 // weight of a token in context against one to be prefilled
}

func newLeastTokens(p *params) balancer.Policy {
	return leastTokens{context: p.number("context", 0.1, 0, 10)}
}

func (leastTokens) Name() string { return "least_tokens" }

func (leastTokens) Samples() bool { return true }

func (t leastTokens) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = (c.Pending + c.Uncached + t.context*c.Context) / c.Weight * (1 + c.Failing)
	}
	return lowest(v)
}

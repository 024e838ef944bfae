package policies

import "github.com/warmlane/warmlane/balancer"

// random takes any endpoint, in proportion to the weights.
type random struct{}

func newRandom(*params) balancer.Policy { return random{} }

func (random) Name() string { return "random" }

func (random) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = v.Rand.ExpFloat64() / c.Weight // the least of such draws falls on each by its weight
	}
	return lowest(v)
}

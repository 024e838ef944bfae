package policies

import "github.com/warmlane/warmlane/balancer"

// leastRequest takes the endpoint with the fewest requests in flight for its weight.
type leastRequest struct{}

func newLeastRequest(*params) balancer.Policy { return leastRequest{} }

func (leastRequest) Name() string { return "least_request" }

func (leastRequest) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = company(c) / c.Weight
	}
	return lowest(v)
}

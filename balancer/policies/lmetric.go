package policies

import "github.com/warmlane/warmlane/balancer"

// lmetric is LMetric as published: the tokens to be prefilled times the company. It believes all endpoints equal.
type lmetric struct{}

func newLMetric(*params) balancer.Policy { return lmetric{} }

func (lmetric) Name() string { return "lmetric" }

func (lmetric) Samples() bool { return true }

func (lmetric) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = (c.Pending + c.Uncached) * (company(c) + 1)
	}
	return lowest(v)
}

// lmetricLearned is LMetric in seconds, with learned speeds and the own answer at the endpoint's step time.
type lmetricLearned struct{}

func newLMetricLearned(*params) balancer.Policy { return lmetricLearned{} }

func (lmetricLearned) Name() string { return "lmetric_learned" }

func (lmetricLearned) Samples() bool { return true }

func (lmetricLearned) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = (c.Pending+c.Uncached)/c.Rate*(c.InFlight+1) + v.Answer*c.Step + c.Penalty
	}
	return lowest(v)
}

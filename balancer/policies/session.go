package policies

import "github.com/warmlane/warmlane/balancer"

// session sends a conversation where its last request went, as long as that endpoint is not saturated; other requests
// go where the fewest are in flight.
type session struct {
	factor, slack float64
}

func newSession(p *params) balancer.Policy {
	return session{factor: p.number("factor", 1.5, 1, 10), slack: p.number("slack", 4, 0, 1000)}
}

func (session) Name() string { return "session" }

func (s session) Pick(v *balancer.View) (best, runnerUp int) {
	total, weights := 0.0, 0.0
	for i := range v.Candidates {
		c := &v.Candidates[i]
		c.Cost = company(c) / c.Weight
		total += company(c)
		weights += c.Weight
	}
	for i := range v.Candidates {
		if c := &v.Candidates[i]; c.Session && !s.saturated(c, total-company(c), weights-c.Weight) {
			c.Cost = -1
		}
	}
	return lowest(v)
}

// saturated compares the load of c with the mean of the others, of which others is the sum.
func (s session) saturated(c *balancer.Candidate, others, weights float64) bool {
	if thrashes(c) {
		return true
	}
	return weights > 0 && company(c)/c.Weight > s.factor*others/weights+s.slack
}

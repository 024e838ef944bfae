package policies

import "github.com/warmlane/warmlane/balancer"

// warm is the default: the marginal cost of the request in seconds of everybody's time, by [balancer.View.Marginal].
type warm struct {
	first   float64 // w: what a second before the first token weighs against one of reading
	rho     float64 // the part of an answer for which present company stays
	session float64 // s: bonus of the endpoint that had the conversation's last request
}

func newWarm(p *params) balancer.Policy {
	return warm{
		first:   p.number("w", 4, 0.1, 100),
		rho:     p.number("rho", 0.3, 0, 1),
		session: p.number("session_bonus", 0, 0, 60),
	}
}

func (warm) Name() string { return "warm" }

func (warm) Samples() bool { return true }

func (w warm) Pick(v *balancer.View) (best, runnerUp int) {
	for i := range v.Candidates {
		c := &v.Candidates[i]
		t := v.Marginal(c, w.rho)
		c.Cost = w.first*(t.Wait+t.Memory) + t.Answer + t.Stall + t.Company + c.Penalty
		if c.Session {
			c.Cost -= w.session
		}
	}
	return lowest(v)
}

package policies

import "github.com/warmlane/warmlane/balancer"

// prefix takes the endpoint that holds most of the prompt, as long as it is not much busier than the others.
type prefix struct {
	factor, slack float64
	least         float64
}

func newPrefix(p *params) balancer.Policy {
	return prefix{
		factor: p.number("factor", 1.25, 1, 10),
		slack:  p.number("slack", 4, 0, 1000),
		least:  p.number("min_tokens", 64, 0, 1e6),
	}
}

func (prefix) Name() string { return "prefix" }

func (prefix) Samples() bool { return true }

func (p prefix) Pick(v *balancer.View) (best, runnerUp int) {
	sum := 0.0
	for i := range v.Candidates {
		sum += company(&v.Candidates[i])
	}
	bound := p.factor*sum/float64(len(v.Candidates)) + p.slack
	for i := range v.Candidates {
		c := &v.Candidates[i]
		load := company(c)
		c.Cost = load / (1 + load) // less than a token, so that it only decides between equal matches
		if c.Matched >= p.least && load <= bound {
			c.Cost -= c.Matched
		}
	}
	return lowest(v)
}

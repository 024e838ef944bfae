package policies

import (
	"math"

	"github.com/warmlane/warmlane/balancer"
)

// linear is the cost of NVIDIA Dynamo's KV router in blocks, with the defaults of its command line: prefill to be done
// less a credit for cached blocks, and the blocks that would be in use.
type linear struct {
	prefill, credit, decay float64
	request                float64
	temperature            float64
	block                  float64
}

func newLinear(p *params) balancer.Policy {
	return linear{
		prefill:     p.number("prefill_load_scale", 1, 0, 1000),
		credit:      p.number("overlap_credit", 1, 0, 1),
		decay:       p.number("overlap_decay", 0, 0, 100),
		request:     p.number("request_weight", 0, 0, 1000),
		temperature: p.number("temperature", 0, 0, 10),
		block:       p.number("block", 16, 1, 1024),
	}
}

func (linear) Name() string { return "linear" }

func (l linear) Pick(v *balancer.View) (best, runnerUp int) {
	least := math.Inf(1)
	for i := range v.Candidates {
		least = min(least, v.Candidates[i].Pending)
	}
	for i := range v.Candidates {
		c := &v.Candidates[i]
		credit := l.credit * held(v, c) / (1 + l.decay*(c.Pending-least)/v.Tokens)
		c.Cost = (l.prefill*max(0, c.Pending+v.Tokens-credit)+inUse(v, c))/l.block + l.request*c.InFlight
		c.Cost += failCount * c.Failing * v.Tokens / l.block
	}
	if l.temperature > 0 {
		l.soften(v)
	}
	return lowest(v)
}

// inUse are the tokens of KV memory in use with this request on board, shared blocks counted once.
func inUse(v *balancer.View, c *balancer.Candidate) float64 {
	if used := c.Distinct + c.New + c.Tail; used >= 0 {
		return used
	}
	return c.Context + v.Tokens
}

// soften makes the lowest cost a draw of the softmax over the costs, scaled to 0..1. A cost plus the logarithm of an
// exponential draw is lowest with just that probability (Gumbel's trick).
func (l linear) soften(v *balancer.View) {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range v.Candidates {
		low, high = min(low, v.Candidates[i].Cost), max(high, v.Candidates[i].Cost)
	}
	for i := range v.Candidates {
		c := &v.Candidates[i]
		scaled := 0.0
		if high > low {
			scaled = (c.Cost - low) / (high - low)
		}
		c.Cost = scaled/l.temperature + math.Log(v.Rand.ExpFloat64())
	}
}

package balancer

import "math"

// Terms are the parts of the marginal cost of sending a request to one endpoint, in seconds of everybody's time:
//
//	Wait    A/r + u'/r + al                 until its first token
//	Memory  M                               the wait for KV memory before that
//	Answer  o * (W + b*(L + o/2) + rho*b*X) its own answer at the endpoint's step time
//	Stall   d * u'/r                        those that decode stand still while it is prefilled
//	Company rho * n * o * b * (L + o/2)     those in flight decode slower beside its context
//
// The symbols are those of [View] and [Candidate]. u' is u less k/(1+k) of each block that is missing there, with
// k = rate * o * S / (holders + 1): rate is the block's uses a second, so k is how many uses another copy will serve while one
// answer lasts. A prefix that many ask for is as good as bought, one session's own context is not.
type Terms struct {
	Wait, Memory, Answer, Stall, Company float64
}

// memorySoftness is the part of the KV memory over which the wait for it sets in.
const memorySoftness = 0.08

// Step is S, the step time of an endpoint with this request on board, half way through its answer.
func (v *View) Step(c *Candidate) float64 {
	return c.Step + c.PerContext*(c.Context+v.Tokens+v.Answer/2)
}

// Marginal works out the terms for c. rho is the part of an answer for which the company present now will stay.
func (v *View) Marginal(c *Candidate, rho float64) Terms {
	prefill := c.Bought / c.Rate
	mine := c.PerContext * (v.Tokens + v.Answer/2)
	return Terms{
		Wait:    c.Pending/c.Rate + prefill + c.Floor,
		Memory:  v.memory(c),
		Answer:  v.Answer * (c.Step + mine + rho*c.PerContext*c.Context),
		Stall:   c.Decoding * prefill,
		Company: rho * c.InFlight * v.Answer * mine,
	}
}

// memory is M: how long the request will wait for others to leave room in KV memory. 0 when nothing is in flight
// there or the engine has not told its capacity.
func (v *View) memory(c *Candidate) float64 {
	if !(c.KV > 0) || !(c.Distinct > 0) || c.InFlight <= 0 {
		return 0
	}
	return softplus(v.over(c), memorySoftness*c.KV) / c.Distinct * v.Answer * v.Step(c)
}

// over is by how many tokens the request, half way through all answers, exceeds the endpoint's KV memory.
func (v *View) over(c *Candidate) float64 {
	return c.Distinct + c.New + c.Tail + v.Answer/2 + c.InFlight*v.Answer/2 - c.KV
}

// overflows tells that the endpoint's KV memory has no room for the request beside those in flight there.
func (v *View) overflows(c *Candidate) bool {
	return c.KV > 0 && c.Distinct > 0 && c.InFlight > 0 && v.over(c) > 0
}

// softplus is s*ln(1 + exp(x/s)), max(0, x) with a rounded corner of width s.
func softplus(x, s float64) float64 {
	switch {
	case x > 30*s:
		return x
	case x < -30*s:
		return 0
	default:
		return s * math.Log1p(math.Exp(x/s))
	}
}

// rough is a cheap stand-in for the cost of a request that finds nothing cached, to draw a sample by.
func (e *Endpoint) rough(c *counts) float64 {
	n := float64(c.inFlight)
	return float64(c.pending)*e.speed.perTok + n*e.speed.step + startAnswer*e.speed.step +
		failSeconds*e.health.failing
}

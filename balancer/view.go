package balancer

import (
	"math"
	"time"
)

// look takes the snapshot of the usable endpoints for one choice.
func (p *Pool) look(r *Request, now time.Time) *View {
	v := &p.view
	v.Now = now
	v.Tokens = float64(r.tokens())
	v.MaxTokens = r.MaxTokens
	v.Answer = p.learner.answer
	if r.MaxTokens > 0 {
		v.Answer = min(v.Answer, float64(r.MaxTokens))
	}
	v.Blocks, v.Session = r.blocks(), r.Session
	v.Last, v.Endpoints, v.Rand = p.last, len(p.endpoints), p.rand
	v.Candidates = v.Candidates[:0]
	session := p.sessionAt(r.Session)
	whole := float64(r.tokensIn(len(v.Blocks)))
	for _, i := range p.usable {
		v.Candidates = append(v.Candidates, Candidate{Index: int(i)})
		c := &v.Candidates[len(v.Candidates)-1]
		p.describe(c, p.endpoints[i], now)
		p.fitPrompt(c, v, r, whole)
		c.Session = session == int(i)
	}
	return v
}

// describe fills in what does not depend on the request.
func (p *Pool) describe(c *Candidate, e *Endpoint, now time.Time) {
	n, d := e.others(now)
	load := p.load(e, &counts{})
	c.Own = float64(load.inFlight)
	c.InFlight, c.Decoding = c.Own+n, float64(load.decoding)+d
	c.Pending, c.Context = float64(load.pending), float64(load.context)
	c.KV = float64(e.scraped.load.KVTokens)
	c.KVUse, c.Waiting, c.Running = math.NaN(), math.NaN(), math.NaN()
	if e.scraped.fresh(now) {
		c.KVUse, c.Waiting, c.Running = e.scraped.load.KVUse, e.scraped.load.Waiting, e.scraped.load.Running
	}
	s := &e.speed
	c.Step, c.PerContext, c.Rate, c.Floor = s.step, s.perCtx, 1/s.perTok, s.floor
	c.Failing = e.health.failingNow(now)
	c.Penalty = failSeconds * c.Failing
	c.Weight, c.Sent, c.Key = e.cfg.Weight, e.sent, e.urlHash
	c.Distinct = float64(p.index.InFlight(e.index))*p.blockTokens + float64(load.loose)
	if n > 0 {
		context := n * p.usualContext()
		c.Pending += (n - d) * p.learner.uncached
		c.Context += context
		c.Distinct += context
	}
}

// fitPrompt fills in what the endpoint has of the prompt.
func (p *Pool) fitPrompt(c *Candidate, v *View, r *Request, whole float64) {
	e := p.endpoints[c.Index]
	c.Blocks = int(p.match.Depth[c.Index])
	if c.Blocks > 0 {
		q := e.trust.of(trustBand(p.index.Age(c.Index, &p.match)))
		c.Matched = min(q*float64(r.tokensIn(c.Blocks)), v.Tokens)
	}
	c.Uncached = v.Tokens - c.Matched
	c.Bought = c.Uncached
	if len(p.match.Runs) > 0 {
		credit := p.match.Credit(c.Blocks, v.Answer*v.Step(c))
		c.Bought = max(0, c.Uncached-credit*whole/float64(len(v.Blocks)))
	}
	c.Tail = v.Tokens - whole
	c.New = whole
	if c.Blocks > 0 {
		c.New -= float64(r.tokensIn(p.index.InFlightDepth(c.Index, &p.match)))
	}
}

// usualContext is the context of a request that nobody told us about.
func (p *Pool) usualContext() float64 {
	return p.learner.prompt + p.learner.answer/2
}

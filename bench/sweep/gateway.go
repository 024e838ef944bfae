package sweep

import (
	"fmt"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/tokenize"
)

// scrapeAgain scrapes once a second.
func (g *gateway) scrapeAgain(replica int, now time.Duration) {
	g.scrape(replica, now)
	g.run.agenda.add(now+scrapeEvery, func(now time.Duration) { g.scrapeAgain(replica, now) })
}

// scrape tells the pool what the engine's metrics say.
func (g *gateway) scrape(replica int, now time.Duration) {
	p, e := g.run.replicas[replica], g.pool.Endpoints()[replica]
	if p.core == nil {
		g.pool.Unobserved(e, clock(now))
		g.tend(now)
		return
	}
	c := p.core.Counters()
	g.pool.Observe(e, balancer.Load{
		Running: float64(c.Running), Waiting: float64(c.Waiting), KVUse: c.KVUse, KVTokens: p.core.Capacity(),
		Queries: float64(c.Queries), Hits: float64(c.Hits), Started: p.started, Interval: scrapeEvery,
	}, clock(now))
}

// tend makes the probes that are due and comes back when the next ones are.
func (g *gateway) tend(now time.Duration) {
	for _, probe := range g.pool.Due(clock(now)) {
		g.probe(probe, now)
	}
	wake := now + max(time.Millisecond, g.pool.Wake(clock(now)).Sub(clock(now)))
	if g.tended > now && g.tended <= wake {
		return
	}
	g.tended = wake
	g.run.agenda.add(wake, func(now time.Duration) {
		if g.tended == now {
			g.tend(now)
		}
	})
}

// A probe's generation, as the gateway's own.
const probePrompt, probeAnswer = 32, 8

func (g *gateway) probe(probe balancer.Probe, now time.Duration) {
	p := g.run.replicas[probe.Endpoint.Index()]
	switch {
	case p.core == nil:
		g.pool.Probed(probe, balancer.ErrRefused, clock(now))
	case probe.Kind != balancer.ProbeGenerate:
		g.pool.Probed(probe, nil, clock(now))
	default:
		f := &flight{gateway: g, replica: p, probe: &probe}
		f.prompt = tokenize.Prompt{Bytes: probePrompt * 4, Tokens: probePrompt}
		f.asked = balancer.Request{Prompt: &f.prompt, MaxTokens: probeAnswer}
		f.Prompt, f.Output = probePrompt, probeAnswer
		f.lease = g.pool.ProbeLease(probe, &f.asked, clock(now))
		g.run.probes = append(g.run.probes, f)
		g.run.submit(f, now)
	}
}

// lost ends the probes that were on a replica when it died.
func (r *run) lost(p *replica) {
	kept := r.probes[:0]
	for _, f := range r.probes {
		switch {
		case f.ended:
		case f.replica == p:
			f.ended = true
			f.lease.End(balancer.Outcome{Cause: balancer.Reset, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}, clock(r.now))
			f.gateway.pool.Probed(*f.probe, fmt.Errorf("probing replica %d: %w", p.index, balancer.ErrRefused), clock(r.now))
		default:
			kept = append(kept, f)
		}
	}
	r.probes = kept
}

package balancer

import (
	"errors"
	"time"
)

// ProbeKind is what a probe does.
type ProbeKind uint8

const (
	// ProbeDial opens a connection and closes it.
	ProbeDial ProbeKind = iota
	// ProbeHealth asks the engine's health path.
	ProbeHealth
	// ProbeGenerate asks for a generation of 8 tokens on a prompt of about 32, under a lease of [Pool.ProbeLease].
	ProbeGenerate
)

// String is the kind as a log value.
func (k ProbeKind) String() string {
	switch k {
	case ProbeDial:
		return "dial"
	case ProbeHealth:
		return "health"
	default:
		return "generate"
	}
}

// Probe is something to be asked of an endpoint. Each probe handed out by [Pool.Due] must be answered by one call
// of [Pool.Probed]; until then no further one is due there.
type Probe struct {
	Endpoint *Endpoint
	Kind     ProbeKind
	// Timeout bounds the probe.
	Timeout time.Duration
}

const (
	redialEvery   = 500 * time.Millisecond // while it is open whether the port is gone
	outDialEvery  = time.Second            // once it is
	deadAfter     = 3 * time.Second        // of refusing, the open streams are dead
	healthAgain   = time.Second            // between health probes of an endpoint that is to return
	progressGuard = time.Second            // traffic newer than this outranks a failed probe
	probeLost     = 30 * time.Second       // a probe that nobody answered is made again
	idleAfter     = 5 * time.Second        // without a step sample an idle endpoint is asked to generate
	trafficWindow = 30 * time.Second       // idle endpoints are probed only in a pool with traffic
	dialTimeout   = time.Second
	healthTimeout = 2 * time.Second
	longTimeout   = 10 * time.Second
	longestWake   = time.Second
)

func (k ProbeKind) timeout() time.Duration {
	switch k {
	case ProbeDial:
		return dialTimeout
	case ProbeHealth:
		return healthTimeout
	default:
		return longTimeout
	}
}

// Due returns the probes to be made now. Each must be answered by [Pool.Probed]. It also does for the waiting requests what
// is due by time alone.
func (p *Pool) Due(now time.Time) []Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serveQueue(now)
	var due []Probe
	for _, e := range p.endpoints {
		kind, at, ok := p.nextProbe(e, now)
		if !ok || at.After(now) {
			continue
		}
		h := &e.health
		h.probing, h.probeAt = true, now
		if kind == ProbeGenerate && !h.outOfService() {
			h.idleAt = now
		}
		due = append(due, Probe{Endpoint: e, Kind: kind, Timeout: kind.timeout()})
	}
	return due
}

// Wake is when to call [Pool.Due] again, unless something happens before; at most one second after now.
func (p *Pool) Wake(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	wake := now.Add(longestWake)
	for _, e := range p.endpoints {
		if _, at, ok := p.nextProbe(e, now); ok && at.Before(wake) {
			wake = at
		}
	}
	wake = p.queueWake(wake, now)
	if wake.Before(now) {
		return now
	}
	return wake
}

// nextProbe is what is to be asked of e next and when.
func (p *Pool) nextProbe(e *Endpoint, now time.Time) (kind ProbeKind, at time.Time, ok bool) {
	h := &e.health
	if e.admin == Disabled || h.probing && now.Sub(h.probeAt) < probeLost {
		return 0, time.Time{}, false
	}
	switch {
	case h.refusals > 0:
		return ProbeDial, h.dialAt, true
	case h.gone && now.Before(h.until):
		return ProbeDial, h.dialAt, true
	case h.gone:
		return ProbeGenerate, h.until, true
	case h.out:
		return ProbeHealth, h.until, true
	case h.dialWanted:
		return ProbeDial, h.dialAt, true
	}
	if p.cfg.ProbeHealthEvery > 0 {
		kind, at, ok = ProbeHealth, h.healthAt, true
	}
	if idle, has := p.idleProbe(e, now); has && (!ok || idle.Before(at)) {
		kind, at, ok = ProbeGenerate, idle, true
	}
	return kind, at, ok
}

// idleProbe is when e should be asked to generate so that its speed stays known.
func (p *Pool) idleProbe(e *Endpoint, now time.Time) (at time.Time, ok bool) {
	if !p.cfg.ProbeIdle || e.admin != Enabled || e.count.inFlight > 0 ||
		p.traffic.IsZero() || now.Sub(p.traffic) > trafficWindow {
		return time.Time{}, false
	}
	var last time.Time
	for _, t := range [...]time.Time{p.began, e.speed.steps.at, e.health.idleAt} {
		if t.After(last) && !t.After(now) { // a later one than now is of a clock that was set back
			last = t
		}
	}
	return last.Add(idleAfter), true
}

// Probed tells how a probe of [Pool.Due] ended; err is nil when it succeeded. dead is true when the endpoint's port
// has refused for so long that its open streams must be ended.
func (p *Pool) Probed(pr Probe, err error, now time.Time) (dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.serveQueue(now)
	e, h := pr.Endpoint, &pr.Endpoint.health
	begun := h.probeAt
	h.probing = false
	switch {
	case err != nil && (pr.Kind == ProbeDial || errors.Is(err, ErrRefused)):
		p.refused(e, begun, now)
		return h.dead(now)
	case pr.Kind == ProbeDial:
		p.accepted(e, now)
	case err == nil:
		h.probeFails = 0
		h.healthAt = now.Add(p.cfg.ProbeHealthEvery)
		if h.out && !now.Before(h.until) {
			h.comeBack(now)
		}
	case pr.Kind == ProbeGenerate && !h.outOfService():
		// The lease of the probe has told already.
	case h.outOfService():
		h.until = now.Add(healthAgain)
	default:
		p.probeFailed(e, now)
	}
	return false
}

// probeFailed counts a failed health probe of an endpoint in service. Answers that came meanwhile outrank it; two in a
// row eject.
func (p *Pool) probeFailed(e *Endpoint, now time.Time) {
	h := &e.health
	h.healthAt = now.Add(redialEvery)
	if !h.progress.IsZero() && now.Sub(h.progress) < progressGuard {
		h.probeFails = 0
		return
	}
	h.probeFails++
	if h.probeFails >= 2 {
		p.eject(e, "health probe fails", now)
	}
}

// ProbeLease begins the generation of a ProbeGenerate probe: a lease that is not chosen but pinned to the endpoint,
// by which the learner sees it. It must be ended like any other.
func (p *Pool) ProbeLease(pr Probe, r *Request, now time.Time) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index.Walk(r.blocks(), now, &p.match)
	l := p.begin(pr.Endpoint, r, now)
	l.probe = true
	l.decision = Decision{Policy: "probe", Matched: l.prompt - l.uncached, Uncached: l.uncached, Candidates: 1}
	return l
}

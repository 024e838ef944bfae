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
	// Proof tells that the endpoint may be stuck behind a health page that answers.
	Proof bool
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
		next, ok := p.nextProbe(e, now)
		if !ok || next.at.After(now) {
			continue
		}
		h := &e.health
		h.probing, h.probeAt = true, now
		if next.kind == ProbeGenerate && !h.outOfService() {
			h.idleAt = now
		}
		if next.silent {
			h.stallAt = now
		}
		h.probeFor = max(next.kind.timeout(), next.patience)
		due = append(due, Probe{Endpoint: e, Kind: next.kind, Timeout: h.probeFor, Proof: next.silent})
	}
	return due
}

// Wake is when to call [Pool.Due] again, unless something happens before; at most one second after now.
func (p *Pool) Wake(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	wake := now.Add(longestWake)
	for _, e := range p.endpoints {
		if next, ok := p.nextProbe(e, now); ok && next.at.Before(wake) {
			wake = next.at
		}
	}
	wake = p.queueWake(wake, now)
	if wake.Before(now) {
		return now
	}
	return wake
}

// plannedProbe is what is to be asked of an endpoint next.
type plannedProbe struct {
	kind     ProbeKind
	at       time.Time
	silent   bool          // because it gives, or gave, no sign of work
	patience time.Duration // longer than is usual for the kind
}

// nextProbe is what is to be asked of e next, if anything is.
func (p *Pool) nextProbe(e *Endpoint, now time.Time) (next plannedProbe, ok bool) {
	h := &e.health
	if e.admin == Disabled || h.probing && now.Sub(h.probeAt) < max(probeLost, 2*h.probeFor) {
		return plannedProbe{}, false
	}
	switch {
	case h.refusals > 0 || h.gone && now.Before(h.until):
		return plannedProbe{kind: ProbeDial, at: h.dialAt}, true
	case h.gone || h.out && h.mute:
		return plannedProbe{kind: ProbeGenerate, at: h.until, silent: h.mute}, true
	case h.out:
		return plannedProbe{kind: ProbeHealth, at: h.until}, true
	case h.dialWanted:
		return plannedProbe{kind: ProbeDial, at: h.dialAt}, true
	}
	sooner := func(other plannedProbe) {
		if !ok || other.at.Before(next.at) {
			next, ok = other, true
		}
	}
	if at, patience, is := p.stallProbe(e, now); is {
		sooner(plannedProbe{kind: ProbeGenerate, at: at, silent: true, patience: patience})
	}
	if p.cfg.ProbeHealthEvery > 0 {
		sooner(plannedProbe{kind: ProbeHealth, at: h.healthAt})
	}
	if at, is := p.idleProbe(e, now); is {
		sooner(plannedProbe{kind: ProbeGenerate, at: at})
	}
	return next, ok
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
		// Unless work lies there in silence, the lease of the probe has told already.
		if p.stalled(e, begun, now) {
			p.eject(e, "gives no sign of work", now)
			h.silent, h.mute = true, true
		}
	case h.outOfService():
		h.until = now.Add(healthAgain)
		h.silent = h.silent || pr.Kind == ProbeGenerate && h.mute && p.stalled(e, begun, now)
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

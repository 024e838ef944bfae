package balancer

import (
	"math"
	"time"
)

// An engine may be stuck while its health page answers. What gives it away is silence although it has work: no event of any stream,
// no answer. Silence can have good reasons too, so that it only leads to a generation probe; an engine that answers it works. The probe begins
// in the middle of the bearable silence, so that the end of both tells.

const (
	stallAfter    = 10 * time.Second // of silence, beyond what is foreseen
	stallPatience = 2                // times what is foreseen
	longAnswer    = 4.0              // times the usual length: how long an answer in one piece may be
)

// silence is since when e has had work and given no sign, and how long that may last; ok is false while it has none.
func (p *Pool) silence(e *Endpoint, now time.Time) (since time.Time, bearable time.Duration, ok bool) {
	h := &e.health
	first, whole := now, math.Inf(1)
	streams := false
	for _, l := range e.leases {
		if l.probe {
			continue
		}
		ok = true
		if l.dispatched.Before(first) {
			first = l.dispatched
		}
		if l.request.Whole {
			whole = min(whole, p.longest(e, l.request.MaxTokens))
		} else {
			streams = true
		}
	}
	if !ok {
		return time.Time{}, 0, false
	}
	foreseen := e.speed.floor + float64(p.load(e, &counts{}).pending)*e.speed.perTok
	if !streams {
		foreseen += whole
	}
	if h.progress.After(first) {
		first = h.progress
	}
	return first, stallAfter + stallPatience*seconds(foreseen), true
}

// longest is how many seconds an answer in one piece may well take to write.
func (p *Pool) longest(e *Endpoint, most int) float64 {
	tokens := longAnswer * p.learner.answer
	if most > 0 {
		tokens = min(tokens, float64(most))
	}
	context := float64(p.load(e, &counts{}).context)
	return tokens * (e.speed.step + e.speed.perCtx*context)
}

// stallProbe is when e should be asked whether it generates at all, and how long that may take.
func (p *Pool) stallProbe(e *Endpoint, now time.Time) (at time.Time, patience time.Duration, ok bool) {
	h := &e.health
	if e.count.inFlight == 0 || now.Sub(h.progress) < stallAfter-longestWake {
		return time.Time{}, 0, false
	}
	since, bearable, ok := p.silence(e, now)
	if !ok {
		return time.Time{}, 0, false
	}
	at = since.Add(max(stallAfter, bearable/2))
	if again := h.stallAt.Add(stallAfter); again.After(at) {
		at = again
	}
	return at, max(longTimeout, bearable-bearable/2), true
}

// stalled tells whether e has been silent for too long; its generation probe, begun at some time, has failed.
func (p *Pool) stalled(e *Endpoint, begun, now time.Time) bool {
	since, bearable, ok := p.silence(e, now)
	return ok && since.Before(begun) && now.Sub(since) >= bearable
}

// Stuck returns the endpoints that are out because they give no sign of work although they have some, and how many others are in service.
func (p *Pool) Stuck() (stuck []*Endpoint, others int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints {
		switch h := &e.health; {
		case h.out && h.silent && e.count.inFlight > 0:
			stuck = append(stuck, e)
		case !h.outOfService() && e.admin == Enabled:
			others++
		}
	}
	return stuck, others
}

// moved notes that e gave a sign of work. An endpoint that was taken out for its silence is back.
func (h *health) moved(now time.Time) {
	h.progress = now
	if h.out && h.silent {
		h.comeBack(now)
	}
}

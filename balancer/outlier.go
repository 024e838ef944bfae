package balancer

import (
	"math"
	"slices"
	"time"
)

const (
	failTime     = 10.0             // s, by which the cost of a failure in the choice fades
	failSeconds  = 2.0              // cost of a fresh failure, in seconds
	failMemory   = 30 * time.Second // after which a failure no longer counts towards ejection
	failRemember = 16               // failures kept
	weakFailure  = 1.0 / 3          // of a caller that gave up waiting for the first token

	rateHalf   = 10.0 // s, of the counts behind the error rate
	rateAtMost = 0.5
	rateFrom   = 5.0 // decayed failures below which the rate says nothing

	pauseFirst = 500 * time.Millisecond
	pauseMost  = 10 * time.Second
	pauseTold  = time.Minute // the longest pause that an engine may ask for
	pauseSpray = 0.2
)

// health is what is known of an endpoint's ability to answer. The pool's mutex guards it.
type health struct {
	// The first fields are read for every endpoint at every choice.

	refusals    int       // refused dials in a row
	out         bool      // ejected
	onFails     bool      // ejected for failures, which may be forgiven
	gone        bool      // the engine said that it shuts down
	silent      bool      // out, and it gives no sign of work
	mute        bool      // only a generation brings it back: it may be stuck behind a health page that answers
	trial       bool      // came back and has not answered yet
	warmSince   time.Time // zero: not in slow start
	pausedUntil time.Time // zero: not paused
	failing     float64   // decayed, as of failedAt
	failedAt    time.Time
	warmed      int     // first tokens since warmSince
	turn        float64 // of a slow start: the part of a request that is due

	refusedAt  time.Time // the first of the refused dials
	dialAt     time.Time // when to dial next
	dialWanted bool      // a dial is wanted although none was refused
	ended      bool      // the open streams have been given up

	since     time.Time // of the ejection
	until     time.Time
	timeout   time.Duration // of the last ejection
	reason    string
	ejections uint64

	fails     []failure
	serial    uint64
	good, bad float64 // decayed counts of answers and failures
	ratedAt   time.Time
	pausedAt  time.Time
	pause     time.Duration // the last one
	byCause   [causes]uint64

	probing    bool
	probeAt    time.Time
	probeFor   time.Duration // at most
	probeFails int
	healthAt   time.Time
	idleAt     time.Time // of the last probe of an idle endpoint
	stallAt    time.Time // of the last probe of a silent one
	progress   time.Time // last event of any stream, or last answer
}

// failure is one that counts towards ejection.
type failure struct {
	request uint64 // which request, by its prompt where it has one
	serial  uint64
	weight  float64
	at      time.Time
}

func (h *health) outOfService() bool { return h.out || h.refusals > 0 }

func (h *health) state(now time.Time) State {
	switch {
	case h.refusals > 0:
		return Down
	case h.out:
		return Ejected
	case h.paused(now):
		return Paused
	case h.warming(now):
		return Warming
	default:
		return Serving
	}
}

// paused tells whether a pause is on, and ends it in time.
func (h *health) paused(now time.Time) bool {
	if h.pausedUntil.IsZero() {
		return false
	}
	if !now.Before(h.pausedUntil) {
		h.pausedUntil = time.Time{}
	}
	return !h.pausedUntil.IsZero()
}

// failingNow is the number of recent failures, faded.
func (h *health) failingNow(now time.Time) float64 {
	if h.failing == 0 {
		return 0
	}
	return h.failing * math.Exp(-max(0, now.Sub(h.failedAt).Seconds())/failTime)
}

func (h *health) addFailing(weight float64, now time.Time) {
	h.failing = max(0, h.failingNow(now)+weight)
	h.failedAt = now
}

func (h *health) rate(good, bad float64, now time.Time) {
	if dt := now.Sub(h.ratedAt).Seconds(); !h.ratedAt.IsZero() && dt > 0 {
		f := math.Exp2(-dt / rateHalf)
		h.good, h.bad = h.good*f, h.bad*f
	}
	h.ratedAt = now
	h.good, h.bad = h.good+good, max(0, h.bad+bad)
}

// judge draws what the end of a lease says about its endpoint.
func (p *Pool) judge(l *Lease, o Outcome, now time.Time) {
	e, h := l.endpoint, &l.endpoint.health
	if o.Cause < causes {
		h.byCause[o.Cause]++
	}
	switch {
	case o.Cause == OK:
		p.succeeded(l, now)
	case o.Cause == Refused:
		p.refused(e, l.dispatched, now)
	case o.Cause == Gone:
		p.shuttingDown(e, now)
	case o.Cause == Capacity:
		p.refusedCapacity(l, o.RetryAfter, now)
	case o.Cause.failure():
		if p.failed(l, 1, now) && (o.Cause == Timeout || o.Cause == Stalled) {
			h.mute = true
		}
	case o.Cause == ClientGone && !l.begun && now.Sub(l.dispatched) > time.Second+2*l.estimate:
		p.failed(l, weakFailure, now)
	}
}

func (p *Pool) succeeded(l *Lease, now time.Time) {
	h := &l.endpoint.health
	h.rate(1, 0, now)
	h.moved(now)
	if n := len(h.fails); n > 0 {
		if l.dispatched.After(h.fails[n-1].at) {
			h.fails = h.fails[:0]
		} else {
			h.fails = slices.Delete(h.fails, 0, 1)
		}
	}
	if l.dispatched.Before(h.since) {
		return // it says nothing about the time since the ejection
	}
	if h.out && !h.gone {
		h.comeBack(now)
	}
	if !h.out {
		h.trial, h.timeout = false, 0
	}
}

// answering notes a first token: the endpoint works, and has had room.
func (p *Pool) answering(e *Endpoint, l *Lease, now time.Time) {
	h := &e.health
	h.moved(now)
	h.pausedUntil = time.Time{}
	if l.dispatched.After(h.pausedAt) {
		h.pause = 0
	}
	if !h.warmSince.IsZero() {
		h.warmed++
	}
	if h.refusals > 0 && !l.dispatched.Before(h.refusedAt) {
		p.accepted(e, now)
	}
}

// refused notes a dial, begun at some time, that was refused. Two in a row eject.
func (p *Pool) refused(e *Endpoint, begun, now time.Time) {
	h := &e.health
	h.dialWanted = false
	if h.refusals == 0 {
		h.refusedAt = now
		h.ended = false
	} else if begun.Before(h.refusedAt) {
		return // dialled before the first refusal: the same news
	}
	h.refusals++
	h.dialAt = now.Add(redialEvery)
	if now.Sub(h.refusedAt) > deadAfter {
		h.dialAt = now.Add(outDialEvery)
	}
	if h.refusals == 2 {
		h.ejections++
		h.reason = "refuses connections"
	}
}

// dead tells, once, that the port has refused for so long that the open streams must be given up.
func (h *health) dead(now time.Time) bool {
	if h.refusals < 2 || h.ended || now.Sub(h.refusedAt) < deadAfter {
		return false
	}
	h.ended = true
	return true
}

// accepted notes a dial that the port took. An endpoint that was down is a new process: it must pass a probe.
func (p *Pool) accepted(e *Endpoint, now time.Time) {
	h := &e.health
	h.dialWanted = false
	h.dialAt = now.Add(redialEvery)
	was := h.refusals
	h.refusals = 0
	if was < 2 {
		return
	}
	p.restarted(e)
	h.takeOut("is back and not probed yet")
	h.since, h.until = now, now
	h.fails = h.fails[:0]
}

func (h *health) wantDial(now time.Time) {
	if h.outOfService() || h.dialWanted {
		return
	}
	h.dialWanted = true
	if h.dialAt.Before(now) {
		h.dialAt = now
	}
}

// shuttingDown takes an endpoint out whose engine says that it is going. Its health page may say otherwise, so that
// only a generation brings it back; dials find out when its port closes.
func (p *Pool) shuttingDown(e *Endpoint, now time.Time) {
	h := &e.health
	if h.gone {
		return
	}
	p.eject(e, "engine is shutting down", now)
	h.gone = true
	h.until = now.Add(max(p.cfg.EjectFor, longTimeout))
	h.dialAt = now.Add(redialEvery)
}

// refusedCapacity pauses an endpoint for the time told, or for one that doubles while it goes on refusing.
func (p *Pool) refusedCapacity(l *Lease, told time.Duration, now time.Time) {
	h := &l.endpoint.health
	if told <= 0 {
		if !l.dispatched.Before(h.pausedAt) || h.pause == 0 {
			h.pause = min(max(2*h.pause, pauseFirst), pauseMost)
			h.pausedAt = now
		}
		told = h.pause
	} else {
		h.pausedAt = now
	}
	spread := 1 + pauseSpray*(2*p.rand.Float64()-1)
	until := now.Add(time.Duration(float64(min(told, pauseTold)) * spread))
	if until.After(h.pausedUntil) {
		h.pausedUntil = until
	}
}

// failed counts a failure against the endpoint, unless the request has failed elsewhere too: then the request is to
// blame, and what it was counted for elsewhere is forgiven. It tells whether the endpoint was ejected.
func (p *Pool) failed(l *Lease, weight float64, now time.Time) bool {
	e, h, r := l.endpoint, &l.endpoint.health, l.request
	if l.dispatched.Before(h.since) && h.out {
		return false // the streams of an ejected endpoint fail with it
	}
	blamed := false
	for _, c := range r.counts {
		if int(c.endpoint) != e.index {
			p.forgive(p.endpoints[c.endpoint], c.serial, now)
			blamed = true
		}
	}
	if blamed {
		return false
	}
	h.serial++
	r.counts = append(r.counts, counted{endpoint: int32(e.index), serial: h.serial})
	h.addFailing(weight, now)
	h.rate(0, weight, now)
	h.remember(failure{request: r.identity(p), serial: h.serial, weight: weight, at: now})
	score := h.score(now)
	switch {
	case h.out:
		return false
	case h.trial && weight == 1:
		p.eject(e, "failed again after its return", now)
	case score >= float64(p.cfg.EjectAfter):
		p.eject(e, "failures of several requests", now)
	case h.bad >= max(rateFrom, float64(p.cfg.EjectAfter)) && h.bad > rateAtMost*(h.good+h.bad) && len(h.fails) > 1:
		p.eject(e, "error rate", now)
	}
	return h.out
}

// remember keeps a failure; one request counts once however often it fails.
func (h *health) remember(f failure) {
	for i := range h.fails {
		if h.fails[i].request == f.request {
			f.weight = max(f.weight, h.fails[i].weight)
			h.fails = slices.Delete(h.fails, i, i+1)
			break
		}
	}
	if len(h.fails) == failRemember {
		h.fails = slices.Delete(h.fails, 0, 1)
	}
	h.fails = append(h.fails, f)
}

func (h *health) score(now time.Time) float64 {
	sum := 0.0
	for _, f := range h.fails {
		if now.Sub(f.at) < failMemory {
			sum += f.weight
		}
	}
	return sum + 1e-9 // three thirds are one
}

// forgive takes back a failure that turned out to be the request's own, and the ejection that rested on it.
func (p *Pool) forgive(e *Endpoint, serial uint64, now time.Time) {
	h := &e.health
	for i, f := range h.fails {
		if f.serial != serial {
			continue
		}
		h.fails = slices.Delete(h.fails, i, i+1)
		h.addFailing(-f.weight*math.Exp(-max(0, now.Sub(f.at).Seconds())/failTime), now)
		h.rate(0, -f.weight*math.Exp2(-max(0, now.Sub(f.at).Seconds())/rateHalf), now)
		if h.out && h.onFails && h.score(now) < float64(p.cfg.EjectAfter) {
			h.out, h.onFails, h.trial, h.mute = false, false, false, false
			h.timeout = 0
			h.reason = ""
		}
		return
	}
}

// eject takes an endpoint out for a time that doubles with each ejection that it earns before it has answered again.
func (p *Pool) eject(e *Endpoint, reason string, now time.Time) {
	h := &e.health
	h.timeout = min(max(2*h.timeout, p.cfg.EjectFor), p.cfg.EjectMax)
	h.takeOut(reason)
	h.onFails = true
	h.since, h.until = now, now.Add(h.timeout)
	h.ejections++
}

func (h *health) takeOut(reason string) {
	h.out, h.gone, h.silent, h.mute, h.trial = true, false, false, false, false
	h.reason = reason
}

// comeBack returns an endpoint to service, at a slow start. What it failed before has been paid for by its time out; charged on top
// of the slow start it would keep requests away for a minute.
func (h *health) comeBack(now time.Time) {
	h.failing = 0
	h.out, h.gone, h.onFails, h.silent, h.mute = false, false, false, false, false
	h.reason = ""
	h.trial = true
	h.probeFails = 0
	h.fails = h.fails[:0]
	h.warm(now)
}

// identity tells requests apart by their prompt, so that the same prompt sent again is not a second witness.
func (r *Request) identity(p *Pool) uint64 {
	if b := r.blocks(); len(b) > 0 {
		return b[len(b)-1] ^ uint64(r.tokens())
	}
	if r.id == 0 {
		p.serial++
		r.id = p.serial
	}
	return r.id
}

package gateway

import (
	"sync"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/upstream"
)

// What became of a second attempt, or why there was none.
const (
	hedgeWon      = "won"    // its first event was the first
	hedgeLost     = "lost"   // that of the first attempt was
	hedgeFailed   = "failed" // neither had one
	hedgeNoBudget = "no_budget"
	hedgeNoRoom   = "no_room" // nobody else could take the request, or others wait
)

// tryEndpoint sends the request to the endpoint of its lease; and to a second one where the pool hedges, it is the request's first try, and
// its first event is late.
func (x *exchange) tryEndpoint(p *pool, s *upstream.Server, body [][]byte) *failure.Error {
	r := x.requestFor(x.ep.Path, body)
	if p.hedging == nil || !x.view.Stream || x.rec.Tries > 0 {
		return x.attemptAt(s, &r, p.cfg.Timeouts)
	}
	began, usual := time.Now(), max(time.Millisecond, x.lease.Usual())
	late := p.hedging.request(usual)
	if late > 0 {
		return x.race(&hedge{x: x, p: p, r: r, late: late, usual: usual, ended: make(chan struct{})}, s, &r)
	}
	fail := x.attemptAt(s, &r, p.cfg.Timeouts)
	if fail == nil && x.relay.Stream != nil {
		p.hedging.took(x.at.Sub(began), usual)
	}
	return fail
}

// hedge is the second attempt of a request, at another endpoint, while the first one goes on. The first event of either answers the
// request; the other attempt is cancelled, which closes its connection, and ends its lease as if it had not been. It runs in the goroutine
// of its timer, with a lease of its own, and has ended before the request goes on.
type hedge struct {
	x     *exchange
	p     *pool
	r     upstream.Request
	late  time.Duration // after which it begins
	usual time.Duration

	timer   *time.Timer
	stopped bool          // it never began
	ended   chan struct{} // closed when it has ended

	mu            sync.Mutex // guards the fields below
	settled       bool       // the request has its first event, or needs none any more
	first, second *upstream.Attempt

	// What became of it, for the request's goroutine once ended is closed.

	outcome string          // why it was not made; else ""
	lease   *balancer.Lease // nil: it has no answer
	server  *upstream.Server
	opening opening
	fail    *failure.Error
	words   draft
}

// race makes the request's first attempt, and its second once it is late.
func (x *exchange) race(h *hedge, s *upstream.Server, r *upstream.Request) *failure.Error {
	h.first = upstream.NewAttempt(s)
	if !x.hold(h.first) {
		return failure.New(failure.ClientGone, "The client left.")
	}
	x.rec.Tries++
	began := time.Now()
	h.timer = time.AfterFunc(h.late, h.run)
	defer h.close()
	var words draft
	o, fail := x.send(h.first, r, h.p.cfg.Timeouts, x.lease, &words)
	if fail == nil {
		fail = h.claim(h.first, &o)
	}
	now := time.Now()
	switch {
	case fail == nil:
		h.wait()
		h.count(hedgeLost)
		x.win(&o, &words)
		if o.relay.Stream != nil {
			h.p.hedging.took(o.at.Sub(began), h.usual)
		}
		return nil
	case fail.Kind == failure.Outrun:
		h.p.hedging.took(now.Sub(began), h.usual)
	case fail.Kind.Entry().Retry == failure.RetryNever:
		h.settle(h.first) // what is the request's own fault, or its client's, needs no second answer
	default:
		h.p.nudge()
	}
	x.settleLease(fail, now)
	h.wait()
	if h.lease == nil {
		h.count(hedgeFailed)
		if h.second != nil {
			x.repeats.extra++
			x.repeats.note(h.server, h.fail)
		}
		return fail
	}
	h.count(hedgeWon)
	x.mu.Lock()
	x.attempt, x.second = x.second, nil
	x.mu.Unlock()
	x.take(h.lease)
	h.lease = nil
	x.win(&h.opening, &h.words)
	return nil
}

// win takes the answer that was first, with what it has said so far.
func (x *exchange) win(o *opening, words *draft) {
	if sink := x.sink(); sink != nil {
		words.replay(sink)
		o.relay.Sink = sink
	}
	x.opened(o)
}

// run is the second attempt.
func (h *hedge) run() {
	defer close(h.ended)
	defer h.rescue()
	if !h.p.hedging.take() {
		h.outcome = hedgeNoBudget
		return
	}
	if h.lease = h.p.Spare(&h.x.request, h.late, time.Now()); h.lease == nil {
		h.p.hedging.untake()
		h.outcome = hedgeNoRoom
		return
	}
	h.server = h.p.servers[h.lease.Endpoint().Index()]
	fail := h.begin(upstream.NewAttempt(h.server))
	if fail != nil {
		h.p.hedging.untake()
	} else if h.opening, fail = h.x.send(h.second, &h.r, h.p.cfg.Timeouts, h.lease, &h.words); fail == nil {
		fail = h.claim(h.second, &h.opening)
	}
	h.endLease(fail)
}

// rescue keeps a panic of the second attempt from ending the process.
func (h *hedge) rescue() {
	p := recover()
	if p == nil {
		return
	}
	if h.second != nil {
		h.second.Finish(false)
	}
	h.endLease(h.x.mistake(p))
}

// endLease gives the second endpoint back when the attempt there has failed.
func (h *hedge) endLease(fail *failure.Error) {
	h.fail = fail
	if fail == nil || h.lease == nil {
		return
	}
	h.lease.End(balancer.Outcome{
		Cause: upstream.CauseOf(fail.Kind), RetryAfter: fail.RetryAfter, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1, Streamed: true,
	}, time.Now())
	h.lease = nil
}

// begin makes a the second attempt, unless the request needs none any more.
func (h *hedge) begin(a *upstream.Attempt) *failure.Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.settled {
		return outrun()
	}
	if !h.x.holdSecond(a) {
		return failure.New(failure.ClientGone, "The client left.")
	}
	h.second = a
	return nil
}

// claim answers the request with what a has opened, unless the other attempt was faster.
func (h *hedge) claim(a *upstream.Attempt, o *opening) *failure.Error {
	if !h.settle(a) {
		o.relay.Abandon()
		return outrun()
	}
	return nil
}

// settle lets a decide what the request gets and cancels the other attempt; false when that one has decided before.
func (h *hedge) settle(a *upstream.Attempt) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.settled {
		return false
	}
	h.settled = true
	for _, other := range []*upstream.Attempt{h.first, h.second} {
		if other != nil && other != a {
			other.Cancel(failure.Outrun)
		}
	}
	return true
}

func outrun() *failure.Error {
	return failure.New(failure.Outrun, "Another inference engine answered first.")
}

// wait keeps the second attempt from beginning, or waits until it has ended.
func (h *hedge) wait() {
	if !h.stopped {
		h.stopped = h.timer.Stop()
	}
	if !h.stopped {
		<-h.ended
	}
}

// close leaves nothing of it behind, whatever happened to the first attempt.
func (h *hedge) close() {
	h.settle(h.first)
	h.wait()
	if h.lease != nil { // the first attempt has panicked
		h.opening.relay.Abandon()
		h.endLease(outrun())
	}
}

// count tells what became of the second attempt, if the request was late.
func (h *hedge) count(outcome string) {
	switch {
	case h.second != nil:
		h.x.rec.Hedged = outcome
	case h.outcome != "":
		outcome = h.outcome
	default:
		return
	}
	h.x.g.metrics.Hedged(h.p.Name(), outcome)
}

package balancer

import (
	"sync/atomic"
	"time"
)

// AdminState is what an operator wants of an endpoint.
type AdminState uint8

const (
	// Enabled endpoints serve.
	Enabled AdminState = iota
	// Draining endpoints finish what they have and get nothing new.
	Draining
	// Disabled endpoints get nothing new and are not probed.
	Disabled
)

// String is the state as the admin API writes it.
func (s AdminState) String() string {
	switch s {
	case Enabled:
		return "enabled"
	case Draining:
		return "draining"
	default:
		return "disabled"
	}
}

// Endpoint is one replica of a pool.
type Endpoint struct {
	index   int
	cfg     EndpointConfig
	urlHash uint64

	// All below is guarded by the mutex of the pool.

	admin AdminState
	count counts
	held  *atomic.Int64   // the requests in flight, for pools that adopt this one
	older []*atomic.Int64 // those of the pools that were adopted, as far as they had any then
	sent  uint64
	whole []*Lease // of answers in one piece whose prefill is not believed done yet

	leases []*Lease // all in flight, in no order

	health  health
	speed   speed
	trust   trust
	scraped scraped
	epoch   uint64  // grows with each restart seen
	slots   float64 // that the engine is believed to have; 0 is unknown
	doubted bool    // has refused for want of capacity and not answered since, in a pool with a queue
	peers   *peers  // what other gateways have there; nil in a pool that does not share
}

// counts is what our leases in flight put on an endpoint. Everything is charged at dispatch and taken back at the
// end, in whole tokens, so that it returns to exactly zero.
type counts struct {
	inFlight int
	decoding int
	pending  int // A: uncached tokens of those before their first token
	context  int // X: prompts, and tokens of answers
	loose    int // the part of context that lies in no full block
}

func (c *counts) waiting() int { return c.inFlight - c.decoding }

func (c *counts) add(o *counts, sign int) {
	c.inFlight += sign * o.inFlight
	c.decoding += sign * o.decoding
	c.pending += sign * o.pending
	c.context += sign * o.context
	c.loose += sign * o.loose
}

// load is what our leases and those of other gateways put on e. The sum, if there is one to be made, is written to room.
func (p *Pool) load(e *Endpoint, room *counts) *counts {
	if p.share == nil {
		return &e.count
	}
	*room = e.count
	room.add(&e.peers.counts, 1)
	return room
}

func (e *Endpoint) init(index int, cfg EndpointConfig) {
	if cfg.Weight <= 0 {
		cfg.Weight = 1
	}
	e.index, e.cfg, e.trust = index, cfg, newTrust()
	e.urlHash = hashSession(cfg.URL)
	e.held = new(atomic.Int64)
	e.speed.forget()
}

// URL is the endpoint's base URL.
func (e *Endpoint) URL() string { return e.cfg.URL }

// Index is the endpoint's position in [Pool.Endpoints].
func (e *Endpoint) Index() int { return e.index }

func (e *Endpoint) waiting() int { return e.count.waiting() }

// full tells that e takes no further request. After a reload the requests of the replaced pool, which came first, count as well.
func (e *Endpoint) full() bool {
	held := e.count.inFlight
	for _, n := range e.older {
		held += int(n.Load())
	}
	return e.cfg.MaxConcurrency > 0 && held >= e.cfg.MaxConcurrency || e.inDoubt()
}

// inDoubt is true while one request tries whether an endpoint that has refused for want of capacity takes any again.
func (e *Endpoint) inDoubt() bool { return e.doubted && e.waiting() > 0 }

// serves is false only when the engine has told its models and this is not among them.
func (e *Endpoint) serves(model string) bool {
	if model == "" || len(e.scraped.load.Models) == 0 {
		return true
	}
	for _, m := range e.scraped.load.Models {
		if m == model {
			return true
		}
	}
	return false
}

// presumeDone moves answers in one piece past their first token where the estimate says that it would have come.
func (e *Endpoint) presumeDone(now time.Time) {
	kept := e.whole[:0]
	for _, l := range e.whole {
		if l.dispatched.Add(l.estimate).After(now) {
			kept = append(kept, l)
		} else {
			l.begun = true
			l.move(now)
		}
	}
	clear(e.whole[len(kept):])
	e.whole = kept
}

func (e *Endpoint) addLease(l *Lease) {
	l.place = len(e.leases)
	e.leases = append(e.leases, l)
}

func (e *Endpoint) dropLease(l *Lease) {
	end := len(e.leases) - 1
	last := e.leases[end]
	e.leases[l.place], last.place = last, l.place
	e.leases[end] = nil
	e.leases = e.leases[:end]
}

func (e *Endpoint) dropWhole(gone *Lease) {
	for i, l := range e.whole {
		if l == gone {
			last := len(e.whole) - 1
			e.whole[i], e.whole[last] = e.whole[last], nil
			e.whole = e.whole[:last]
			return
		}
	}
}

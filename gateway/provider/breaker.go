package provider

import (
	"errors"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/warmlane/warmlane/gateway/failure"
)

const (
	faultMemory  = 30 * time.Second // after which a failure no longer counts
	trialPatient = 10 * time.Second // how long the request that tries whether a service is back keeps the others away
)

// BreakerConfig says when a service is left alone.
type BreakerConfig struct {
	After    int           // failures of distinct requests without an answer in between
	For, Max time.Duration // the first time out, doubled each time until it answers again, and the longest
}

// Breaker keeps requests away from a service that cannot be reached or only fails, whatever the key. When its time out is over, one
// request tries whether it is back. It is safe for concurrent use.
type Breaker struct {
	cfg BreakerConfig

	mu        sync.Mutex // guards the fields below
	faults    []fault    // since the last answer, not more than cfg.After
	out       bool
	since     time.Time // of the time out
	until     time.Time
	rest      time.Duration // the last one; 0 = it has answered since
	trial     time.Time     // when the request began that tries; zero: none does
	why       failure.Error // the last failure: its kind and its status
	ejections uint64
}

// fault is a failure that counts.
type fault struct {
	request uint64 // 0: not to be told apart, and not of the request's making
	at      time.Time
}

// BreakerState is what is known of a service as a whole.
type BreakerState struct {
	Out       bool          // requests are kept away, but for those that try
	Rests     time.Duration // until one tries; 0 = it may now
	Why       failure.Kind  // of the last failure, while Out
	Ejections uint64        // how often it was taken out
}

// NewBreaker makes a closed breaker.
func NewBreaker(cfg BreakerConfig) *Breaker { return &Breaker{cfg: cfg} }

// Away is nil when a request may be sent, else the failure that it would probably meet. It is nil for the one request that tries; every
// request that is sent must be settled.
func (b *Breaker) Away(now time.Time) *failure.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.out {
		return nil
	}
	if !now.Before(b.until) && (b.trial.IsZero() || now.Sub(b.trial) >= trialPatient) {
		b.trial = now
		return nil
	}
	fail := failure.New(b.why.Kind, "The provider does not work at the moment. Please try again.")
	fail.Status, fail.Code, fail.Answered = 503, failure.KeysRefused.Entry().Code, b.why.Answered
	return fail.After(max(time.Second, b.until.Sub(now))).Because(errLeftAlone)
}

var errLeftAlone = errors.New("the provider is left alone for what requests before met")

// Settle notes how a request with that body ended that was sent at that time, the one told to Away: fail is nil for an answer. A body that
// is sent again is no second witness. It tells whether the service is taken out now, or is back.
func (b *Breaker) Settle(body []byte, sent, now time.Time, fail *failure.Error) (out, back bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.out && sent.Equal(b.trial)
	if mine {
		b.trial = time.Time{}
	}
	switch {
	case fail != nil && isFault(fail.Kind):
		if b.out && !mine {
			return false, false // it was sent before, or has been told what it met
		}
		return b.failed(body, now, fail), false
	case fail != nil && fail.Answered == 0, b.out && sent.Before(b.since):
		return false, false // it says nothing
	}
	back = b.out
	b.out, b.rest, b.trial, b.faults = false, 0, time.Time{}, b.faults[:0]
	return false, back
}

func (b *Breaker) failed(body []byte, now time.Time, fail *failure.Error) bool {
	f := fault{at: now}
	if fail.Kind != failure.ConnectFailed {
		f.request = xxhash.Sum64(body)
	}
	kept := b.faults[:0]
	for _, old := range b.faults {
		if now.Sub(old.at) < faultMemory && (f.request == 0 || old.request != f.request) {
			kept = append(kept, old)
		}
	}
	b.faults = append(kept, f)
	if !b.out && len(b.faults) < b.cfg.After {
		return false
	}
	b.rest = min(max(b.cfg.For, 2*b.rest), b.cfg.Max)
	b.out, b.since, b.faults = true, now, b.faults[:0]
	b.until = now.Add(max(b.rest, min(fail.RetryAfter, b.cfg.Max)))
	b.why = failure.Error{Kind: fail.Kind, Answered: fail.Answered}
	b.ejections++
	return true
}

// isFault says whether a failure is the service's as a whole.
func isFault(k failure.Kind) bool {
	switch k {
	case failure.ConnectFailed, failure.SendFailed, failure.ConnectionLost, failure.FirstEventTimeout,
		failure.EngineError, failure.EngineRefused, failure.EngineGone, failure.BadAnswer:
		return true
	}
	return false
}

// State returns what is known of the service.
func (b *Breaker) State(now time.Time) BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BreakerState{Out: b.out, Ejections: b.ejections}
	if b.out {
		s.Rests, s.Why = max(0, b.until.Sub(now)), b.why.Kind
	}
	return s
}

// Inherit takes over what old knows of the same service.
func (b *Breaker) Inherit(old *Breaker) {
	old.mu.Lock()
	defer old.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out, b.since, b.until, b.rest, b.why, b.ejections = old.out, old.since, old.until, old.rest, old.why, old.ejections
}

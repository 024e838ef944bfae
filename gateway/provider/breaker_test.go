package provider

import (
	"fmt"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

var breakerConfig = BreakerConfig{After: 3, For: 2 * time.Second, Max: 10 * time.Second}

// fail sends one request with that body at that time, if it may, and lets it fail.
func (b *Breaker) fail(body string, kind failure.Kind, at time.Time) (sent bool) {
	if b.Away(at) != nil {
		return false
	}
	b.Settle([]byte(body), at, at, failure.New(kind, ""))
	return true
}

func TestBreaker_FailuresOfDistinctRequestsOpenIt(t *testing.T) {
	for name, c := range map[string]struct {
		bodies string
		kind   failure.Kind
		every  time.Duration
		out    bool
	}{
		"three requests":          {"abc", failure.EngineError, time.Second, true},
		"one request three times": {"aaaaa", failure.EngineError, time.Second, false},
		"two requests in turn":    {"ababab", failure.EngineError, time.Second, false},
		"too far apart":           {"abcdef", failure.EngineError, 20 * time.Second, false},
		"no connection":           {"aaa", failure.ConnectFailed, time.Second, true},
		"capacity":                {"abc", failure.EngineRefused, time.Second, true},
		"the callers' own fault":  {"abcdef", failure.BadRequest, time.Second, false},
		"a key's":                 {"abcdef", failure.KeysRefused, time.Second, false},
		"clients that leave":      {"abcdef", failure.ClientGone, time.Second, false},
	} {
		b, now := NewBreaker(breakerConfig), start
		for _, body := range c.bodies {
			now = now.Add(c.every)
			b.fail(string(body), c.kind, now)
		}
		if s := b.State(now); s.Out != c.out || s.Out && (s.Rests != 2*time.Second || s.Why != c.kind || s.Ejections != 1) {
			t.Errorf("%s: %+v, want out=%v", name, s, c.out)
		}
	}
}

func TestBreaker_AnAnswerInBetweenIsAnAnswer(t *testing.T) {
	for name, answer := range map[string]*failure.Error{"200": nil, "400": {Kind: failure.BadRequest, Answered: 400}, "401": {Kind: failure.KeysRefused, Answered: 401}} {
		b, now := NewBreaker(breakerConfig), start
		for i := range 10 {
			now = now.Add(time.Second)
			b.fail(fmt.Sprint(i), failure.EngineError, now)
			if i%2 == 1 {
				b.Settle(nil, now, now, answer)
			}
		}
		if b.State(now).Out {
			t.Errorf("%s: out, although every second request was answered", name)
		}
	}
}

// One request at a time tries, the times out double, and the first answer brings the service back.
func TestBreaker_OneRequestTries(t *testing.T) {
	b, now := NewBreaker(breakerConfig), start
	for i := range 3 {
		b.fail(fmt.Sprint(i), failure.ConnectFailed, now)
	}
	for _, rest := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
		if s := b.State(now); s.Rests != rest {
			t.Fatalf("it rests %v, want %v", s.Rests, rest)
		}
		if fail := b.Away(now.Add(rest - time.Millisecond)); fail == nil || fail.Kind != failure.ConnectFailed || fail.HTTPStatus() != 503 || fail.RetryAfter != time.Second {
			t.Fatalf("before its time: %+v", fail)
		}
		now = now.Add(rest)
		if b.Away(now) != nil {
			t.Fatal("nobody may try")
		}
		if b.Away(now.Add(time.Millisecond)) == nil {
			t.Fatal("two try at once")
		}
		b.Settle(nil, now.Add(-time.Hour), now, nil) // of a time before
		if out, back := b.Settle([]byte("x"), now, now, failure.New(failure.ConnectFailed, "")); !out || back {
			t.Fatal("a trial that fails does not count")
		}
	}
	now = now.Add(time.Minute)
	if b.Away(now) != nil {
		t.Fatal("nobody may try")
	}
	b.Settle(nil, now, now, failure.New(failure.ClientGone, ""))
	now = now.Add(time.Second)
	if b.Away(now) != nil {
		t.Fatal("a trial whose client left lets nobody else try")
	}
	now = now.Add(trialPatient)
	if b.Away(now) != nil {
		t.Fatal("a trial that does not end lets nobody else try")
	}
	if _, back := b.Settle(nil, now, now, nil); !back || b.State(now).Out || b.Away(now) != nil {
		t.Errorf("an answer does not bring it back: %+v", b.State(now))
	}
	for i := range 3 {
		b.fail(fmt.Sprint(i), failure.EngineError, now)
	}
	if s := b.State(now); s.Rests != 2*time.Second {
		t.Errorf("the next time out is %v, want the first one again", s.Rests)
	}
}

// What fails after it was sent before the time out, or beside the trial, says nothing new.
func TestBreaker_ABurstIsOneTimeOut(t *testing.T) {
	b := NewBreaker(breakerConfig)
	for i := range 50 {
		b.Settle(fmt.Append(nil, i), start, start.Add(time.Duration(i)*time.Millisecond), failure.New(failure.ConnectFailed, ""))
	}
	if s := b.State(start.Add(50 * time.Millisecond)); s.Ejections != 1 || s.Rests > 2*time.Second {
		t.Errorf("%+v", s)
	}
}

// The service may say how long it wants to be left alone.
func TestBreaker_RetryAfter(t *testing.T) {
	b := NewBreaker(breakerConfig)
	for i := range 3 {
		b.Settle(fmt.Append(nil, i), start, start, failure.New(failure.EngineRefused, "").After(5*time.Second))
	}
	if s := b.State(start); s.Rests != 5*time.Second {
		t.Errorf("it rests %v, want 5 s", s.Rests)
	}
}

func TestBreaker_Inherit(t *testing.T) {
	old := NewBreaker(breakerConfig)
	for range 3 {
		old.fail("", failure.ConnectFailed, start)
	}
	b := NewBreaker(breakerConfig)
	b.Inherit(old)
	if b.Away(start) == nil || b.State(start).Ejections != 1 {
		t.Error("a reload lets requests loose on a provider that is away")
	}
}

package balancer_test

import (
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// A second attempt goes to another endpoint, and only where it takes nothing from others.
func TestSpare_OnlyWhereThereIsRoom(t *testing.T) {
	only := func(e int) *balancer.Request { return &balancer.Request{Only: url(e)} }
	for name, c := range map[string]struct {
		endpoints int
		make      func(t *testing.T, f *fleet) // what happens before
		want      bool
	}{
		"idle":        {2, func(*testing.T, *fleet) {}, true},
		"no second":   {1, func(*testing.T, *fleet) {}, false},
		"second full": {2, func(t *testing.T, f *fleet) { f.enter(t, only(1)); f.enter(t, only(1)) }, false},
		"somebody waits for another one": {3, func(t *testing.T, f *fleet) {
			f.enter(t, only(1))
			f.enter(t, only(1))
			f.join(t, only(1))
		}, false},
		"second pauses": {2, func(t *testing.T, f *fleet) { f.enter(t, only(1)).End(ended(balancer.Capacity), f.now) }, false},
		"second refuses": {2, func(t *testing.T, f *fleet) {
			for range 2 {
				f.enter(t, only(1)).End(ended(balancer.Refused), f.now)
			}
		}, false},
		"second is ejected": {2, func(t *testing.T, f *fleet) {
			for i := range uint64(3) {
				f.enter(t, &balancer.Request{Only: url(1), Prompt: prompt(i, 1, 0, 2)}).End(ended(balancer.Reset), f.now)
			}
		}, false},
		"most of the pool is ejected, but not the second": {5, func(t *testing.T, f *fleet) {
			for e := 2; e < 5; e++ {
				for i := range uint64(3) {
					r := balancer.Request{Only: url(e), Prompt: prompt(i+uint64(10*e), 1, 0, 2)}
					f.enter(t, &r).End(ended(balancer.Reset), f.now)
				}
			}
		}, false},
		"second has much to read": {2, func(t *testing.T, f *fleet) {
			f.enter(t, &balancer.Request{Only: url(1), Prompt: prompt(9, 1, 0, 1500)})
		}, false},
		"second drains": {2, func(t *testing.T, f *fleet) {
			if err := f.SetAdmin(url(1), balancer.Draining); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := queued(t, c.endpoints, 2, balancer.QueueConfig{Max: 10, Wait: time.Minute})
			r := balancer.Request{Prompt: prompt(1, 1, 0, 4), Only: url(0)}
			first := f.try(t, &r)
			r.Only = ""
			c.make(t, f)
			second := f.Spare(&r, time.Second, f.now)
			if (second != nil) != c.want {
				t.Fatalf("a second endpoint: %v, want %v", second != nil, c.want)
			}
			if second == nil {
				return
			}
			if second.Endpoint() == first.Endpoint() {
				t.Error("both attempts go to one endpoint")
			}
			if f.Spare(&r, time.Second, f.now) != nil {
				t.Error("a third endpoint where there are two")
			}
			first.End(ended(balancer.Cancelled), f.now)
			second.End(done(1), f.now)
			for _, s := range f.Status(f.now) {
				if s.InFlight != 0 || s.Pending != 0 || s.Context != 0 {
					t.Errorf("%s keeps %d requests, %d and %d tokens", s.URL, s.InFlight, s.Pending, s.Context)
				}
				if s.State != balancer.Serving || s.Failing != 0 {
					t.Errorf("%s is %s with %v failures", s.URL, s.State, s.Failing)
				}
			}
		})
	}
}

// The conversation follows the attempt that is answered.
func TestSpare_ConversationStaysUntilTheFirstToken(t *testing.T) {
	next := func(f *fleet) string {
		l := f.try(t, &balancer.Request{Session: "s"})
		l.End(ended(balancer.Cancelled), f.now)
		return l.Endpoint().URL()
	}
	for _, wins := range []bool{false, true} {
		f := newFleet(t, "session", 4)
		r := balancer.Request{Session: "s"}
		first := f.try(t, &r)
		second := f.Spare(&r, time.Second, f.now)
		want := first.Endpoint().URL()
		if wins {
			second.FirstToken(f.now)
			want = second.Endpoint().URL()
		}
		second.End(ended(balancer.Cancelled), f.now)
		first.End(ended(balancer.Cancelled), f.now)
		if got := next(f); got != want {
			t.Errorf("the second attempt wins: %v; the next request goes to %s, want %s", wins, got, want)
		}
	}
}

// What is usual is what the other endpoints take, however slow this one is known to be, and grows with the prompt.
func TestUsual_DoesNotForgiveASlowEndpoint(t *testing.T) {
	f := newFleet(t, "round_robin", 3)
	speed := func(l *balancer.Lease) time.Duration {
		if l.Endpoint().Index() == 0 {
			return 400 * time.Millisecond
		}
		return 40 * time.Millisecond
	}
	for i := range uint64(60) {
		l := f.send(t, prompt(i, 1, 0, 4))
		f.later(speed(l))
		l.FirstToken(f.now)
		f.later(20 * time.Millisecond)
		l.Token(f.now, 1)
		l.End(done(2), f.now)
	}
	slow := f.try(t, &balancer.Request{Only: url(0), Prompt: prompt(1000, 1, 0, 4)})
	fast := f.try(t, &balancer.Request{Only: url(1), Prompt: prompt(1001, 1, 0, 4)})
	if e := f.TTFTEstimate(slow); e < 3*slow.Usual() || slow.Usual() != fast.Usual() {
		t.Errorf("foreseen %v, usual %v there and %v elsewhere", e, slow.Usual(), fast.Usual())
	}
	if u := slow.Usual(); u < 20*time.Millisecond || u > 80*time.Millisecond {
		t.Errorf("usual is %v, the others take 40ms", u)
	}
	long := f.try(t, &balancer.Request{Only: url(2), Prompt: prompt(1002, 1, 0, 400)})
	if long.Usual() < 2*fast.Usual() {
		t.Errorf("a prompt of a hundred times the length is usual in %v, a short one in %v", long.Usual(), fast.Usual())
	}
}

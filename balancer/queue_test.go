package balancer_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
)

// queued is a pool whose requests may wait, of endpoints that take so many requests each; 0 is no cap.
func queued(t testing.TB, endpoints, each int, q balancer.QueueConfig) *fleet {
	t.Helper()
	return newFleet(t, "warm", endpoints, func(c *balancer.PoolConfig) {
		c.Queue = q
		for i := range c.Endpoints {
			c.Endpoints[i].MaxConcurrency = each
		}
	})
}

// join enters a request that has to wait.
func (f *fleet) join(t testing.TB, r *balancer.Request) *balancer.Ticket {
	t.Helper()
	lease, ticket, err := f.Enter(r, f.now)
	if ticket == nil {
		t.Fatalf("it does not wait: lease %v, %v", lease != nil, err)
	}
	return ticket
}

// enter enters a request that gets a lease at once.
func (f *fleet) enter(t testing.TB, r *balancer.Request) *balancer.Lease {
	t.Helper()
	lease, _, err := f.Enter(r, f.now)
	if lease == nil {
		t.Fatalf("it gets no lease at once: %v", err)
	}
	return lease
}

func answered(k *balancer.Ticket) bool {
	select {
	case <-k.Done():
		return true
	default:
		return false
	}
}

// leaseOf is what a ticket got.
func leaseOf(t testing.TB, k *balancer.Ticket) *balancer.Lease {
	t.Helper()
	if !answered(k) {
		t.Fatal("it still waits")
	}
	l, err := k.Result()
	if err != nil {
		t.Fatalf("it got %v", err)
	}
	return l
}

// errorOf is the error that a ticket got, nil while it waits.
func errorOf(k *balancer.Ticket) error {
	if !answered(k) {
		return nil
	}
	_, err := k.Result()
	return err
}

// line is a pool of one endpoint with one place, and those who wait for it.
type line struct {
	*fleet
	lease   *balancer.Lease // that holds the place
	tickets map[string]*balancer.Ticket
}

func newLine(t testing.TB, q balancer.QueueConfig) *line {
	f := queued(t, 1, 1, q)
	return &line{f, f.enter(t, &balancer.Request{}), map[string]*balancer.Ticket{}}
}

func (l *line) join(t testing.TB, name string, priority int) {
	l.tickets[name] = l.fleet.join(t, &balancer.Request{Priority: priority})
}

// next frees the place and returns who got it.
func (l *line) next(t testing.TB) string {
	t.Helper()
	l.lease.End(done(1), l.now)
	for name, k := range l.tickets {
		if answered(k) {
			l.lease = leaseOf(t, k)
			delete(l.tickets, name)
			return name
		}
	}
	return ""
}

func TestQueue_PriorityThenArrival(t *testing.T) {
	l := newLine(t, balancer.QueueConfig{Max: 10})
	for _, r := range []struct {
		name     string
		priority int
	}{{"low", 3}, {"first", 0}, {"second", 0}, {"high", -2}, {"beyond the range", -1000}, {"highest", -balancer.LastPriority}} {
		l.join(t, r.name, r.priority)
		l.later(time.Millisecond)
	}
	for _, want := range []string{"beyond the range", "highest", "high", "first", "second", "low", ""} {
		if got := l.next(t); got != want {
			t.Errorf("%q is served, want %q", got, want)
		}
	}
	if s := l.Queue(l.now); s != (balancer.QueueStatus{Max: 10, Bound: 6}) {
		t.Errorf("status %+v", s)
	}
}

// Whoever has waited half of the longest wait goes before every newcomer, so that a flood of others starves nobody.
func TestQueue_WaitingRaisesPriority(t *testing.T) {
	l := newLine(t, balancer.QueueConfig{Max: 100, Wait: 10 * time.Second})
	l.join(t, "low", balancer.LastPriority)
	for i := range 49 {
		l.join(t, fmt.Sprint("high ", i), -balancer.LastPriority)
		l.join(t, fmt.Sprint("high too ", i), -balancer.LastPriority)
		l.later(100 * time.Millisecond)
		if got := l.next(t); got == "low" {
			t.Fatalf("served after %d ms, before those that came less than 5 s later", (i+1)*100)
		}
	}
	l.later(200 * time.Millisecond)
	l.join(t, "newcomer", -balancer.LastPriority)
	for range 51 {
		switch l.next(t) {
		case "low":
			return
		case "newcomer":
			t.Fatal("a newcomer goes before one that has waited for 5.1 s")
		}
	}
	t.Fatal("starved")
}

func TestQueue_Deadline(t *testing.T) {
	l := newLine(t, balancer.QueueConfig{Max: 10, Wait: 300 * time.Millisecond})
	l.join(t, "first", 0)
	l.later(100 * time.Millisecond)
	l.join(t, "second", -5)
	if wake := l.Wake(l.now); wake.Sub(l.now) != 200*time.Millisecond {
		t.Errorf("woken after %v, want the first deadline", wake.Sub(l.now))
	}
	l.later(200 * time.Millisecond)
	l.Due(l.now)
	var late *balancer.QueueTimeout
	if err := errorOf(l.tickets["first"]); !errors.As(err, &late) || late.RetryAfter < time.Second {
		t.Errorf("at its deadline it got %v", err)
	}
	if answered(l.tickets["second"]) {
		t.Error("answered before its deadline")
	}
	if s := l.Queue(l.now); s.Length != 1 || s.Expired != 1 || s.Oldest != 200*time.Millisecond {
		t.Errorf("status %+v", s)
	}
}

// A full queue refuses at once whoever would be last, be it the newcomer or one that it displaces.
func TestQueue_IsBounded(t *testing.T) {
	l := newLine(t, balancer.QueueConfig{Max: 2})
	l.join(t, "a", 0)
	l.join(t, "b", 0)
	var full *balancer.QueueFull
	if _, k, err := l.Enter(&balancer.Request{}, l.now); k != nil || !errors.As(err, &full) || full.RetryAfter < time.Second {
		t.Errorf("a third got %v", err)
	}
	l.join(t, "high", -1)
	if err := errorOf(l.tickets["b"]); !errors.As(err, &full) {
		t.Errorf("the last one got %v in the place of one of higher priority", err)
	}
	if s := l.Queue(l.now); s.Length != 2 || s.Refused != 2 {
		t.Errorf("status %+v", s)
	}
	f := queued(t, 1, 0, balancer.QueueConfig{Late: time.Millisecond})
	f.enter(t, &balancer.Request{Prompt: prompt(1, 1, 0, 500)})
	f.enter(t, &balancer.Request{}) // late, but nobody waits
	if _, k, err := f.Enter(&balancer.Request{Only: "nowhere"}, start); k != nil || !errors.Is(err, balancer.ErrNoEndpoint) {
		t.Errorf("without a queue: %v", err)
	}
}

// Whoever leaves is forgotten; a lease that came at the same moment goes on to the next.
func TestQueue_Leave(t *testing.T) {
	l := newLine(t, balancer.QueueConfig{Max: 10})
	for _, name := range []string{"early", "late", "stays"} {
		l.join(t, name, 0)
	}
	l.tickets["early"].Leave(l.now)
	l.lease.End(done(1), l.now)
	if !answered(l.tickets["late"]) {
		t.Fatal("the place went to one that had left")
	}
	l.tickets["late"].Leave(l.now)
	leaseOf(t, l.tickets["stays"]).End(done(1), l.now)
	if s := l.Queue(l.now); s.Length != 0 || s.Left != 1 || s.Bound != 2 {
		t.Errorf("status %+v", s)
	}
	if s := l.Status(l.now)[0]; s.InFlight != 0 || s.Pending != 0 || s.Context != 0 {
		t.Errorf("charged at the end: %+v", s)
	}
}

// The endpoint is chosen when there is room: what was best at the entry may not be any more.
func TestQueue_ChoosesAtTheMoment(t *testing.T) {
	f := queued(t, 2, 0, balancer.QueueConfig{Max: 10})
	trunk := prompt(1, 1, 20, 20)
	for i, e := range f.Endpoints() {
		f.Observe(e, balancer.Load{Started: start.Add(time.Duration(i) * time.Hour)}, f.now)
	}
	f.answer(f.enter(t, &balancer.Request{Prompt: trunk, Only: url(0)}))
	stream := f.enter(t, &balancer.Request{Prompt: trunk, Only: url(1)})
	stream.FirstToken(f.now)
	if d := f.send(t, trunk); d.Endpoint().Index() != 0 {
		t.Fatal("the first endpoint is not the best at the entry")
	} else {
		d.End(ended(balancer.ClientError), f.now)
	}
	for i := range 2 {
		o := ended(balancer.Capacity)
		o.RetryAfter = time.Second
		f.enter(t, &balancer.Request{Only: url(i)}).End(o, f.now)
	}
	k := f.join(t, &balancer.Request{Prompt: trunk})
	stream.End(done(1), f.now)
	f.Observe(f.Endpoints()[0], balancer.Load{Started: start.Add(5 * time.Hour)}, f.now) // a new process, with nothing cached
	f.later(2 * time.Second)
	f.Due(f.now)
	if l := leaseOf(t, k); l.Endpoint().Index() != 1 || l.Decision().Matched == 0 || l.Decision().Candidates != 2 {
		t.Errorf("sent to %d: %+v", l.Endpoint().Index(), l.Decision())
	}
}

// With a start time that is too late a request waits although there is room, and goes when those before it have begun to answer.
func TestQueue_Late(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10, Late: 300 * time.Millisecond})
	f.enter(t, &balancer.Request{Prompt: prompt(1, 1, 0, 1)}) // 74 tokens are soon read
	long := f.enter(t, &balancer.Request{Prompt: prompt(2, 1, 0, 500)})
	k := f.join(t, &balancer.Request{Prompt: prompt(3, 1, 0, 1)})
	f.later(100 * time.Millisecond)
	f.Due(f.now)
	if answered(k) {
		t.Fatal("bound behind 32,010 tokens")
	}
	long.FirstToken(f.now)
	leaseOf(t, k)
}

// An answer in one piece shows no first token: those behind it go when its prefill is believed done.
func TestQueue_LateBehindAnAnswerInOnePiece(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10, Late: 100 * time.Millisecond})
	whole := f.enter(t, &balancer.Request{Prompt: prompt(2, 1, 0, 100), Whole: true})
	k := f.join(t, &balancer.Request{Prompt: prompt(3, 1, 0, 1)})
	f.now = f.Wake(f.now)
	if f.now.Sub(start) != f.TTFTEstimate(whole) {
		t.Fatalf("woken after %v, the estimate is %v", f.now.Sub(start), f.TTFTEstimate(whole))
	}
	f.Due(f.now)
	leaseOf(t, k)
}

// The end of a pause is a guess: an endpoint that has refused is tried by one request, and the others follow its answer.
func TestQueue_OneAtATimeAfterARefusal(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10})
	f.enter(t, &balancer.Request{}).End(ended(balancer.Capacity), f.now)
	var tickets []*balancer.Ticket
	for range 4 {
		tickets = append(tickets, f.join(t, &balancer.Request{}))
	}
	if f.now = f.Wake(f.now); f.now.Sub(start) > 600*time.Millisecond {
		t.Errorf("woken after %v, the pause is 0.5 s and a fifth at most", f.now.Sub(start))
	}
	f.Due(f.now)
	first := leaseOf(t, tickets[0])
	if s := f.Queue(f.now); s.Length != 3 {
		t.Fatalf("%d wait for the first one's answer, want 3", s.Length)
	}
	first.End(ended(balancer.Capacity), f.now)
	if s := f.Queue(f.now); s.Length != 3 {
		t.Fatalf("%d wait for the second pause's end, want 3", s.Length)
	}
	f.later(2 * time.Second)
	f.Due(f.now)
	leaseOf(t, tickets[1]).FirstToken(f.now)
	leaseOf(t, tickets[2])
	leaseOf(t, tickets[3])
}

// A pause longer than a request may wait is told at once.
func TestQueue_PauseBeyondTheDeadline(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10, Wait: time.Second})
	o := ended(balancer.Capacity)
	o.RetryAfter = 30 * time.Second
	f.enter(t, &balancer.Request{}).End(o, f.now)
	var out *balancer.Unavailable
	if _, k, err := f.Enter(&balancer.Request{}, f.now); k != nil || !errors.As(err, &out) || out.RetryAfter < 20*time.Second {
		t.Errorf("got a ticket %v, %v", k != nil, err)
	}
}

// A request that has another place to go does not wait for endpoints that all refuse, but for one that is only full.
func TestQueue_WhoHasAnotherPlaceLeavesRefusals(t *testing.T) {
	f := queued(t, 1, 1, balancer.QueueConfig{Max: 10})
	l := f.enter(t, &balancer.Request{})
	f.join(t, &balancer.Request{Elsewhere: true}).Leave(f.now)
	l.End(ended(balancer.Capacity), f.now)
	var out *balancer.Unavailable
	if _, k, err := f.Enter(&balancer.Request{Elsewhere: true}, f.now); k != nil || !errors.As(err, &out) || !out.Paused {
		t.Errorf("got a ticket %v, %v", k != nil, err)
	}
	f.join(t, &balancer.Request{})
}

// Those who wait for an endpoint that goes out of service are told at once.
func TestQueue_EndpointGoesAway(t *testing.T) {
	l := newLine(t, balancer.QueueConfig{Max: 10})
	l.join(t, "a", 0)
	if err := l.SetAdmin(url(0), balancer.Draining); err != nil {
		t.Fatal(err)
	}
	l.Due(l.now)
	var out *balancer.Unavailable
	if err := errorOf(l.tickets["a"]); !errors.As(err, &out) {
		t.Errorf("it got %v", err)
	}
}

// Requests that only a full endpoint can serve keep nobody from another one.
func TestQueue_OvertakesWhoCannotGo(t *testing.T) {
	f := queued(t, 2, 1, balancer.QueueConfig{Max: 100})
	f.enter(t, &balancer.Request{Only: url(0)})
	for range 50 {
		f.join(t, &balancer.Request{Only: url(0)})
	}
	l := f.enter(t, &balancer.Request{})
	k := f.join(t, &balancer.Request{})
	l.End(done(1), f.now)
	if l := leaseOf(t, k); l.Endpoint().Index() != 1 {
		t.Errorf("sent to %s", l.Endpoint().URL())
	}
}

// What a request has waited before its first endpoint failed counts for the second wait.
func TestQueue_WaitCountsOverTries(t *testing.T) {
	f := queued(t, 2, 1, balancer.QueueConfig{Max: 10, Wait: 10 * time.Second})
	a, b := f.enter(t, &balancer.Request{}), f.enter(t, &balancer.Request{})
	r := &balancer.Request{}
	k := f.join(t, r)
	f.later(6 * time.Second)
	a.End(done(1), f.now)
	tried := leaseOf(t, k)
	newer := f.join(t, &balancer.Request{})
	f.later(time.Second)
	tried.End(ended(balancer.Reset), f.now)
	leaseOf(t, newer) // the endpoint that failed is none for r
	again := f.join(t, r)
	if wake := f.Wake(f.now); wake.Sub(f.now) > time.Second {
		t.Errorf("next wake after %v", wake.Sub(f.now))
	}
	f.later(4*time.Second - time.Millisecond)
	f.Due(f.now)
	if answered(again) {
		t.Error("answered before its time is over")
	}
	f.later(time.Millisecond)
	f.Due(f.now)
	var late *balancer.QueueTimeout
	if err := errorOf(again); !errors.As(err, &late) {
		t.Errorf("after 10 s of waiting in all it got %v", err)
	}
	b.End(done(1), f.now)
}

// waiter is a waiting request as the plain model sees it.
type waiter struct {
	ticket         *balancer.Ticket
	rank, deadline time.Time
}

// TestQueue_LikeNaive drives random lives of requests and compares who waits, who is served and who is refused with a sorted list.
// Nothing must wait while there is room.
func TestQueue_LikeNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const wait = 4 * time.Second
		endpoints, each, most := rapid.IntRange(1, 3).Draw(t, "endpoints"), rapid.IntRange(1, 2).Draw(t, "each"), rapid.IntRange(1, 6).Draw(t, "max")
		f := &fleet{now: start}
		f.Pool = poolOf(t, endpoints, each, balancer.QueueConfig{Max: most, Wait: wait})
		var line []waiter
		var leases []*balancer.Lease
		var bound, expired, left, refused uint64
		settle := func() { // serves the list as the pool should have served the queue
			for len(line) > 0 && len(leases) < endpoints*each {
				l, err := line[0].ticket.Result()
				if !answered(line[0].ticket) || err != nil {
					t.Fatalf("the first of %d waits although there is room (%v)", len(line), err)
				}
				leases, line = append(leases, l), line[1:]
				bound++
			}
			for _, w := range line {
				if answered(w.ticket) {
					t.Fatal("one is answered out of turn")
				}
			}
		}
		expire := func() {
			line = slices.DeleteFunc(line, func(w waiter) bool {
				if f.now.Before(w.deadline) {
					return false
				}
				if late := new(balancer.QueueTimeout); !errors.As(errorOf(w.ticket), &late) {
					t.Fatalf("at its deadline it got %v", errorOf(w.ticket))
				}
				expired++
				return true
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				priority := rapid.IntRange(-12, 12).Draw(t, "priority")
				l, k, err := f.Enter(&balancer.Request{Priority: priority}, f.now)
				if l != nil {
					leases = append(leases, l)
					if len(line) > 0 || len(leases) > endpoints*each {
						t.Fatal("a lease beyond the caps or the queue")
					}
					return
				}
				offset := time.Duration(max(-10, min(10, priority))) * wait / 40
				w := waiter{k, f.now.Add(offset), f.now.Add(wait)}
				at := len(line)
				for at > 0 && w.rank.Before(line[at-1].rank) {
					at--
				}
				line = slices.Insert(line, at, w)
				if len(line) > most {
					last := line[most].ticket
					if last != nil {
						err = errorOf(last)
					}
					if full := new(balancer.QueueFull); !errors.As(err, &full) {
						t.Fatalf("the last of a full queue got %v", err)
					}
					line = line[:most]
					refused++
				}
			},
			"end": func(t *rapid.T) {
				if len(leases) == 0 {
					return
				}
				i := rapid.IntRange(0, len(leases)-1).Draw(t, "which")
				leases[i].End(ended(rapid.SampledFrom([]balancer.Cause{balancer.OK, balancer.ClientError}).Draw(t, "cause")), f.now)
				leases = slices.Delete(leases, i, i+1)
			},
			"leave": func(t *rapid.T) {
				if len(line) == 0 {
					return
				}
				i := rapid.IntRange(0, len(line)-1).Draw(t, "which")
				line[i].ticket.Leave(f.now)
				line = slices.Delete(line, i, i+1)
				left++
			},
			"time": func(t *rapid.T) {
				f.later(time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond)
				f.Due(f.now)
				expire()
			},
			"": func(t *rapid.T) {
				settle()
				s := f.Queue(f.now)
				if s.Length != len(line) || s.Bound < bound || s.Expired != expired || s.Left != left || s.Refused != refused {
					t.Fatalf("status %+v, want %d waiting, %d bound, %d expired, %d left, %d refused", s, len(line), bound, expired, left, refused)
				}
			},
		})
		for _, w := range line {
			w.ticket.Leave(f.now)
		}
		for _, l := range leases {
			l.End(done(1), f.now)
		}
		for _, s := range f.Status(f.now) {
			if s.InFlight != 0 || s.Pending != 0 || s.Context != 0 {
				t.Fatalf("charged at the end: %+v", s)
			}
		}
	})
}

// However many enter, leave and end at once, everybody who stays is served.
func TestQueue_ConcurrentUse(t *testing.T) {
	f := queued(t, 2, 2, balancer.QueueConfig{Max: 1000, Late: time.Millisecond})
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			for j := range 100 {
				l, k, err := f.Enter(&balancer.Request{Prompt: prompt(uint64(i), uint64(j), 2, 8), Priority: j % 5}, start)
				switch {
				case err != nil:
					t.Errorf("refused: %v", err)
					return
				case k != nil && j%7 == 0:
					k.Leave(start)
					continue
				case k != nil:
					<-k.Done()
					if l, err = k.Result(); err != nil {
						t.Errorf("refused: %v", err)
						return
					}
				}
				l.FirstToken(start)
				l.End(done(1), start)
			}
		})
	}
	all.Wait()
	if s := f.Queue(start); s.Length != 0 {
		t.Errorf("status at the end: %+v", s)
	}
	for _, s := range f.Status(start) {
		if s.InFlight != 0 || s.Pending != 0 || s.Context != 0 {
			t.Errorf("charged at the end: %+v", s)
		}
	}
}

// poolOf is a pool of least_request with caps and a queue.
func poolOf(t *rapid.T, endpoints, each int, q balancer.QueueConfig) *balancer.Pool {
	policy, err := policies.New("least_request", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := balancer.PoolConfig{Name: "test", Policy: policy, Queue: q}
	for i := range endpoints {
		cfg.Endpoints = append(cfg.Endpoints, balancer.EndpointConfig{URL: url(i), MaxConcurrency: each})
	}
	p, err := balancer.NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// BenchmarkQueue takes one turn of a pool of 32 full endpoints with 1,000 requests waiting: one ends, the first in the queue takes its
// place, one joins and one is refused.
func BenchmarkQueue(b *testing.B) {
	f := queued(b, 32, 1, balancer.QueueConfig{Max: 1000})
	r := func() *balancer.Request { return &balancer.Request{Prompt: prompt(1, 1, 0, 16)} }
	var leases []*balancer.Lease
	var tickets []*balancer.Ticket
	for range 32 {
		leases = append(leases, f.enter(b, r()))
	}
	for range 1000 {
		tickets = append(tickets, f.join(b, r()))
	}
	for i := 0; b.Loop(); i++ {
		leases[i%32].End(done(1), f.now)
		leases[i%32] = leaseOf(b, tickets[i%1000])
		tickets[i%1000] = f.join(b, r())
		if _, k, _ := f.Enter(r(), f.now); k != nil {
			b.Fatal("a place beyond the bound")
		}
	}
}

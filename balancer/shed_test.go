package balancer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// crowd is a line before one place, to which some come each time that one is served.
type crowd struct {
	*line
	seen     []*balancer.Ticket
	atOnce   int           // refused when they came
	expired  int           // refused later
	longest  time.Duration // wait of those who were served
	joinedAt map[*balancer.Ticket]time.Time
}

// serve lets one request be answered each 100 ms for a while, and so many come meanwhile.
func (c *crowd) serve(during time.Duration, each int, priority int) {
	if c.joinedAt == nil {
		c.joinedAt = map[*balancer.Ticket]time.Time{}
	}
	for end := c.now.Add(during); c.now.Before(end); {
		for range each {
			lease, ticket, err := c.Enter(&balancer.Request{Priority: priority}, c.now)
			var full *balancer.QueueFull
			switch {
			case errors.As(err, &full):
				c.atOnce++
			case ticket != nil:
				c.joinedAt[ticket] = c.now
				c.seen = append(c.seen, ticket)
			case lease != nil:
				c.lease = lease
			}
		}
		c.later(100 * time.Millisecond)
		c.Due(c.now)
		if l := c.lease; l != nil {
			c.lease = nil
			l.End(done(1), c.now)
		}
		c.settle()
	}
}

// settle takes the answers of those who waited.
func (c *crowd) settle() {
	kept := c.seen[:0]
	for _, k := range c.seen {
		switch {
		case !answered(k):
			kept = append(kept, k)
		case errorOf(k) != nil:
			c.expired++
		default:
			c.lease, _ = k.Result()
			c.longest = max(c.longest, c.now.Sub(c.joinedAt[k]))
		}
	}
	c.seen = kept
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	return &crowd{line: newLine(t, balancer.QueueConfig{Max: 1000, Wait: 10 * time.Second, Shed: 500 * time.Millisecond})}
}

// A rush that the pool works off within wait is served, however long it takes.
func TestShed_ARushMayWait(t *testing.T) {
	c := newCrowd(t)
	c.serve(100*time.Millisecond, 80, 0) // eight seconds of work
	c.serve(7500*time.Millisecond, 0, 0)
	if c.atOnce+c.expired > 0 || c.longest < 7*time.Second {
		t.Errorf("of a rush %d were refused at once and %d later; the longest wait was %v", c.atOnce, c.expired, c.longest)
	}
}

// During overload few wait, those not for long, and the others are refused when they come.
func TestShed_Overload(t *testing.T) {
	c := newCrowd(t)
	c.serve(15*time.Second, 2, 0)
	if s := c.Queue(c.now); !s.Overloaded || s.Length > 7 {
		t.Errorf("after 15 s of twice what can be served: %+v", s)
	}
	c.atOnce, c.expired, c.longest = 0, 0, 0
	c.serve(10*time.Second, 2, 0)
	if c.longest > 600*time.Millisecond {
		t.Errorf("one who was served had waited %v", c.longest)
	}
	if all := c.atOnce + c.expired; all < 90 || all > 110 || c.atOnce < c.expired {
		t.Errorf("of 200 requests %d were refused at once and %d later, want 100, most of them at once", c.atOnce, c.expired)
	}
	c.atOnce, c.expired = 0, 0
	c.serve(200*time.Millisecond, 3, -1)
	c.serve(2*time.Second, 0, 0)
	if c.atOnce > 0 {
		t.Errorf("%d urgent requests were refused", c.atOnce)
	}
	c.later(2 * time.Second)
	if c.Queue(c.now).Overloaded {
		t.Error("overloaded although the queue has been empty for seconds")
	}
}

// Room that an urgent request waits for is not given to others.
func TestShed_UrgentRequestsKeepTheirRoom(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10, Late: time.Millisecond})
	f.Observe(f.Endpoints()[0], balancer.Load{KVTokens: 4000}, f.now)
	running := f.enter(t, &balancer.Request{Prompt: prompt(1, 1, 0, 30)})
	running.FirstToken(f.now)
	urgent := f.join(t, &balancer.Request{Prompt: prompt(2, 1, 0, 40), Priority: -1})
	small := f.join(t, &balancer.Request{Prompt: prompt(3, 1, 0, 1)}) // would fit beside the one that runs
	f.Due(f.now)
	if answered(small) {
		t.Fatal("a usual request was given room that an urgent one waits for")
	}
	running.End(done(1), f.now)
	leaseOf(t, urgent)
}

// With late a request waits where the engine has been seen at its limit twice; one look in the middle of a rush proves nothing.
func TestQueue_LateForWantOfSlots(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10, Late: time.Hour})
	var running []*balancer.Lease
	for range 8 {
		running = append(running, f.enter(t, &balancer.Request{}))
		running[len(running)-1].FirstToken(f.now)
	}
	scrape := func(running, waiting float64) {
		f.later(time.Second)
		f.Observe(f.Endpoints()[0], balancer.Load{Running: running, Waiting: waiting}, f.now)
	}
	scrape(4, 3)
	scrape(4, 3) // they may only wait for the next step
	f.enter(t, &balancer.Request{}).End(done(1), f.now)
	scrape(4, 4)
	f.enter(t, &balancer.Request{}).End(done(1), f.now)
	scrape(4, 4)
	k := f.join(t, &balancer.Request{})
	for i := range 3 {
		running[i].End(done(1), f.now)
	}
	if answered(k) {
		t.Fatal("a sixth request was sent to an engine that runs four and holds one more ready")
	}
	running[3].End(done(1), f.now)
	leaseOf(t, k)
	scrape(5, 0) // it has more slots than was believed
	f.enter(t, &balancer.Request{})
}

// With late a request waits where the engine has no KV memory for it, and never where nothing is in flight.
func TestQueue_LateForWantOfMemory(t *testing.T) {
	f := queued(t, 1, 0, balancer.QueueConfig{Max: 10, Late: time.Hour})
	f.Observe(f.Endpoints()[0], balancer.Load{KVTokens: 4000}, f.now)
	first := f.enter(t, &balancer.Request{Prompt: prompt(1, 1, 0, 100)}) // more than there is, but it is alone
	first.FirstToken(f.now)
	k := f.join(t, &balancer.Request{Prompt: prompt(2, 1, 0, 10)})
	first.End(done(1), f.now)
	leaseOf(t, k)
}

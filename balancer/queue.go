package balancer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// QueueConfig bounds the queue in which requests wait that cannot be sent yet. The zero QueueConfig lets nobody wait.
type QueueConfig struct {
	// Max is the most requests that wait at once; 0 means that none does.
	Max int
	// Wait is the longest that one request waits in all; 10 s.
	Wait time.Duration
	// Late is the predicted time until the endpoint of choice would begin with the request, from which the request waits
	// although there is room; so it does where the engine's KV memory or slots have no room for it. 0 binds it whenever there is room.
	Late time.Duration
	// Shed is the longest wait during overload, that is while the queue has hardly been empty for as long as Wait; whoever
	// would wait longer is refused at once. Requests of a priority below 0 are not held to it. 0 makes no difference
	// between a rush and an overload.
	Shed time.Duration
}

// LastPriority is the priority of the requests that go last, -LastPriority that of those that go first. Priorities beyond
// count as these. One step is worth a fortieth of [QueueConfig.Wait] of waiting, so a request that has waited half of
// that time goes before every newcomer.
const LastPriority = 10

const (
	stepsInWait = 4 * LastPriority
	lateAtMost  = 16 // requests found late, after which the rest of the queue is left for the next event
)

// errLate says that the endpoint of choice would begin with the request too late.
var errLate = errors.New("every endpoint would start the request late")

// errLeft is the answer of a ticket whose owner left.
var errLeft = errors.New("left the queue")

// QueueFull says that the request may not wait: the queue is full of requests that go before it.
type QueueFull struct {
	// RetryAfter is how long the last request that was served has waited, at least a second.
	RetryAfter time.Duration
}

// Error implements error.
func (f *QueueFull) Error() string {
	return fmt.Sprintf("the queue is full, retry after %v", f.RetryAfter)
}

// QueueTimeout says that the request has waited as long as it may.
type QueueTimeout struct {
	// RetryAfter is as in [QueueFull].
	RetryAfter time.Duration
}

// Error implements error.
func (f *QueueTimeout) Error() string {
	return fmt.Sprintf("no endpoint had room in time, retry after %v", f.RetryAfter)
}

// QueueStatus describes a pool's queue. The counters are of requests that have joined it, by how their stay ended.
type QueueStatus struct {
	Length, Max int
	// Oldest is how long the one that joined first has waited.
	Oldest time.Duration
	// Overloaded tells that nobody waits longer than [QueueConfig.Shed].
	Overloaded bool
	// Bound got a lease, Expired waited in vain, Left were given up by their callers, Refused found the queue full, were
	// displaced by one of higher priority or lost the last endpoint that could have served them.
	Bound, Expired, Left, Refused uint64
}

// Ticket is a place in a pool's queue. Its owner waits for Done and takes the Result, or leaves.
type Ticket struct {
	pool    *Pool
	request *Request
	done    chan struct{}

	since, deadline time.Time
	rank            time.Time // when it would have joined had it no priority and not waited before; earlier goes first

	// The mutex of the pool guards what follows until done is closed.

	answered bool
	lease    *Lease
	err      error
}

// Done is closed when the Result is there.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Result is the lease, which must be ended, or an error of [Pool.Enter]. It may be called once Done is closed.
func (t *Ticket) Result() (*Lease, error) { return t.lease, t.err }

// Leave gives the place up. A lease that came meanwhile is ended. It is called instead of Result.
func (t *Ticket) Leave(now time.Time) {
	p := t.pool
	p.mu.Lock()
	if !t.answered {
		p.queue.status.Left++
		p.queue.answer(slices.Index(p.queue.waiting, t), nil, errLeft, now)
		p.serveQueue(now)
	}
	p.mu.Unlock()
	if t.lease != nil {
		t.lease.End(Outcome{Cause: Cancelled, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}, now)
	}
}

// queue holds the waiting requests of a pool. The pool's mutex guards it.
type queue struct {
	QueueConfig
	status  QueueStatus // its counters
	waiting []*Ticket   // in the order in which they are served
	next    time.Time   // no deadline is before it
	served  time.Duration
	stuck   []errand // during one serving

	busySince, emptySince time.Time // the queue has not been empty for long since the first; it is since the second, if not zero
	flow                  float64   // requests bound, decayed, as of flowAt
	flowAt                time.Time
}

// errand is what decides for requests without tries whether an endpoint may take them at all.
type errand struct{ model, only string }

// Enter is [Pool.Choose] for those who can wait. It returns a lease, or a ticket while no endpoint has room or all would be
// late, or an error: those of Choose, [*QueueFull] or [*QueueTimeout]. Nobody overtakes a waiting request of the same or a
// higher priority that could be served as well. The choice is made at the moment at which there is room, not before.
func (p *Pool) Enter(r *Request, now time.Time) (*Lease, *Ticket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &p.queue
	if len(q.waiting) == 0 || r.Elsewhere && !p.hasRoom(now) {
		l, err := p.bind(r, now, q.Late)
		if !q.keeps(r, err, q.Wait) {
			return l, nil, err
		}
	}
	t := q.join(p, r, now)
	p.serveQueue(now)
	if !t.answered && q.hopeless(t, now) {
		q.status.Refused++
		q.answer(slices.Index(q.waiting, t), nil, &QueueFull{q.retryAfter()}, now)
	}
	if n := len(q.waiting); n > q.Max {
		q.status.Refused++
		q.answer(n-1, nil, &QueueFull{q.retryAfter()}, now)
	}
	if t.answered {
		return t.lease, nil, t.err
	}
	return nil, t, nil
}

// Queue describes the queue.
func (p *Pool) Queue(now time.Time) QueueStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.queue.status
	s.Length, s.Max, s.Overloaded = len(p.queue.waiting), p.queue.Max, p.queue.overloaded(now)
	for _, t := range p.queue.waiting {
		s.Oldest = max(s.Oldest, now.Sub(t.since))
	}
	return s
}

// keeps tells whether a request that met err, and has so much time left, may wait for better times.
func (q *queue) keeps(r *Request, err error, left time.Duration) bool {
	var full *Saturated
	var out *Unavailable
	switch {
	case err == nil || q.Max == 0:
		return false
	case errors.Is(err, errLate) || errors.As(err, &full):
		return true
	default:
		return errors.As(err, &out) && out.Paused && out.RetryAfter <= left && !r.Elsewhere
	}
}

// join puts a request into its place. What it has waited before, for an endpoint that then failed, counts.
func (q *queue) join(p *Pool, r *Request, now time.Time) *Ticket {
	came := now.Add(-r.waited)
	steps := max(-LastPriority, min(r.Priority, LastPriority))
	t := &Ticket{
		pool: p, request: r, done: make(chan struct{}),
		since: now, deadline: came.Add(q.Wait), rank: came.Add(time.Duration(steps) * q.Wait / stepsInWait),
	}
	if len(q.waiting) == 0 {
		q.busy(now)
	}
	at := sort.Search(len(q.waiting), func(i int) bool { return t.rank.Before(q.waiting[i].rank) })
	if over := q.over(t, now); len(q.waiting) == 0 || over.Before(q.next) {
		q.next = over
	}
	q.waiting = slices.Insert(q.waiting, at, t)
	return t
}

// answer takes out who waits at that place and tells him.
func (q *queue) answer(at int, l *Lease, err error, now time.Time) {
	t := q.waiting[at]
	q.waiting = slices.Delete(q.waiting, at, at+1)
	q.idle(now)
	t.tell(l, err, now)
	if err == nil {
		q.status.Bound++
		q.served = l.request.waited
		q.flowed(now)
	}
}

// tell gives the owner the answer. The ticket is no longer in the queue.
func (t *Ticket) tell(l *Lease, err error, now time.Time) {
	t.request.waited += max(0, now.Sub(t.since))
	t.answered, t.lease, t.err, t.request = true, l, err, nil
	close(t.done)
}

func (q *queue) retryAfter() time.Duration { return max(q.served, restWait) }

// expire answers those whose time is over.
func (q *queue) expire(now time.Time) {
	if now.Before(q.next) {
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(t *Ticket) bool {
		over := !now.Before(q.over(t, now))
		if over {
			q.status.Expired++
			t.tell(nil, &QueueTimeout{q.retryAfter()}, now)
		}
		return over
	})
	q.idle(now)
	for i, t := range q.waiting {
		if over := q.over(t, now); i == 0 || over.Before(q.next) {
			q.next = over
		}
	}
}

// serveQueue hands leases to waiting requests, in order, while there is room. Whatever may have made room or has ended an
// endpoint's service calls it. It costs next to nothing while nobody waits or every endpoint is full.
func (p *Pool) serveQueue(now time.Time) {
	q := &p.queue
	if len(q.waiting) == 0 {
		return
	}
	q.expire(now)
	q.stuck = q.stuck[:0]
	room, late, behind := p.hasRoom(now), 0, math.MaxInt
	for i := 0; i < len(q.waiting) && room && late < lateAtMost; {
		t := q.waiting[i]
		if t.request.Priority > behind || q.isStuck(t.request) {
			i++
			continue
		}
		l, err := p.bind(t.request, now, q.Late)
		switch {
		case err == nil:
			q.answer(i, l, nil, now)
			room = p.hasRoom(now)
		case !q.keeps(t.request, err, t.deadline.Sub(now)):
			q.status.Refused++
			q.answer(i, nil, err, now)
		case errors.Is(err, errLate): // the room that it waits for is not for those of less priority
			late++
			i++
			behind = min(behind, t.request.Priority)
		default:
			q.noteStuck(t.request)
			i++
		}
	}
}

// hasRoom is false when every endpoint that works is full or paused: then no request can be sent, whatever it wants.
func (p *Pool) hasRoom(now time.Time) bool {
	busy := false
	for _, e := range p.endpoints {
		if e.admin != Enabled {
			continue
		}
		state := e.health.state(now)
		switch {
		case state == Down || state == Ejected && e.health.gone:
		case state == Paused || e.full():
			busy = true
		default:
			return true
		}
	}
	return !busy
}

// isStuck tells that a request like r has been found without an endpoint in this serving.
func (q *queue) isStuck(r *Request) bool {
	return r.Tries() == 0 && slices.Contains(q.stuck, errand{r.Model, r.Only})
}

func (q *queue) noteStuck(r *Request) {
	const most = 8 // what differs beyond that is looked at one by one
	if r.Tries() == 0 && len(q.stuck) < most {
		q.stuck = append(q.stuck, errand{r.Model, r.Only})
	}
}

// queueWake is when time alone changes something for those who wait, if that is before wake.
func (p *Pool) queueWake(wake, now time.Time) time.Time {
	if len(p.queue.waiting) == 0 {
		return wake
	}
	sooner := func(at time.Time) {
		if at.Before(wake) {
			wake = at
		}
	}
	sooner(p.queue.next)
	for _, e := range p.endpoints {
		if e.health.paused(now) {
			sooner(e.health.pausedUntil)
		}
		for _, l := range e.whole {
			sooner(l.dispatched.Add(l.estimate))
		}
	}
	return wake
}

// doubt notes whether e has refused for want of capacity since it last answered. While it has, the queue sends it one request
// at a time: the end of a pause is a guess, and everybody who waits would run into the same refusal.
func (p *Pool) doubt(e *Endpoint, refused bool) {
	e.doubted = refused && p.queue.Max > 0
}

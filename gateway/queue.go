package gateway

import (
	"errors"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/observe"
)

// headerPriority is the caller's word on how urgent the request is, before that of the body's priority, and as there lower is earlier.
const headerPriority = "X-Warmlane-Priority"

// errCancelled says that the request was cancelled while it waited.
var errCancelled = errors.New("cancelled in the queue")

// readPriority finds how early the request is served among those that wait. Callers may put themselves behind what their consumer is
// allowed, not before it.
func (x *exchange) readPriority() *failure.Error {
	x.priority = x.consumer.Priority
	if x.view.Priority != 0 {
		x.priority = max(x.view.Priority, x.consumer.Priority)
	}
	asked := x.ctx.Request.Header.Peek(headerPriority)
	if len(asked) == 0 {
		return nil
	}
	n, err := strconv.Atoi(string(asked))
	if err != nil {
		return failure.Bad("x-warmlane-priority", "The header x-warmlane-priority must be a whole number, lower for earlier.")
	}
	x.priority = max(n, x.consumer.Priority)
	return nil
}

// choose gets the request a lease on an endpoint of p. While no endpoint has room it waits in p's queue: it keeps its body, and has
// no connection to an engine. When it is cancelled meanwhile the queue forgets it.
func (x *exchange) choose(p *pool) (*balancer.Lease, error) {
	began := time.Now()
	lease, ticket, err := p.Enter(&x.request, began)
	if ticket == nil {
		return lease, err
	}
	p.nudge() // what is due next may be this request's deadline
	select {
	case <-ticket.Done():
		lease, err = ticket.Result()
	case <-x.park():
		ticket.Leave(time.Now())
		err = errCancelled
	}
	x.rec.Queue += time.Since(began)
	return lease, err
}

// park returns what cancel closes.
func (x *exchange) park() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.parked = make(chan struct{})
	if x.gone != failure.None {
		close(x.parked)
	}
	return x.parked
}

// unpark lets a waiting request go on; x.mu is held.
func (x *exchange) unpark() {
	if x.parked != nil {
		close(x.parked)
		x.parked = nil
	}
}

// queues describes every pool's queue for the metrics.
func (s *state) queues(now time.Time) []observe.QueueGauge {
	all := make([]observe.QueueGauge, 0, len(s.pools))
	for name, p := range s.pools {
		q := p.Queue(now)
		all = append(all, observe.QueueGauge{
			Pool: name, Length: q.Length, Max: q.Max, Oldest: q.Oldest,
			Overloaded: q.Overloaded, Bound: q.Bound, Expired: q.Expired, Left: q.Left, Refused: q.Refused,
		})
	}
	return all
}

// adminQueue is a pool's queue as the admin API shows it. The counters are of requests that have waited, by how that ended.
type adminQueue struct {
	Length int     `json:"length"`
	Max    int     `json:"max"`
	Oldest float64 `json:"oldest_seconds"`
	// Overloaded tells that nobody waits longer than the pool's queue.shed.
	Overloaded bool `json:"overloaded"`

	Bound   uint64 `json:"bound"`
	Expired uint64 `json:"expired"`
	Left    uint64 `json:"left"`
	Refused uint64 `json:"refused"`
}

func describeQueue(q balancer.QueueStatus) adminQueue {
	return adminQueue{
		Length: q.Length, Max: q.Max, Oldest: q.Oldest.Seconds(),
		Overloaded: q.Overloaded, Bound: q.Bound, Expired: q.Expired, Left: q.Left, Refused: q.Refused,
	}
}

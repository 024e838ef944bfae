package balancer

import (
	"math"
	"slices"
	"time"
)

const (
	flowTime  = 5.0         // s, by which what the queue gave out fades
	flowLeast = 8.0         // requests of late, below which nothing is foreseen from them
	briefly   = time.Second // empty for less than this, the queue counts as never empty
)

// A queue that smooths out a rush empties again. One that does not is a standing queue: everybody in it waits for nothing, whoever
// is served has waited as long as he can bear, and priorities weigh little against such waits. Then it is better to let few wait, and
// those not for long (as Facebook's servers do, "Fail at Scale", ACM Queue 2015).

// busy notes that the queue is not empty any more.
func (q *queue) busy(now time.Time) {
	if q.emptySince.IsZero() || now.Sub(q.emptySince) > briefly {
		q.busySince = now
	}
	q.emptySince = time.Time{}
}

// idle notes that the queue may have become empty.
func (q *queue) idle(now time.Time) {
	if len(q.waiting) == 0 && q.emptySince.IsZero() {
		q.emptySince = now
	}
}

// overloaded tells whether the queue has stood for as long as anybody may wait.
func (q *queue) overloaded(now time.Time) bool {
	if q.Shed <= 0 || q.busySince.IsZero() || !q.emptySince.IsZero() && now.Sub(q.emptySince) > briefly {
		return false
	}
	return now.Sub(q.busySince) >= q.Wait
}

// over is when t has waited for too long, or when that is to be looked at again.
func (q *queue) over(t *Ticket, now time.Time) time.Time {
	switch shed := t.deadline.Add(q.Shed - q.Wait); {
	case q.Shed <= 0 || q.Shed >= q.Wait || t.request.Priority < 0:
		return t.deadline
	case q.overloaded(now):
		return shed
	default: // or as soon as it is overloaded
		begin := q.busySince.Add(q.Wait)
		if begin.Before(shed) {
			begin = shed
		}
		if begin.After(t.deadline) {
			return t.deadline
		}
		return begin
	}
}

// flowed counts a request that got an endpoint.
func (q *queue) flowed(now time.Time) {
	q.flow = q.flowing(now) + 1
	q.flowAt = now
}

func (q *queue) flowing(now time.Time) float64 {
	return q.flow * math.Exp(-max(0, now.Sub(q.flowAt).Seconds())/flowTime)
}

// hopeless tells, during overload, that at the rate of late t will not be served in time.
func (q *queue) hopeless(t *Ticket, now time.Time) bool {
	flow := q.flowing(now)
	if !q.overloaded(now) || flow < flowLeast || t.request.Priority < 0 {
		return false
	}
	before := float64(slices.Index(q.waiting, t))
	return before/(flow/flowTime) > t.deadline.Add(q.Shed-q.Wait).Sub(now).Seconds()
}

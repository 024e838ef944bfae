package gateway

import (
	"math/rand/v2"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/upstream"
)

const (
	// mostExtra is how often one request may be tried again after an engine had accepted it.
	mostExtra = 2
	// leastWait and mostWait bound the pause before the second of these tries.
	leastWait, mostWait = 25 * time.Millisecond, 250 * time.Millisecond
)

// repeats is what a request's tries so far say about further ones.
type repeats struct {
	extra    int                // tries after one that an engine had accepted
	answered bool               // an engine has answered with an error
	lost     []*upstream.Server // engines that broke the connection before they answered
}

// repeat says whether a request that failed at s may go to another endpoint of p, and waits where it should. What no engine has accepted
// costs nothing and may go on. What one has may be repeated within the pool's budget: twice, or once where the route has a further target;
// not when a second engine has answered with an error, and not when it seems to have killed two.
func (x *exchange) repeat(p *pool, s *upstream.Server, last *failure.Error, more bool) bool {
	if x.request.Tries() >= maxTries {
		return false
	}
	switch last.Kind.Entry().Retry {
	case failure.RetryNever:
		return false
	case failure.RetryAlways:
		return true
	}
	most := mostExtra
	if more {
		most = 1
	}
	r := &x.repeats
	again := r.note(s, last)
	switch {
	case again || r.extra >= most || r.killed():
		return false
	case last.Kind == failure.EngineStuck: // whoever moved it has asked the budget
	case !p.budget.Retry(time.Now()):
		x.g.metrics.RetryDenied(p.Name())
		return false
	}
	r.extra++
	return r.extra == 1 || x.wait(leastWait+rand.N(mostWait-leastWait))
}

// note takes in how the request failed at s; again tells that a second engine has answered with an error.
func (r *repeats) note(s *upstream.Server, fail *failure.Error) (again bool) {
	switch fail.Kind {
	case failure.EngineError:
		again, r.answered = r.answered, true
	case failure.ConnectionLost, failure.SendFailed:
		r.lost = append(r.lost, s)
	}
	return again
}

// killed says whether two engines broke the connection and their ports refuse since: the request may be what they died of.
func (r *repeats) killed() bool {
	if len(r.lost) < 2 {
		return false
	}
	for _, s := range r.lost {
		if !s.Refuses() {
			return false
		}
	}
	return true
}

// wait lets d pass; false when the request was cancelled meanwhile.
func (x *exchange) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.park():
		return false
	}
}

package limit

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ledger keeps this process' reservations in a Redis: it renews their leases and settles them, off the way of requests. What cannot be
// settled while Redis is away is settled when it is back.
type ledger struct {
	redis *Redis
	lease time.Duration
	wake  chan struct{}
	stop  chan struct{}
	ended chan struct{}

	mu    sync.Mutex // guards the fields below
	holds map[string]*hold
	due   []settlement // oldest first
}

// hold is an open reservation.
type hold struct {
	claims  []claim
	renewed time.Time
}

// settlement is a reservation that has ended.
type settlement struct {
	id      string
	changes []change
	renewed time.Time
	tried   bool // Redis may have settled it already, though its answer did not come
}

const (
	mostDue   = 100_000 // settlements that wait for Redis; older ones are left to their leases
	atOnce    = 100     // scripts in a pipeline
	lastWords = time.Second
)

func newLedger(r *Redis, lease time.Duration) *ledger {
	l := &ledger{
		redis: r, lease: lease, holds: make(map[string]*hold),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// open notes a reservation that has to be renewed and settled.
func (l *ledger) open(id string, claims []claim) {
	for i := range claims {
		if claims[i].mode != final {
			l.mu.Lock()
			l.holds[id] = &hold{claims, time.Now()}
			l.mu.Unlock()
			return
		}
	}
}

// settle notes that a reservation has ended. It does not wait.
func (l *ledger) settle(id string, changes []change) {
	s := settlement{id: id, changes: changes, renewed: time.Now()}
	l.mu.Lock()
	if h := l.holds[id]; h != nil {
		s.renewed = h.renewed
		delete(l.holds, id)
	}
	if len(l.due) >= mostDue {
		l.due = l.due[1:]
	}
	l.due = append(l.due, s)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close settles what has ended, for a second at most, and stops.
func (l *ledger) close() {
	close(l.stop)
	<-l.ended
	for end := time.Now().Add(lastWords); time.Now().Before(end); {
		if !l.flush() {
			return
		}
	}
}

func (l *ledger) run() {
	defer close(l.ended)
	tick := time.NewTicker(min(time.Second, l.lease/6))
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
		case <-tick.C:
			l.renew()
		}
		for l.flush() {
		}
	}
}

// flush settles some of what is due; false when nothing is left that could be.
func (l *ledger) flush() bool {
	if l.redis.breaker.open() {
		return false
	}
	l.mu.Lock()
	n := min(len(l.due), atOnce)
	batch := l.due[:n:n]
	l.due = l.due[n:]
	l.mu.Unlock()
	if n == 0 {
		return false
	}
	if err := l.send(batch); err != nil {
		for i := range batch {
			batch[i].tried = true
		}
		l.mu.Lock()
		l.due = append(batch, l.due...)
		l.mu.Unlock()
		l.redis.breaker.trip(err)
		return false
	}
	return true
}

// send settles a batch in one pipeline.
func (l *ledger) send(batch []settlement) error {
	var calls []scriptCall
	for i := range batch {
		calls = l.redis.appendSettlement(calls, &batch[i], l.lease)
	}
	return l.redis.pipeline(l.redis.scripts.settle, calls)
}

// renew renews the leases that have used up a third of their time.
func (l *ledger) renew() {
	if l.redis.breaker.open() {
		return
	}
	now := time.Now()
	var calls []scriptCall
	l.mu.Lock()
	for id, h := range l.holds {
		if now.Sub(h.renewed) >= l.lease/3 {
			calls = l.redis.appendRenewal(calls, id, h.claims, l.lease)
			h.renewed = now
		}
	}
	l.mu.Unlock()
	for len(calls) > 0 {
		n := min(len(calls), atOnce)
		if err := l.redis.pipeline(l.redis.scripts.renew, calls[:n]); err != nil {
			l.redis.breaker.trip(err)
			return
		}
		calls = calls[n:]
	}
}

// scriptCall is one call of a script.
type scriptCall struct {
	keys []string
	args []any
}

// appendSettlement appends the calls that settle s: one, in a cluster one for each place.
func (r *Redis) appendSettlement(calls []scriptCall, s *settlement, lease time.Duration) []scriptCall {
	late := !s.tried && time.Since(s.renewed) >= lease
	for len(s.changes) > 0 {
		c := scriptCall{args: []any{s.id, late, lease.Milliseconds()}}
		rest := make([]change, 0, len(s.changes))
		for _, ch := range s.changes {
			if r.cluster != nil && ch.claim.place() != s.changes[0].claim.place() {
				rest = append(rest, ch)
				continue
			}
			c.keys = appendKeys(c.keys, ch.claim.key)
			c.args = append(c.args, ch.claim.rate.gain, ch.claim.need, ch.actual, int64(ch.claim.mode), ch.claim.keeps.Milliseconds())
		}
		calls = append(calls, c)
		if len(rest) == 0 {
			break
		}
		s = &settlement{id: s.id, changes: rest, renewed: s.renewed, tried: s.tried}
	}
	return calls
}

// appendRenewal appends the calls that renew a reservation.
func (r *Redis) appendRenewal(calls []scriptCall, id string, claims []claim, lease time.Duration) []scriptCall {
	for i := range claims {
		if cl := &claims[i]; cl.mode != final {
			calls = append(calls, scriptCall{
				keys: appendKeys(nil, cl.key)[1:], args: []any{lease.Milliseconds(), member(id, cl.need)},
			})
		}
	}
	return calls
}

// pipeline calls a script several times at once. A Redis that does not know the script yet is given it.
func (r *Redis) pipeline(script *redis.Script, calls []scriptCall) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*r.timeout)
	defer cancel()
	pipe := r.client.Pipeline()
	for _, c := range calls {
		pipe.EvalSha(ctx, script.Hash(), c.keys, c.args...)
	}
	answers, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	for i, a := range answers {
		switch err := a.Err(); {
		case err == nil:
		case strings.HasPrefix(err.Error(), "NOSCRIPT"):
			if _, err := r.run(ctx, script, calls[i].keys, calls[i].args); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

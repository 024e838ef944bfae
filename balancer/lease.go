package balancer

import "time"

// Lease is one attempt of a request on one endpoint. It is used by one goroutine at a time and must be ended.
type Lease struct {
	pool     *Pool
	endpoint *Endpoint
	request  *Request
	decision Decision

	dispatched time.Time
	last       time.Time // of the last event
	estimate   time.Duration
	usual      time.Duration // the estimate for an endpoint of the pool's usual speed
	epoch      uint64        // the endpoint's at dispatch

	prompt    int // tokens charged to context, L
	uncached  int // tokens charged to pending
	loose     int // tokens of prompt that lie in no full block
	predicted int // tokens believed cached, not scaled by trust
	band      int // of the age of that belief
	relayed   int // tokens of the answer so far
	place     int // in the endpoint's leases

	probe bool
	spare bool // of [Pool.Spare]
	begun bool // moved past the first token, seen or presumed
	first bool // the first token was seen
	ended bool
}

// Endpoint is where the request goes.
func (l *Lease) Endpoint() *Endpoint { return l.endpoint }

// Decision tells why. It stays valid after the end of the lease.
func (l *Lease) Decision() *Decision { return &l.decision }

// begin charges the request to e. The mutex is held; p.match is the walk of its blocks.
func (p *Pool) begin(e *Endpoint, r *Request, now time.Time) *Lease {
	l := &Lease{
		pool: p, endpoint: e, request: r, dispatched: now, last: now, epoch: e.epoch,
		prompt: r.tokens(),
	}
	chain := r.blocks()
	l.loose = l.prompt - r.tokensIn(len(chain))
	l.predicted = min(r.tokensIn(int(p.match.Depth[e.index])), l.prompt)
	l.band = trustBand(p.index.Age(e.index, &p.match))
	l.uncached = l.prompt - int(e.trust.of(l.band)*float64(l.predicted))
	prefill := float64(p.load(e, &counts{}).pending + l.uncached)
	l.estimate = seconds(e.speed.floor + prefill*e.speed.perTok)
	l.usual = seconds(p.learner.median * (p.learner.floor + prefill*p.learner.prefill))
	p.index.Use(e.index, chain, &p.match, now)
	p.sawBlocks(r.Prompt)
	p.noteSent(e, chain)
	e.addLease(l)
	e.count.inFlight++
	e.held.Add(1)
	e.count.pending += l.uncached
	e.count.context += l.prompt
	e.count.loose += l.loose
	e.sent++
	if r.Whole {
		e.whole = append(e.whole, l)
	}
	return l
}

// FirstToken notes the first event of the answer. Further calls do nothing.
func (l *Lease) FirstToken(now time.Time) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.first || l.ended {
		return
	}
	l.first, l.last = true, now
	e := l.endpoint
	if l.spare {
		l.pool.noteSession(l.request.Session, e.index)
	}
	if !l.begun {
		l.begun = true
		l.move(now)
		if l.request.Whole {
			e.dropWhole(l)
		}
		l.answered(1)
		if l.epoch == e.epoch {
			l.pool.learner.sawFirst(&e.speed, float64(l.uncached), l.dispatched, now)
		}
	}
	l.pool.answering(e, l, now)
	l.pool.doubt(e, false)
	l.pool.serveQueue(now)
}

// move takes the prompt off the endpoint's prefill queue.
func (l *Lease) move(now time.Time) {
	e := l.endpoint
	e.count.pending -= l.uncached
	e.count.decoding++
	e.speed.lastWait = now
}

func (l *Lease) answered(tokens int) {
	l.relayed += tokens
	l.endpoint.count.context += tokens
	l.endpoint.count.loose += tokens
}

// Token notes a later event of the answer with n tokens in it; 1 if unknown, and never more than a long text has.
func (l *Lease) Token(now time.Time, n int) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if !l.first || l.ended {
		return
	}
	e := l.endpoint
	n = min(max(1, n), longestText)
	if load := l.pool.load(e, &counts{}); l.epoch == e.epoch && load.waiting() == 0 && !e.speed.lastWait.After(l.last) {
		l.pool.learner.sawStep(&e.speed, float64(load.context), now.Sub(l.last).Seconds(), n, now)
	}
	l.last = now
	e.health.moved(now)
	l.answered(n)
}

// End takes back all that was charged, notes the outcome and teaches the pool by it. Only the first call counts.
func (l *Lease) End(o Outcome, now time.Time) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	l.uncharge(now)
	l.settleIndex(o)
	if o.Cause == OK {
		l.learn(o)
	}
	l.pool.judge(l, o, now)
	l.request = nil
	if o.Cause == OK || o.Cause == Capacity {
		l.pool.doubt(l.endpoint, o.Cause == Capacity)
	}
	l.pool.serveQueue(now)
}

func (l *Lease) uncharge(now time.Time) {
	e := l.endpoint
	e.dropLease(l)
	if l.begun {
		e.count.decoding--
	} else {
		e.count.pending -= l.uncached
		e.speed.lastWait = now
		if l.request.Whole {
			e.dropWhole(l)
		}
	}
	e.count.inFlight--
	e.held.Add(-1)
	e.count.context -= l.prompt + l.relayed
	e.count.loose -= l.loose + l.relayed
}

// settleIndex corrects what the endpoint is believed to hold. What an engine began to answer it has; what failed
// before that it is not believed to have.
func (l *Lease) settleIndex(o Outcome) {
	e, x, chain := l.endpoint, l.pool.index, l.request.blocks()
	switch {
	case l.epoch != e.epoch:
		// The engine has restarted meanwhile and its part of the index is another one.
	case o.Cause == OK, o.Cause == ClientGone && l.first:
		x.Finish(e.index, chain, o.Answer)
		l.pool.noteAnswer(e, chain, o.Answer)
	case l.first:
		x.Release(e.index, chain)
	default:
		x.TakeBack(e.index, chain)
		l.pool.noteLost(l, chain)
	}
}

func (l *Lease) learn(o Outcome) {
	if l.probe {
		return
	}
	l.pool.sawCached(l, o)
	tokens := o.OutputTokens
	if tokens < 0 && o.Streamed {
		tokens = l.relayed
	}
	l.pool.learner.sawAnswer(tokens)
}

func seconds(s float64) time.Duration {
	const most = 1e6
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s, most) * float64(time.Second))
}

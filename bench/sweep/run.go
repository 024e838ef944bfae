package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/tokenize"
)

// run plays a plan once.
type run struct {
	plan     *plan
	seed     uint64
	now      time.Duration
	replicas []*replica
	gateways []*gateway
	shared   Shared
	agenda   agenda

	sessions map[*session]*flight // under way
	asking   *turn                // whom a choice is being made for
	waiting  int                  // index of the next session of a closed loop
	left     int                  // sessions that have not ended

	probes  []*flight // that may be under way
	records []Record
	ceiling ceiling
	curve   curve
}

// replica is an engine of the fleet, dead when core is nil.
type replica struct {
	machine
	index   int
	core    *engine.Core
	slowed  float64
	started time.Time
	lives   int
	past    engine.Counters // of the lives before
}

// gateway is one balancer.
type gateway struct {
	run    *run
	name   string
	pool   *balancer.Pool
	told   []balancer.Cursor // what each gateway has been told
	tended time.Duration     // when it will be next
}

// flight is one attempt of a request, or of a probe, on a replica.
type flight struct {
	engine.Request
	session *session
	number  int // of the turn
	turn    *turn
	gateway *gateway
	replica *replica
	asked   balancer.Request
	prompt  tokenize.Prompt
	lease   *balancer.Lease
	probe   *balancer.Probe
	record  Record
	ended   bool
}

const (
	scrapeEvery = time.Second
	retryAfter  = time.Second // a caller whom nobody could serve asks again
)

// epoch is the time at which runs begin, by the balancer's clock.
func clock(at time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(at) }

// play runs to the end of the last session, or of ctx.
func (r *run) play(ctx context.Context) error {
	r.begin()
	for r.left > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := r.first()
		at, any := r.agenda.next()
		switch {
		case first != nil && (!any || first.core.Next() <= at):
			r.now = first.core.Next()
			for _, e := range first.core.Advance(r.now) {
				r.token(e.Request.Tag.(*flight), &e)
			}
		case any:
			e := r.agenda.pop()
			r.now = e.at
			e.do(e.at)
		default:
			return errors.New("BUG: sweep: sessions are left but nothing will happen")
		}
	}
	return nil
}

// first is the replica whose next step comes first, nil when all are idle.
func (r *run) first() *replica {
	var best *replica
	next := engine.Never
	for _, p := range r.replicas {
		if p.core != nil {
			if at := p.core.Next(); at < next {
				best, next = p, at
			}
		}
	}
	return best
}

func (r *run) begin() {
	r.left = len(r.plan.sessions)
	r.sessions = make(map[*session]*flight, r.left)
	for i, g := range r.gateways {
		// Scrapes of different gateways and endpoints do not come at once.
		for k := range r.replicas {
			g.scrape(k, 0)
			part := time.Duration(i*len(r.replicas)+k+1) * scrapeEvery / time.Duration(len(r.replicas)*len(r.gateways))
			r.agenda.add(part, func(now time.Duration) { g.scrapeAgain(k, now) })
		}
		g.tend(0)
		if r.shared != SharedNothing && len(r.gateways) > 1 {
			r.agenda.add(tellEvery*time.Duration(i)/time.Duration(len(r.gateways)), g.tellAgain)
		}
	}
	for _, f := range r.plan.faults {
		r.agenda.add(f.at, func(time.Duration) { r.suffer(f) })
	}
	r.agenda.add(0, r.observe)
	begin := len(r.plan.sessions)
	if r.plan.atOnce > 0 {
		begin = min(begin, r.plan.atOnce)
	}
	for r.waiting < begin {
		s := r.plan.sessions[r.waiting]
		r.waiting++
		r.arrive(s, 0, s.begin)
	}
}

// arrive puts a request on the agenda, or ends its session when it would come too late.
func (r *run) arrive(s *session, number int, at time.Duration) {
	if r.plan.until > 0 && at > r.plan.until {
		r.over(at)
		return
	}
	r.agenda.add(at, func(now time.Duration) { r.request(s, number, now) })
}

// over ends a session; in a closed loop the next one begins.
func (r *run) over(now time.Duration) {
	r.left--
	if r.plan.atOnce > 0 && r.waiting < len(r.plan.sessions) {
		s := r.plan.sessions[r.waiting]
		r.waiting++
		r.arrive(s, 0, now+s.begin)
	}
}

// request sends one for the first time.
func (r *run) request(s *session, number int, now time.Duration) {
	t := &s.turns[number]
	f := &flight{session: s, number: number, turn: t, gateway: r.gatewayFor(s, number)}
	f.prompt = tokenize.Prompt{Bytes: tokenize.BlockBytes / coarseTokens * t.prompt, Tokens: t.prompt, Blocks: known(t.coarse, t.prompt, coarseTokens)}
	f.record = Record{Arrived: now, Prompt: t.prompt, Turn: number + 1, Ideal: r.ceiling.find(known(t.fine, t.prompt-1, fineTokens)) * fineTokens}
	r.ceiling.add(t.fine)
	r.sessions[s] = f
	if t.early > 0 {
		r.agenda.add(now+t.early, func(now time.Duration) { r.leaves(s, number, now) })
	}
	r.send(f, now)
}

// gatewayFor spreads the requests over the gateways.
func (r *run) gatewayFor(s *session, number int) *gateway {
	if len(r.gateways) == 1 {
		return r.gateways[0]
	}
	return r.gateways[key(r.seed, len(s.id), int(s.turns[0].prompt), int(s.begin), number)%uint64(len(r.gateways))]
}

// send chooses and dispatches, as often as the chosen one refuses.
func (r *run) send(f *flight, now time.Duration) {
	f.asked = balancer.Request{Prompt: &f.prompt, MaxTokens: f.turn.limit, Session: f.session.id}
	for {
		r.asking = f.turn
		lease, err := f.gateway.pool.Choose(&f.asked, clock(now))
		if err != nil {
			f.record.Refused++
			r.agenda.add(now+retryAfter, func(now time.Duration) {
				if !f.ended {
					r.send(f, now)
				}
			})
			return
		}
		f.lease, f.replica = lease, r.replicas[lease.Endpoint().Index()]
		if f.replica.core != nil {
			break
		}
		lease.End(balancer.Outcome{Cause: balancer.Refused, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}, clock(now))
		f.gateway.tend(now)
	}
	f.record.Replica, f.record.Tries = f.replica.index, f.record.Tries+1
	f.Prompt, f.Output, f.Blocks = f.turn.prompt, f.turn.output, f.turn.fine
	r.submit(f, now)
}

// submit hands a flight to its engine.
func (r *run) submit(f *flight, now time.Duration) {
	core := f.replica.core
	for _, e := range core.Advance(now) {
		r.token(e.Request.Tag.(*flight), &e)
	}
	f.Tag = f
	if err := core.Submit(&f.Request, now); err != nil {
		f.record.Failed = true
		r.end(f, balancer.ClientError, now)
		return
	}
	for _, e := range core.Advance(now) {
		r.token(e.Request.Tag.(*flight), &e)
	}
}

// token relays one token.
func (r *run) token(f *flight, e *engine.Event) {
	at := clock(e.At)
	if e.Index == 1 {
		f.lease.FirstToken(at)
		if f.record.First == 0 {
			f.record.First = e.At
			f.record.Cached = f.Cached
		}
	} else {
		f.lease.Token(at, 1)
	}
	switch {
	case e.Last:
		r.end(f, balancer.OK, e.At)
	case f.turn != nil && f.turn.cut > 0 && e.Index >= f.turn.cut:
		r.leaves(f.session, f.number, e.At)
	}
}

// leaves makes a caller go before the end of its answer.
func (r *run) leaves(s *session, number int, now time.Duration) {
	f := r.sessions[s]
	if f == nil || f.number != number || f.ended {
		return
	}
	f.record.Left = true
	if f.lease == nil || f.replica.core == nil {
		r.conclude(f, now)
		return
	}
	f.replica.core.Abort(&f.Request)
	r.end(f, balancer.ClientGone, now)
}

// end ends a flight's lease, and its request.
func (r *run) end(f *flight, cause balancer.Cause, now time.Duration) {
	o := balancer.Outcome{Cause: cause, PromptTokens: -1, CachedTokens: -1, OutputTokens: f.Generated, Streamed: true}
	if cause == balancer.OK {
		o.PromptTokens, o.CachedTokens = f.Prompt, f.Cached
		if f.turn != nil {
			o.Answer = f.turn.coarse[len(f.prompt.Blocks):]
		}
	}
	f.lease.End(o, clock(now))
	if f.probe != nil {
		f.ended = true
		f.gateway.pool.Probed(*f.probe, nil, clock(now))
		return
	}
	r.conclude(f, now)
}

// conclude notes how a request ended and lets its session go on.
func (r *run) conclude(f *flight, now time.Duration) {
	f.ended = true
	f.record.Ended, f.record.Output = now, f.Generated
	f.record.Preemptions += f.Preemptions
	r.records = append(r.records, f.record)
	s, next := f.session, f.number+1
	delete(r.sessions, s)
	if next < len(s.turns) {
		r.arrive(s, next, now+s.turns[next].think)
	} else {
		r.over(now)
	}
}

// suffer does what a fault says.
func (r *run) suffer(f fault) {
	p := r.replicas[f.replica]
	switch f.change {
	case dies:
		r.kill(p)
	case returns:
		p.start(r.seed, r.now)
	case slows:
		p.slowed = f.slow
		if p.core != nil {
			p.core.SetSlow(f.slow)
		}
	}
}

// start brings a replica up with an empty cache.
func (p *replica) start(seed uint64, now time.Duration) {
	p.lives++
	p.started = clock(now)
	p.core = engine.New(p.config(seed))
}

func (p *replica) config(seed uint64) engine.CoreConfig {
	preset, err := engine.LookupPreset(p.preset)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return engine.CoreConfig{Preset: preset, Blocks: p.blocks, Slow: p.slowed, Seed: key(seed, p.index, p.lives)}
}

// kill ends an engine process. Its callers come again and count from their first arrival.
func (r *run) kill(p *replica) {
	p.past = p.counters()
	p.core = nil
	var hit []*flight
	for _, s := range r.plan.sessions { // in order, so that runs repeat
		if f := r.sessions[s]; f != nil && f.replica == p && f.lease != nil && !f.ended {
			hit = append(hit, f)
		}
	}
	for _, f := range hit {
		cause := balancer.Reset
		if f.Generated > 0 {
			cause = balancer.Cut
		}
		f.lease.End(balancer.Outcome{Cause: cause, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1, Streamed: true}, clock(r.now))
		again := &flight{session: f.session, number: f.number, turn: f.turn, gateway: f.gateway, prompt: f.prompt, record: f.record}
		f.ended = true
		r.sessions[f.session] = again
		r.send(again, r.now)
	}
	r.lost(p)
}

// counters are those of all lives of a replica.
func (p *replica) counters() engine.Counters {
	c := p.past
	c.Running, c.Waiting, c.KVUse = 0, 0, 0
	if p.core == nil {
		return c
	}
	now := p.core.Counters()
	now.Queries += c.Queries
	now.Hits += c.Hits
	now.Preemptions += c.Preemptions
	return now
}

// observe notes the load of each replica, ten times a second.
func (r *run) observe(now time.Duration) {
	r.curve.note(r.replicas)
	r.agenda.add(now+curveStep, r.observe)
}

// newRun puts gateways with this policy in front of a plan's fleet.
func newRun(p *plan, seed uint64, policy balancer.Policy, gateways int, shared Shared) (*run, error) {
	r := &run{plan: p, seed: seed, shared: shared}
	if insider, ok := policy.(insider); ok {
		insider.enter(r)
	}
	var endpoints []balancer.EndpointConfig
	for i, m := range p.fleet {
		replica := &replica{machine: m, index: i, slowed: max(m.slow, 0)}
		replica.start(seed, 0)
		r.replicas = append(r.replicas, replica)
		endpoints = append(endpoints, balancer.EndpointConfig{URL: fmt.Sprint("http://replica-", i)})
	}
	for i := range gateways {
		pool, err := balancer.NewPool(balancer.PoolConfig{
			Name: "sweep", Policy: policy, Endpoints: endpoints, Seed: key(seed, i, 7), ProbeIdle: true,
		})
		if err != nil {
			return nil, err
		}
		r.gateways = append(r.gateways, &gateway{run: r, name: fmt.Sprint("gateway-", i), pool: pool, told: make([]balancer.Cursor, gateways)})
	}
	return r, nil
}

// insider is a policy that sees the fleet and not only what a gateway can know.
type insider interface{ enter(r *run) }

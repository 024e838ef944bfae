package balancer

import (
	"slices"
	"time"
)

const (
	sampleAbove = 32 // endpoints, from which a policy that samples sees only some
	sampleHold  = 26 // holders of the prompt in a sample, the deepest
	sampleLeast = 4  // least loaded
	sampleRand  = 2
	sessionRoom = 1 << 13
	shortWait   = 100 * time.Millisecond
	restWait    = time.Second
)

// Choose picks an endpoint for r by the pool's policy, charges r to it and returns the lease, which must be ended.
// It neither waits nor heeds those who do. The error is [ErrNoEndpoint], [*Unavailable] or [*Saturated].
func (p *Pool) Choose(r *Request, now time.Time) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bind(r, now, 0)
}

// bind is Choose with the mutex held. With late above 0 it is errLate where the chosen endpoint has more prefill before it
// than it can do in that time, or no KV memory for the request.
func (p *Pool) bind(r *Request, now time.Time, late time.Duration) (*Lease, error) {
	p.forgetSilent(now)
	p.learner.fit(p.endpoints, !p.cfg.ProbeIdle, now)
	for _, e := range p.newcomers {
		e.health.warm(now)
	}
	p.newcomers = nil
	if err := p.filter(r, now); err != nil {
		return nil, err
	}
	p.index.Walk(r.blocks(), now, &p.match)
	p.sample()
	v := p.look(r, now)
	best, second := p.cfg.Policy.Pick(v)
	if best < 0 || best >= len(v.Candidates) {
		panic("BUG: policy " + p.cfg.Policy.Name() + " chose an endpoint that it was not shown")
	}
	c := &v.Candidates[best]
	e := p.endpoints[c.Index]
	if late > 0 && (v.overflows(c) || e.slotless(c.InFlight-float64(e.count.inFlight)) || seconds(float64(p.load(e, &counts{}).pending)*e.speed.perTok) > late) {
		return nil, errLate
	}
	l := p.begin(e, r, now)
	p.takeTurns(e, now)
	l.decision = p.record(v, c, second, l)
	r.noteTry(c.Index)
	p.last, p.traffic = c.Index, now
	p.learner.sawPrompt(l.prompt, l.uncached)
	if p.began.IsZero() {
		p.began = now
	}
	p.noteSession(r.Session, c.Index)
	return l, nil
}

func (p *Pool) record(v *View, c *Candidate, second int, l *Lease) Decision {
	d := Decision{
		Policy: p.cfg.Policy.Name(), Matched: l.prompt - l.uncached, Uncached: l.uncached,
		Cost: c.Cost, Candidates: len(v.Candidates),
	}
	if second >= 0 && second < len(v.Candidates) {
		d.RunnerUp = p.endpoints[v.Candidates[second].Index].cfg.URL
		d.RunnerUpCost = v.Candidates[second].Cost
	}
	best := 0.0
	for i := range v.Candidates {
		best = max(best, v.Candidates[i].Matched)
	}
	d.BestMatched = int(best)
	return d
}

// census counts the endpoints that are not candidates, by why.
type census struct {
	crowded, ejected, down []int32 // candidates if there is nothing better, in this order
	warming                []int32 // in slow start
	full, paused           int
	unwell                 int // known to be ill, tried or not
	enabled, errors        int // those that may serve, and those of them ejected for errors
	idleAdmin              int // that the operator keeps out
	back                   time.Time
}

func (c *census) reset() {
	*c = census{crowded: c.crowded[:0], ejected: c.ejected[:0], down: c.down[:0], warming: c.warming[:0]}
}

// mostlyIll tells that more than half of the endpoints is ejected for errors.
func (c *census) mostlyIll() bool { return 2*c.errors > c.enabled }

func (c *census) expect(at time.Time) {
	if !at.IsZero() && (c.back.IsZero() || at.Before(c.back)) {
		c.back = at
	}
}

// filter writes into p.usable the endpoints that may take r, best class only, or tells why there is none.
func (p *Pool) filter(r *Request, now time.Time) error {
	p.sortAll(r, now)
	c := &p.census
	if c.mostlyIll() {
		// More than half is ejected for errors: they say more about the pool or its requests than about single
		// endpoints, so all are tried.
		p.usable = append(p.usable, c.ejected...)
		c.ejected = c.ejected[:0]
		slices.Sort(p.usable)
	}
	switch {
	case len(p.usable) > 0:
	case len(c.crowded) > 0:
		p.usable = append(p.usable, c.crowded...)
	case c.full > 0:
		return &Saturated{RetryAfter: restWait}
	case c.paused > 0:
		return &Unavailable{RetryAfter: max(shortWait, c.back.Sub(now)), Paused: true}
	case len(c.ejected) > 0:
		p.usable = append(p.usable, c.ejected...)
	case len(c.down) > 0:
		p.usable = append(p.usable, c.down...)
	case c.unwell > 0 || c.idleAdmin > 0 && r.Tries() == 0:
		return &Unavailable{RetryAfter: restWait}
	default:
		return ErrNoEndpoint
	}
	return nil
}

// sortAll puts every endpoint into its class: p.usable, or one of the census.
func (p *Pool) sortAll(r *Request, now time.Time) {
	p.usable = p.usable[:0]
	p.census.reset()
	for _, e := range p.endpoints {
		if len(e.whole) > 0 {
			e.presumeDone(now)
		}
		p.sort(e, r, now)
	}
}

// sort puts e into its class.
func (p *Pool) sort(e *Endpoint, r *Request, now time.Time) {
	c, h := &p.census, &e.health
	i := int32(e.index)
	if r.Only != "" && r.Only != e.cfg.URL {
		return
	}
	if e.admin != Enabled {
		c.idleAdmin++
		return
	}
	c.enabled++
	state := h.state(now)
	if state == Down || state == Ejected {
		c.unwell++
		if state == Ejected && h.onFails && !h.gone {
			c.errors++
		}
	}
	if state == Warming {
		c.warming = append(c.warming, i)
	}
	switch {
	case r.Model != "" && !e.serves(r.Model):
	case r.tooLong(e, p.longestContext):
	case len(r.tried) > 0 && r.hasTried(e.index):
	case state == Down || state == Ejected && h.gone:
		c.down = append(c.down, i)
	case state == Paused:
		c.paused++
		c.expect(h.pausedUntil)
	case r.Elsewhere && e.inDoubt():
		c.paused++
		c.expect(now.Add(shortWait))
	case e.full():
		c.full++
	case state == Ejected:
		c.ejected = append(c.ejected, i)
	case state == Warming && h.crowded(p.load(e, &counts{}).waiting(), now):
		c.crowded = append(c.crowded, i)
	default:
		p.usable = append(p.usable, i)
	}
}

// sample cuts p.usable of a large pool down to the deepest holders of the prompt, the least loaded and a few random
// ones, for policies that can live with that.
func (p *Pool) sample() {
	if len(p.usable) <= sampleAbove || !p.samples {
		return
	}
	p.least.reset(sampleLeast)
	p.holders.reset(sampleHold)
	for _, i := range p.usable {
		e := p.endpoints[i]
		c := p.load(e, &counts{})
		cost := e.rough(c)
		p.least.offer(i, cost)
		if depth := p.match.Depth[i]; depth > 0 {
			saved := float64(depth) * p.blockTokens * e.speed.perTok
			p.holders.offer(i, cost-saved*float64(1+c.decoding))
		}
	}
	all := len(p.usable)
	var drawn [sampleRand]int32
	for i := range drawn {
		drawn[i] = p.usable[p.rand.IntN(all)]
	}
	p.usable = append(p.usable[:0], drawn[:]...)
	p.usable = p.least.appendTo(p.usable)
	p.usable = p.holders.appendTo(p.usable)
	slices.Sort(p.usable)
	p.usable = slices.Compact(p.usable)
}

// shortlist keeps the few endpoints of the lowest cost among those offered, in rising order.
type shortlist struct {
	entries []shortEntry
	most    int
}

type shortEntry struct {
	cost     float64
	endpoint int32
}

func (s *shortlist) reset(most int) { s.entries, s.most = s.entries[:0], most }

func (s *shortlist) offer(endpoint int32, cost float64) {
	n := len(s.entries)
	if n == s.most {
		if cost >= s.entries[n-1].cost {
			return
		}
		n--
	} else {
		s.entries = append(s.entries, shortEntry{})
	}
	for ; n > 0 && s.entries[n-1].cost > cost; n-- {
		s.entries[n] = s.entries[n-1]
	}
	s.entries[n] = shortEntry{cost: cost, endpoint: endpoint}
}

func (s *shortlist) appendTo(list []int32) []int32 {
	for _, e := range s.entries {
		list = append(list, e.endpoint)
	}
	return list
}

func (p *Pool) noteSession(session string, endpoint int) {
	if session == "" {
		return
	}
	if p.sessions == nil {
		p.sessions = make([]sessionPlace, sessionRoom)
	}
	hash := hashSession(session)
	p.sessions[hash%sessionRoom] = sessionPlace{tag: uint32(hash >> 32), endpoint: int32(endpoint) + 1}
}

// sessionAt is the endpoint that a conversation was last sent to, -1 when that is not known any more.
func (p *Pool) sessionAt(session string) int {
	if session == "" || p.sessions == nil {
		return -1
	}
	hash := hashSession(session)
	if s := p.sessions[hash%sessionRoom]; s.endpoint > 0 && s.tag == uint32(hash>>32) {
		return int(s.endpoint) - 1
	}
	return -1
}

// sessionPlace is one remembered conversation; a later one of the same place takes it over.
type sessionPlace struct {
	tag      uint32
	endpoint int32
}

// hashSession is FNV-1a, spread by a multiplication.
func hashSession(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h ^ h>>29
}

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/tokenize"
)

// scenario is one run.
type scenario struct {
	preset   string
	replicas int
	slots    int // of each replica (max-num-seqs); 0 = the preset's
	cap      int // requests in flight at each replica; 0 = no cap
	queue    balancer.QueueConfig
	rate     float64 // requests a second, a Poisson process
	urgent   float64 // share of requests of priority -10
	asked    [2]int  // tokens of a prompt, least and most
	answer   float64 // tokens, mean of an exponential distribution, at most four times as many
	length   time.Duration
	slo      slo
	seed     uint64
}

// slo is what makes an answer good: the time to its first token, and between tokens on average.
type slo struct{ first, token time.Duration }

// settle is from when on requests are counted: caches, speeds and the queue have come to rest.
func (s *scenario) settle() time.Duration { return s.length / 6 }

// result is what became of the requests that can have been answered by the end.
type result struct {
	usual, urgent class
	longest       int // of the queue
}

// class is what became of the requests of one priority.
type class struct {
	all, good        int
	refused, expired int       // when they came, and after they had waited
	tokens           int       // of good answers
	first            []float64 // s, of complete answers
}

func (r *result) add(o *result) {
	for _, c := range [][2]*class{{&r.usual, &o.usual}, {&r.urgent, &o.urgent}} {
		to, from := c[0], c[1]
		to.all += from.all
		to.good += from.good
		to.refused += from.refused
		to.expired += from.expired
		to.tokens += from.tokens
		to.first = append(to.first, from.first...)
	}
	r.longest = max(r.longest, o.longest)
}

// flight is one request, or a probe.
type flight struct {
	engine.Request
	asked   balancer.Request
	prompt  tokenize.Prompt
	lease   *balancer.Lease
	ticket  *balancer.Ticket
	arrived time.Duration
	first   time.Duration
	class   *class
	probe   *balancer.Probe
}

// simulation is a pool of the real balancer with its queue, before engines in virtual time.
type simulation struct {
	scenario
	pool    *balancer.Pool
	cores   []*engine.Core
	rng     *rand.Rand
	now     time.Duration
	waiting []*flight
	result  result
}

func clock(at time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(at) }

// play runs the scenario to its end. Requests arrive until a little before it, so that those which are served at all are complete.
func (s scenario) play() (*result, error) {
	sim, err := newSimulation(s)
	if err != nil {
		return nil, err
	}
	var arrival, scrape, tend time.Duration
	end := s.length + s.queue.Wait + time.Minute
	for {
		step, core := sim.next()
		soonest := min(arrival, scrape, tend)
		switch {
		case min(step, soonest) > end:
			return &sim.result, nil
		case step <= soonest:
			sim.now = step
			sim.step(core)
		case soonest == arrival:
			sim.now = arrival
			sim.arrive()
			if arrival += time.Duration(sim.rng.ExpFloat64() / s.rate * float64(time.Second)); arrival > s.length {
				arrival = engine.Never
			}
		case soonest == scrape:
			sim.now = scrape
			sim.scrape()
			scrape += time.Second
		default:
			sim.now = tend
			sim.tend()
			tend = sim.now + max(5*time.Millisecond, sim.pool.Wake(clock(sim.now)).Sub(clock(sim.now)))
		}
		sim.collect()
	}
}

func newSimulation(s scenario) (*simulation, error) {
	preset, err := engine.LookupPreset(s.preset)
	if err != nil {
		return nil, err
	}
	policy, err := policies.New("warm", nil)
	if err != nil {
		return nil, err
	}
	cfg := balancer.PoolConfig{Name: "m", Policy: policy, Seed: s.seed, ProbeIdle: true, Queue: s.queue}
	sim := &simulation{scenario: s, rng: rand.New(rand.NewPCG(s.seed, 3))}
	for i := range s.replicas {
		cfg.Endpoints = append(cfg.Endpoints, balancer.EndpointConfig{URL: fmt.Sprint("http://replica-", i), MaxConcurrency: s.cap})
		sim.cores = append(sim.cores, engine.New(engine.CoreConfig{Preset: preset, MaxSeqs: s.slots, Seed: s.seed*31 + uint64(i)}))
	}
	sim.pool, err = balancer.NewPool(cfg)
	return sim, err
}

// next is when the first engine step ends, and whose.
func (s *simulation) next() (at time.Duration, core int) {
	at = engine.Never
	for i, c := range s.cores {
		if n := c.Next(); n < at {
			at, core = n, i
		}
	}
	return at, core
}

func (s *simulation) step(core int) {
	for _, e := range s.cores[core].Advance(s.now) {
		s.token(e.Request.Tag.(*flight), &e)
	}
}

func (s *simulation) arrive() {
	f := &flight{arrived: s.now, class: &s.result.usual}
	if s.rng.Float64() < s.urgent {
		f.class, f.asked.Priority = &s.result.urgent, -balancer.LastPriority
	}
	if s.now < s.settle() {
		f.class = &class{}
	}
	f.class.all++
	f.Prompt = s.asked[0] + s.rng.IntN(s.asked[1]-s.asked[0])
	f.Output = 1 + int(min(4*s.answer, s.rng.ExpFloat64()*s.answer))
	f.prompt = tokenize.Prompt{Bytes: 4 * f.Prompt, Tokens: f.Prompt}
	f.asked.Prompt = &f.prompt
	lease, ticket, err := s.pool.Enter(&f.asked, clock(s.now))
	switch {
	case err != nil:
		f.class.refused++
	case ticket != nil:
		f.ticket = ticket
		s.waiting = append(s.waiting, f)
		s.result.longest = max(s.result.longest, len(s.waiting))
	default:
		s.send(f, lease)
	}
}

// send hands a request to the engine of its lease.
func (s *simulation) send(f *flight, lease *balancer.Lease) {
	core := lease.Endpoint().Index()
	f.lease, f.Tag = lease, f
	s.step(core)
	if err := s.cores[core].Submit(&f.Request, s.now); err != nil {
		panic("BUG: overload: " + err.Error())
	}
	s.step(core)
}

func (s *simulation) token(f *flight, e *engine.Event) {
	at := clock(e.At)
	if e.Index == 1 {
		f.first = e.At
		f.lease.FirstToken(at)
	} else {
		f.lease.Token(at, 1)
	}
	if !e.Last {
		return
	}
	f.lease.End(balancer.Outcome{
		Cause: balancer.OK, PromptTokens: f.Prompt, CachedTokens: f.Cached, OutputTokens: f.Generated, Streamed: true,
	}, at)
	if f.probe != nil {
		s.pool.Probed(*f.probe, nil, at)
		return
	}
	first, perToken := f.first-f.arrived, time.Duration(0)
	if f.Generated > 1 {
		perToken = (e.At - f.first) / time.Duration(f.Generated-1)
	}
	f.class.first = append(f.class.first, first.Seconds())
	if first <= s.slo.first && perToken <= s.slo.token {
		f.class.good++
		f.class.tokens += f.Generated
	}
}

// collect sends the waiting requests that have got a lease meanwhile.
func (s *simulation) collect() {
	for again := true; again; {
		again = false
		s.waiting = slices.DeleteFunc(s.waiting, func(f *flight) bool {
			select {
			case <-f.ticket.Done():
			default:
				return false
			}
			lease, err := f.ticket.Result()
			if err != nil {
				f.class.expired++
				return true
			}
			again = true
			s.send(f, lease)
			return true
		})
	}
}

func (s *simulation) scrape() {
	for i, core := range s.cores {
		c := core.Counters()
		s.pool.Observe(s.pool.Endpoints()[i], balancer.Load{
			Running: float64(c.Running), Waiting: float64(c.Waiting), KVUse: c.KVUse, KVTokens: core.Capacity(),
			Queries: float64(c.Queries), Hits: float64(c.Hits), Interval: time.Second,
		}, clock(s.now))
	}
}

func (s *simulation) tend() {
	for _, due := range s.pool.Due(clock(s.now)) {
		if due.Kind != balancer.ProbeGenerate {
			s.pool.Probed(due, nil, clock(s.now))
			continue
		}
		f := &flight{probe: &due, prompt: tokenize.Prompt{Bytes: 128, Tokens: 32}}
		f.asked.Prompt, f.Prompt, f.Output = &f.prompt, f.prompt.Tokens, 8
		s.send(f, s.pool.ProbeLease(due, &f.asked, clock(s.now)))
	}
}

// quantile of a sample by nearest rank, NaN of none.
func quantile(sample []float64, q float64) float64 {
	if len(sample) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(sample))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

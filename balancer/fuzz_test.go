package balancer_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/tokenize"
)

// script is a sequence of events that a fuzzer makes up, byte by byte.
type script struct {
	bytes []byte
	pool  *balancer.Pool
	now   time.Time
	open  []*balancer.Lease
	told  uint64 // deltas of the peer
}

// next is a number below n.
func (s *script) next(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	b := int(s.bytes[0])
	s.bytes = s.bytes[1:]
	return b % n
}

// step moves the clock, mostly as an engine would have it, at times as no clock should.
func (s *script) step() {
	steps := [...]time.Duration{
		0, 1, 20 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond, 40 * time.Millisecond,
		100 * time.Millisecond, time.Second, 7 * time.Second, time.Minute, time.Hour, 1e6 * time.Hour, -time.Millisecond, -time.Hour, -1e6 * time.Hour,
	}
	s.now = s.now.Add(steps[s.next(len(steps))])
}

func (s *script) tokens() int {
	return [...]int{1, 2, 8, 100, 5000, 1 << 17, math.MaxInt, 0, -1, math.MinInt}[s.next(10)]
}

func (s *script) gauge() float64 {
	return [...]float64{0, 1, 5, 300, 1e18, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1), -3}[s.next(10)]
}

func (s *script) prompt() *tokenize.Prompt {
	if s.next(8) == 0 {
		return nil
	}
	p := prompt(uint64(s.next(3)), uint64(s.next(3)), s.next(8), s.next(40))
	p.Tokens = max(0, p.Tokens*[...]int{1, 1, 2, 0, 1000}[s.next(5)])
	return p
}

func (s *script) outcome() balancer.Outcome {
	return balancer.Outcome{
		Cause: balancer.Cause(s.next(balancer.NumCauses)), PromptTokens: s.tokens(), CachedTokens: s.tokens(),
		OutputTokens: s.tokens(), Streamed: s.next(2) == 0, RetryAfter: time.Duration(s.next(4)) * time.Second,
	}
}

// event makes one thing happen.
func (s *script) event(t *testing.T) {
	s.step()
	kind := s.next(11)
	if kind < 2 || len(s.open) == 0 {
		r := &balancer.Request{Prompt: s.prompt(), MaxTokens: max(0, s.tokens()), Whole: s.next(8) == 0}
		if l, err := s.pool.Choose(r, s.now); err == nil {
			s.open = append(s.open, l)
			if c := l.Decision().Cost; math.IsNaN(c) || math.IsInf(c, 0) {
				t.Fatalf("a choice cost %v", c)
			}
		}
		return
	}
	at := s.next(len(s.open))
	l := s.open[at]
	switch kind {
	case 2:
		l.FirstToken(s.now)
	case 3:
		l.Token(s.now, s.tokens())
	case 4, 5: // a usual stretch of a stream
		l.FirstToken(s.now)
		for range s.next(12) {
			s.step()
			l.Token(s.now, 1)
		}
	case 6:
		l.End(s.outcome(), s.now)
		s.open = append(s.open[:at], s.open[at+1:]...)
	case 7:
		load := balancer.Load{
			Running: s.gauge(), Waiting: s.gauge(), KVUse: s.gauge(), KVTokens: s.tokens(), Queries: s.gauge(),
			Interval: time.Duration(s.next(3)) * time.Second,
		}
		if s.next(4) == 0 {
			load.Started = s.now
		}
		s.pool.Observe(l.Endpoint(), load, s.now)
	case 8:
		for _, pr := range s.pool.Due(s.now) {
			var err error
			if s.next(4) == 0 {
				err = errProbe
			}
			if pr.Kind == balancer.ProbeGenerate {
				l := s.pool.ProbeLease(pr, &balancer.Request{Prompt: prompt(9, 9, 0, 0)}, s.now)
				s.step()
				l.FirstToken(s.now)
				l.End(s.outcome(), s.now)
			}
			s.pool.Probed(pr, err, s.now)
		}
		s.pool.Wake(s.now)
	case 9:
		s.pool.Unobserved(l.Endpoint(), s.now)
	case 10:
		s.peer()
	}
}

// peer lets another gateway tell nonsense of the endpoints.
func (s *script) peer() {
	s.told++
	d := s.pool.Export(balancer.Cursor{}, s.now)
	d.Until = balancer.Cursor{Run: 1, Tick: s.told}
	for i := range d.Endpoints {
		e := &d.Endpoints[i]
		e.InFlight, e.Decoding, e.Pending = uint32(s.tokens()), uint32(s.tokens()), uint32(s.tokens())
		e.Context, e.Distinct = uint32(s.tokens()), uint32(s.tokens())
		e.Step, e.PerToken, e.FirstAgo = s.gauge(), s.gauge(), time.Duration(s.tokens())
	}
	_ = s.pool.Merge("peer", &d, s.now)
}

// check asks for every value that is counted or learned within its bounds.
func (s *script) check(t *testing.T) {
	t.Helper()
	in := func(what string, v, low, high float64) {
		t.Helper()
		if !(v >= low && v <= high) {
			t.Fatalf("%s is %v, want %v to %v", what, v, low, high)
		}
	}
	for _, e := range s.pool.Status(s.now) {
		in("W", e.Step, 1e-4, 60)
		in("b", e.PerContext, 0.1*8e-6*1e-4, 10*8e-6*60)
		in("r", e.Rate, 1e-3, 1e10)
		in("al", e.Floor, 0, 60)
		in("trust", e.Trust, 0, 1)
		in("foreign", e.Foreign, 0, 1e6)
		if e.Pending < 0 || e.Context < 0 || e.Decoding < 0 || e.Decoding > e.InFlight {
			t.Fatalf("counts n=%d d=%d A=%d X=%d", e.InFlight, e.Decoding, e.Pending, e.Context)
		}
	}
	p := s.pool.Learned()
	in("o", p.Answer, 1, 1<<17)
	in("bw", p.Growth, 0.1*8e-6, 10*8e-6)
	in("the usual prompt", p.Prompt, 0, 1<<17)
	in("its uncached part", p.Uncached, 0, 1<<17)
}

// FuzzLearner drives a pool through made-up lives of requests, scrapes and probes at any times.
func FuzzLearner(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100 { // these alone reach most of it
		events := make([]byte, 800)
		for j := range events {
			events[j] = byte(r.Uint32())
		}
		f.Add(events, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, events []byte, probes bool) {
		policy, err := policies.New("warm", nil)
		if err != nil {
			t.Fatal(err)
		}
		pool, err := balancer.NewPool(balancer.PoolConfig{
			Name: "test", Policy: policy, ProbeIdle: probes, DefaultKVTokens: 2000,
			Endpoints: []balancer.EndpointConfig{{URL: "a"}, {URL: "b"}, {URL: "c", MaxConcurrency: 2}},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &script{bytes: events, pool: pool, now: start}
		for len(s.bytes) > 0 {
			s.event(t)
			s.check(t)
		}
		for _, l := range s.open {
			l.End(ended(balancer.ClientGone), s.now)
		}
		s.check(t)
		for _, e := range pool.Status(s.now) {
			if e.InFlight != 0 || e.Decoding != 0 || e.Pending != 0 || e.Context != 0 {
				t.Fatalf("when all have ended %s counts n=%d d=%d A=%d X=%d", e.URL, e.InFlight, e.Decoding, e.Pending, e.Context)
			}
		}
	})
}

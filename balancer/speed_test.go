package balancer_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// toyEngine answers in steps: each decodes one token of every stream, and prefills what has come.
type toyEngine struct {
	step, growth, perToken float64 // W, b/W, 1/r
	free                   time.Time
	waiting, running       []*toyStream
}

type toyStream struct {
	lease             *balancer.Lease
	uncached, context float64
	left, tokens      int
}

// runUntil makes the engine's steps up to a moment.
func (e *toyEngine) runUntil(t time.Time) {
	for len(e.waiting)+len(e.running) > 0 && e.free.Before(t) {
		context, prefill := 0.0, 0.0
		for _, s := range e.running {
			context += s.context
		}
		for _, s := range e.waiting {
			prefill += s.uncached
			context += s.context
		}
		e.free = e.free.Add(time.Duration(1e9 * (e.step*(1+e.growth*context) + prefill*e.perToken)))
		kept := e.running[:0]
		for _, s := range e.running {
			s.lease.Token(e.free, 1)
			s.context++
			if s.left--; s.left > 0 {
				kept = append(kept, s)
			} else {
				s.lease.End(done(s.tokens), e.free)
			}
		}
		for _, s := range e.waiting {
			s.lease.FirstToken(e.free)
			kept = append(kept, s)
		}
		e.running, e.waiting = kept, nil
	}
	if e.free.Before(t) {
		e.free = t
	}
}

// drive sends Poisson traffic of unshared prompts through f to toy engines.
func drive(t testing.TB, f *fleet, engines []*toyEngine, perSecond float64, requests int) (perEngine []int) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 3))
	perEngine = make([]int, len(engines))
	for i := range requests {
		f.later(time.Duration(1e9 * r.ExpFloat64() / perSecond))
		for _, e := range engines {
			e.runUntil(f.now)
		}
		l := f.send(t, prompt(uint64(i)+100, 1, 0, 2+r.IntN(25)))
		at := l.Endpoint().Index()
		perEngine[at]++
		tokens := 20 + r.IntN(200)
		engines[at].waiting = append(engines[at].waiting, &toyStream{
			lease: l, uncached: float64(l.Decision().Uncached), context: float64(l.Decision().Uncached), left: tokens, tokens: tokens,
		})
	}
	return perEngine
}

func TestLearner_FindsTheEnginesSpeeds(t *testing.T) {
	for _, card := range []struct {
		name                   string
		step, growth, perToken float64
	}{
		{"middling", 0.030, 8e-6, 1.0 / 5000},
		{"fast", 0.010, 3e-6, 1.0 / 25000},
		{"slow", 0.150, 2e-5, 1.0 / 800},
	} {
		t.Run(card.name, func(t *testing.T) {
			f := newFleet(t, "warm", 3)
			engines := make([]*toyEngine, 3)
			for i := range engines {
				engines[i] = &toyEngine{step: card.step, growth: card.growth, perToken: card.perToken, free: start}
			}
			drive(t, f, engines, 0.12/card.step, 300)
			for i, s := range f.Status(f.now) {
				r := 1 / card.perToken
				t.Logf("endpoint %d: W %.4f of %.4f, r %.0f of %.0f, b/W %.1e of %.1e",
					i, s.Step, card.step, s.Rate, r, s.PerContext/s.Step, card.growth)
				if off(s.Step, card.step) > 0.10 {
					t.Errorf("endpoint %d: W is %.4f, want %.4f within 10 %%", i, s.Step, card.step)
				}
				if off(s.Rate, r) > 0.45 {
					t.Errorf("endpoint %d: r is %.0f, want %.0f within 45 %%", i, s.Rate, r)
				}
			}
		})
	}
}

func off(have, want float64) float64 { return math.Abs(have/want - 1) }

func TestLearner_SlowCardGetsLess(t *testing.T) {
	f := newFleet(t, "warm", 4, func(c *balancer.PoolConfig) { c.ProbeIdle = true })
	engines := make([]*toyEngine, 4)
	for i := range engines {
		engines[i] = &toyEngine{step: 0.03, growth: 8e-6, perToken: 1.0 / 5000, free: start}
	}
	engines[3].step, engines[3].perToken = 0.09, 3.0/5000
	got := drive(t, f, engines, 4, 400)
	s := f.Status(f.now)
	if ratio := s[3].Step / s[0].Step; ratio < 2.4 || ratio > 3.6 {
		t.Errorf("a card of a third of the speed is believed %.1f times slower, want about 3", ratio)
	}
	if got[3] > got[0]/2 {
		t.Errorf("requests by endpoint %v: the slow one got more than half of a fast one's", got)
	}
}

func TestLearner_UnmeasuredIsBelievedFast(t *testing.T) {
	f := newFleet(t, "warm", 3)
	engines := []*toyEngine{
		{step: 0.09, perToken: 3.0 / 5000, free: start},
		{step: 0.03, perToken: 1.0 / 5000, free: start},
	}
	if err := f.SetAdmin(url(2), balancer.Draining); err != nil {
		t.Fatal(err)
	}
	drive(t, f, engines, 2, 100)
	s := f.Status(f.now)
	if s[2].Measured || off(s[2].Step, s[1].Step) > 0.05 {
		t.Errorf("the endpoint never used is believed to take %.4f s a step, want %.4f, the fastest's", s[2].Step, s[1].Step)
	}
}

func TestLearner_RestartForgetsOneEndpoint(t *testing.T) {
	f := newFleet(t, "warm", 2)
	engines := []*toyEngine{{step: 0.03, perToken: 1.0 / 5000, free: start}, {step: 0.03, perToken: 1.0 / 5000, free: start}}
	e := f.Endpoints()[0]
	f.Observe(e, balancer.Load{Started: start}, f.now)
	drive(t, f, engines, 3, 100)
	f.Observe(e, balancer.Load{Started: start}, f.now)
	if s := f.Status(f.now)[0]; !s.Measured || s.IndexBlocks == 0 {
		t.Fatalf("before the restart: measured %v, %d blocks", s.Measured, s.IndexBlocks)
	}
	f.Observe(e, balancer.Load{Started: f.now}, f.now)
	s := f.Status(f.now)
	if s[0].Measured || s[0].IndexBlocks != 0 {
		t.Errorf("after the restart: measured %v, %d blocks, want nothing", s[0].Measured, s[0].IndexBlocks)
	}
	if !s[1].Measured || s[1].IndexBlocks == 0 {
		t.Error("the other endpoint has been forgotten too")
	}
}

// TestLearner_SurvivesNonsense feeds what a real day brings and asks that every belief stays near the truth, and follows it
// when all engines turn slower later on.
func TestLearner_SurvivesNonsense(t *testing.T) {
	nonsense := map[string]func(f *fleet, l *balancer.Lease){
		"clock jumps back": func(f *fleet, l *balancer.Lease) {
			l.FirstToken(f.now.Add(-time.Hour))
			l.Token(f.now.Add(-2*time.Hour), 1)
			l.End(done(2), f.now.Add(-3*time.Hour))
		},
		"clock jumps ahead": func(f *fleet, l *balancer.Lease) {
			l.FirstToken(f.now.Add(50 * time.Hour))
			l.End(done(1), f.now)
		},
		"one token answers": func(f *fleet, l *balancer.Lease) {
			f.later(80 * time.Millisecond)
			l.FirstToken(f.now)
			l.End(done(1), f.now)
		},
		"a stream stalls": func(f *fleet, l *balancer.Lease) {
			f.later(80 * time.Millisecond)
			l.FirstToken(f.now)
			f.later(20 * time.Minute)
			l.Token(f.now, 1)
			l.End(ended(balancer.Stalled), f.now)
		},
		"all tokens in one event": func(f *fleet, l *balancer.Lease) {
			f.later(80 * time.Millisecond)
			l.FirstToken(f.now)
			f.later(30 * 0.03 * 1e9)
			l.Token(f.now, 30)
			l.End(done(31), f.now)
		},
		"events at the same instant": func(f *fleet, l *balancer.Lease) {
			f.later(80 * time.Millisecond)
			l.FirstToken(f.now)
			for range 50 {
				l.Token(f.now, 1)
			}
			l.End(done(51), f.now)
		},
		"a role and the first token in two reads": func(f *fleet, l *balancer.Lease) {
			for range 20 {
				f.later(80 * time.Millisecond)
				l.FirstToken(f.now)
				f.later(20 * time.Microsecond)
				l.Token(f.now, 1)
				f.later(30 * time.Millisecond)
				l.Token(f.now, 1)
				l.End(done(2), f.now)
				l = f.send(t, prompt(5, 5, 0, 4))
			}
			l.End(ended(balancer.ClientGone), f.now)
		},
		"huge counts of tokens": func(f *fleet, l *balancer.Lease) {
			f.later(80 * time.Millisecond)
			l.FirstToken(f.now)
			f.later(30 * time.Millisecond)
			l.Token(f.now, math.MaxInt)
			l.Token(f.now, math.MaxInt)
			l.End(done(math.MaxInt), f.now)
		},
		"no tokens in an event": func(f *fleet, l *balancer.Lease) {
			f.later(80 * time.Millisecond)
			l.FirstToken(f.now)
			for _, n := range []int{0, -1, math.MinInt} {
				f.later(30 * time.Millisecond)
				l.Token(f.now, n)
			}
			l.End(done(0), f.now)
		},
		"an answer of an engine that is gone": func(f *fleet, l *balancer.Lease) {
			if l.Endpoint().Index() == 0 {
				f.Observe(l.Endpoint(), balancer.Load{Queries: 90}, f.now)
				f.Observe(l.Endpoint(), balancer.Load{Queries: 5}, f.now)
			} else {
				l.End(ended(balancer.ClientGone), f.now)
			}
			f.later(80 * time.Second)
			l.FirstToken(f.now)
			for range 9 {
				f.later(3 * time.Second)
				l.Token(f.now, 1)
			}
			l.End(done(10), f.now)
		},
		"answers in one piece": func(f *fleet, l *balancer.Lease) {
			f.later(3 * time.Second)
			l.End(done(100), f.now)
		},
	}
	for name, event := range nonsense {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "warm", 2)
			engines := []*toyEngine{
				{step: 0.03, growth: 8e-6, perToken: 1.0 / 5000, free: start},
				{step: 0.03, growth: 8e-6, perToken: 1.0 / 5000, free: start},
			}
			drive(t, f, engines, 3, 100)
			for _, e := range engines {
				e.runUntil(f.now.Add(time.Hour))
			}
			f.later(time.Hour)
			for range 3 {
				event(f, f.send(t, prompt(5, 5, 0, 4)))
				f.later(time.Second)
			}
			near := func(when string, step, rate float64) {
				t.Helper()
				for i, s := range f.Status(f.now) {
					if off(s.Step, step) > 0.25 {
						t.Errorf("%s endpoint %d: W is %.4f, want about %.4f", when, i, s.Step, step)
					}
					if s.Rate < rate/3 || s.Rate > 3*rate {
						t.Errorf("%s endpoint %d: r is %.0f, want about %.0f", when, i, s.Rate, rate)
					}
					if s.InFlight != 0 || s.Decoding != 0 || s.Pending != 0 || s.Context != 0 {
						t.Errorf("%s endpoint %d counts n=%d d=%d A=%d X=%d", when, i, s.InFlight, s.Decoding, s.Pending, s.Context)
					}
				}
			}
			near("after it", 0.03, 5000)
			for _, e := range engines {
				e.free, e.step, e.perToken = f.now, 0.06, 2.0/5000
			}
			drive(t, f, engines, 1.5, 60)
			for _, e := range engines {
				e.runUntil(f.now.Add(time.Hour))
			}
			near("in the end", 0.06, 2500)
		})
	}
}

// What a peer told while our clock ran ahead does not keep first tokens from teaching once it is set back.
func TestLearner_FirstTokensSurviveTheClock(t *testing.T) {
	f := newFleet(t, "warm", 1)
	l := f.send(t, prompt(1, 1, 0, 4))
	d := f.Export(balancer.Cursor{}, f.now)
	d.Endpoints[0] = balancer.SharedEndpoint{Key: d.Endpoints[0].Key, FirstAgo: time.Millisecond}
	l.End(ended(balancer.ClientGone), f.now)
	if err := f.Merge("peer", &d, f.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	before := f.Status(f.now)[0].Floor
	for i := range 5 {
		l := f.send(t, prompt(uint64(i)+2, 1, 0, 4))
		f.later(time.Second)
		l.FirstToken(f.now)
		l.End(done(1), f.now)
	}
	if after := f.Status(f.now)[0].Floor; after < 10*before {
		t.Errorf("after five first tokens that took a second the floor is %.3f s, before it was %.3f s", after, before)
	}
}

// A clock that ran ahead and was set back leaves times of the future behind.
func TestLearner_IdleProbesSurviveTheClock(t *testing.T) {
	f := newFleet(t, "warm", 1, func(c *balancer.PoolConfig) { c.ProbeIdle = true })
	f.answer(f.send(t, prompt(1, 1, 0, 4)))
	f.later(time.Hour)
	f.answer(f.send(t, prompt(1, 1, 0, 4)))
	f.later(-time.Hour)
	f.send(t, prompt(1, 1, 0, 4)).End(ended(balancer.ClientGone), f.now)
	f.later(6 * time.Second)
	due := f.Due(f.now)
	if len(due) != 1 || due[0].Kind != balancer.ProbeGenerate {
		t.Fatalf("probes after 6 s of silence: %v, want one generation", due)
	}
	f.Probed(due[0], errProbe, f.now)
	f.later(time.Second)
	if due := f.Due(f.now); len(due) != 0 {
		t.Errorf("%d probes are due a second after one", len(due))
	}
}

func TestLearner_DifferencesFadeInSilence(t *testing.T) {
	for name, tokens := range map[string]int{"streams": 20, "answers of one token": 0} {
		f, choose, seen := witnessed(t, 2)
		for i := range 40 {
			*choose = i % 2
			l := f.send(t, prompt(uint64(i)+2, 1, 0, 20))
			slow := time.Duration(1 + 3*(i%2))
			f.later(slow * 300 * time.Millisecond)
			l.FirstToken(f.now)
			for range tokens {
				f.later(slow * 30 * time.Millisecond)
				l.Token(f.now, 1)
			}
			l.End(done(tokens+1), f.now)
		}
		apart := func() float64 {
			l := f.send(t, prompt(1, 1, 0, 1))
			l.End(ended(balancer.ClientGone), f.now)
			return seen.Candidates[0].Rate / seen.Candidates[1].Rate
		}
		before := apart()
		f.later(30 * time.Second)
		if after := apart(); off(after, math.Sqrt(before)) > 0.1 || before < 2.5 {
			t.Errorf("%s: prefill is believed %.2f times faster here than there, and %.2f times after 30 s of silence, want the root",
				name, before, after)
		}
	}
}

func TestLearner_IdleEndpointIsAskedToGenerate(t *testing.T) {
	f := newFleet(t, "warm", 2, func(c *balancer.PoolConfig) { c.ProbeIdle = true })
	if due := f.Due(f.now); len(due) != 0 {
		t.Fatalf("a pool without traffic asks for %d probes", len(due))
	}
	busy := f.send(t, prompt(1, 1, 0, 4))
	f.later(6 * time.Second)
	due := f.Due(f.now)
	if len(due) != 1 || due[0].Kind != balancer.ProbeGenerate || due[0].Endpoint == busy.Endpoint() {
		t.Fatalf("after 6 s probes are %v, want one generation on the idle endpoint", due)
	}
	l := f.ProbeLease(due[0], &balancer.Request{Prompt: prompt(2, 2, 0, 0)}, f.now)
	for range 9 {
		f.later(30 * time.Millisecond)
		l.FirstToken(f.now)
		l.Token(f.now, 1)
	}
	l.End(done(9), f.now)
	f.Probed(due[0], nil, f.now)
	if s := f.Status(f.now)[due[0].Endpoint.Index()]; !s.Measured || off(s.Step, 0.03) > 0.1 {
		t.Errorf("after a probe the step is %.4f (measured %v), want 0.03", s.Step, s.Measured)
	}
	if due := f.Due(f.now); len(due) != 0 {
		t.Errorf("%d probes are due right after one", len(due))
	}
}

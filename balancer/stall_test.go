package balancer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// healthy answers all probes that are due as engines do of which one is stuck behind a health page that answers: it does not
// generate. It returns how many generations the stuck one was asked for.
func (f *fleet) healthy(stuck int) (generations int) {
	for _, pr := range f.Due(f.now) {
		if pr.Kind != balancer.ProbeGenerate {
			f.Probed(pr, nil, f.now)
			continue
		}
		l := f.ProbeLease(pr, &balancer.Request{}, f.now)
		if pr.Endpoint.Index() != stuck {
			l.FirstToken(f.now)
			l.End(done(8), f.now)
			f.Probed(pr, nil, f.now)
			continue
		}
		generations++
		f.later(pr.Timeout)
		l.End(ended(balancer.Cancelled), f.now)
		f.Probed(pr, errors.New("time-out"), f.now)
	}
	return generations
}

func TestStall_SilentEngineIsEjected(t *testing.T) {
	for name, r := range map[string]*balancer.Request{
		"before the first event": {},
		"in one piece":           {Whole: true, MaxTokens: 10},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "random", 3, func(c *balancer.PoolConfig) { c.ProbeHealthEvery = 5 * time.Second })
			sent := f.now
			l, _ := f.sendTo(t, 1, func() *balancer.Request { q := *r; return &q })
			asked := 0
			for f.state(1) == balancer.Serving && f.now.Sub(sent) < time.Minute {
				f.later(500 * time.Millisecond)
				asked += f.healthy(1)
			}
			s := f.Status(f.now)[1]
			if s.State != balancer.Ejected || s.Reason != "gives no sign of work" || asked != 1 {
				t.Fatalf("%v for %q after %d generations, want ejected after one", s.State, s.Reason, asked)
			}
			if took := f.now.Sub(sent); took < 20*time.Second || took > 24*time.Second {
				t.Errorf("found after %v, want after 10 s of silence and a generation of 10 s", took)
			}
			ejected, asked := f.now, 0
			for range 60 { // its health page does not bring it back
				f.later(500 * time.Millisecond)
				asked += f.healthy(1)
				if f.state(1) != balancer.Ejected {
					t.Fatalf("it is %v although it does not generate", f.state(1))
				}
			}
			if most := int(f.now.Sub(ejected) / (10 * time.Second)); asked > most {
				t.Errorf("asked for %d generations in %v, want one each 11 s", asked, f.now.Sub(ejected))
			}
			l.FirstToken(f.now) // it was only very slow
			l.End(done(1), f.now)
			if got := f.state(1); got != balancer.Warming {
				t.Errorf("after a sign of work it is %v, want warming", got)
			}
		})
	}
}

func TestStall_SilenceInMidStream(t *testing.T) {
	f := newFleet(t, "random", 2)
	l, _ := f.sendTo(t, 1, anyRequest)
	l.FirstToken(f.now)
	for range 60 {
		f.later(time.Second)
		l.Token(f.now, 1)
		if n := f.healthy(1); n > 0 {
			t.Fatal("asked to generate although it streams")
		}
	}
	for range 20 {
		f.later(time.Second)
		f.healthy(1)
	}
	if got := f.state(1); got != balancer.Ejected {
		t.Errorf("a stream has been silent for 20 s and its endpoint is %v", got)
	}
}

// TestStall_LongPrefillsAreForeseen: a queue of long prompts, and long answers in one piece, are silent for good reasons.
func TestStall_LongPrefillsAreForeseen(t *testing.T) {
	for name, r := range map[string]*balancer.Request{
		"prefill":  {Prompt: prompt(3, 1, 0, 4000)},
		"in piece": {Whole: true, MaxTokens: 100_000},
	} {
		f := newFleet(t, "random", 2)
		l, _ := f.sendTo(t, 1, func() *balancer.Request { q := *r; return &q })
		if name == "prefill" && f.TTFTEstimate(l) < 10*time.Second {
			t.Fatalf("the prompt takes only %v", f.TTFTEstimate(l))
		}
		for range 18 {
			f.later(time.Second)
			if f.healthy(1) > 0 {
				t.Errorf("%s: asked to generate within %v", name, f.now.Sub(start))
			}
		}
	}
}

// TestStall_BusyEngineThatAnswersStays: an engine whose generation probe is answered works, however silent its other requests are.
func TestStall_BusyEngineThatAnswersStays(t *testing.T) {
	f := newFleet(t, "random", 2)
	f.sendTo(t, 1, anyRequest)
	for range 100 {
		f.later(time.Second)
		f.healthy(-1)
		if got := f.state(1); got != balancer.Serving {
			t.Fatalf("it is %v", got)
		}
	}
}

// TestStall_TimeoutsNeedAGeneration: the health page of an engine that let requests wait in vain proves nothing.
func TestStall_TimeoutsNeedAGeneration(t *testing.T) {
	for cause, want := range map[balancer.Cause]balancer.ProbeKind{
		balancer.Timeout: balancer.ProbeGenerate, balancer.Stalled: balancer.ProbeGenerate, balancer.ServerError: balancer.ProbeHealth,
	} {
		f := newFleet(t, "random", 3)
		f.fail(t, 1, 3, cause)
		f.later(2 * time.Second)
		if kinds, _ := f.probe(1, nil); len(kinds) != 1 || kinds[0] != want {
			t.Errorf("ejected for %v it is asked by %v, want %v", cause, kinds, want)
		}
	}
}

// TestStall_PlainAnswersAreNotAwaitedTwice: where only answers in one piece are under way, the probe runs while silence is still bearable.
func TestStall_PlainAnswersAreNotAwaitedTwice(t *testing.T) {
	f := newFleet(t, "random", 2)
	sent := f.now
	l, _ := f.sendTo(t, 1, func() *balancer.Request { return &balancer.Request{Whole: true, MaxTokens: 100_000} })
	for f.state(1) == balancer.Serving && f.now.Sub(sent) < 5*time.Minute {
		f.later(500 * time.Millisecond)
		f.healthy(1)
	}
	s := f.Status(f.now)[1]
	longest := 4 * f.Learned().Answer * s.Step // of an answer, in seconds
	if bearable := time.Duration((10 + 2*longest) * float64(time.Second)); longest < 10 || f.now.Sub(sent) < bearable || f.now.Sub(sent) > bearable+10*time.Second {
		t.Errorf("found after %v, want little more than %v", f.now.Sub(sent), bearable)
	}
	if stuck, others := f.Stuck(); len(stuck) != 1 || stuck[0].Index() != 1 || others != 1 {
		t.Errorf("stuck are %d, in service %d", len(stuck), others)
	}
	l.End(ended(balancer.Timeout), f.now)
	if stuck, _ := f.Stuck(); len(stuck) != 0 {
		t.Error("an endpoint without work is stuck")
	}
}

// TestStall_AfterTimeouts: an engine that was taken out for time-outs and then does not generate is stuck as well, until it moves.
func TestStall_AfterTimeouts(t *testing.T) {
	f := newFleet(t, "random", 3)
	l, _ := f.sendTo(t, 1, anyRequest)
	f.fail(t, 1, 3, balancer.Timeout)
	if stuck, _ := f.Stuck(); len(stuck) != 0 || f.state(1) != balancer.Ejected {
		t.Fatalf("it is %v, and stuck before it was asked", f.state(1))
	}
	for range 60 {
		f.later(time.Second)
		f.healthy(1)
	}
	if stuck, others := f.Stuck(); len(stuck) != 1 || others != 2 {
		t.Errorf("stuck are %d, in service %d", len(stuck), others)
	}
	l.FirstToken(f.now)
	if stuck, _ := f.Stuck(); len(stuck) != 0 || f.state(1) != balancer.Warming {
		t.Errorf("after a token it is %v", f.state(1))
	}
}

package balancer_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// driveAll sends the traffic of drive through several gateways in turn, which exchange deltas every 50 ms.
func driveAll(t testing.TB, all []*gateway, engines []*toyEngine, perSecond float64, requests int, exchange func(from, to *gateway)) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 3))
	now, next := start, start
	for i := range requests {
		for now = now.Add(time.Duration(1e9 * r.ExpFloat64() / perSecond)); next.Before(now); next = next.Add(50 * time.Millisecond) {
			for _, from := range all {
				for _, to := range all {
					if from.now, to.now = next, next; from != to {
						exchange(from, to)
					}
				}
			}
			for _, e := range engines { // a step that begins by then is seen at its end
				e.runUntil(next)
			}
		}
		for _, e := range engines {
			e.runUntil(now)
		}
		g := all[r.IntN(len(all))]
		g.now = now
		l := g.send(t, prompt(uint64(i)+100, 1, 0, 2+r.IntN(25)))
		uncached, tokens := float64(l.Decision().Uncached), 20+r.IntN(200)
		e := engines[l.Endpoint().Index()]
		e.waiting = append(e.waiting, &toyStream{lease: l, uncached: uncached, context: uncached, left: tokens, tokens: tokens})
	}
	wait(now.Sub(all[0].now), all[0])
}

// TestShare_StepsAreFoundInCompany runs four gateways over engines that each of them sees a quarter of.
func TestShare_StepsAreFoundInCompany(t *testing.T) {
	var mean [2]float64 // error of W, alone and shared
	for k, shared := range []bool{false, true} {
		engines := []*toyEngine{
			{step: 0.010, growth: 8e-6, perToken: 6e-5},
			{step: 0.025, growth: 8e-6, perToken: 15e-5},
			{step: 0.030, growth: 8e-6, perToken: 20e-5},
		}
		all := gateways(t, 4, 3)
		driveAll(t, all, engines, 11, 2000, func(from, to *gateway) {
			d := from.Export(from.told[to.name], from.now)
			from.told[to.name] = d.Until
			for i := range d.Endpoints { // what each finds by itself is asked
				d.Endpoints[i].Step = 0
			}
			if !shared {
				d = balancer.Delta{Since: d.Since, Until: d.Until}
			}
			if err := to.Merge(from.name, &d, to.now); err != nil {
				t.Fatal(err)
			}
		})
		for _, g := range all {
			for i, s := range g.Status(g.now) {
				e := engines[i]
				mean[k] += off(s.Step, e.step) / float64(len(all)*len(engines))
				if shared && off(s.Step, e.step) > 0.25 {
					t.Errorf("%s believes W = %.4f s, want %.4f within 25 %%", g.name, s.Step, e.step)
				}
			}
		}
	}
	t.Logf("mean error of W is %.0f %% without sharing, %.0f %% with", 100*mean[0], 100*mean[1])
	if mean[1] > mean[0]/3 {
		t.Errorf("sharing load takes the mean error of W from %.3f to %.3f only", mean[0], mean[1])
	}
}

// TestShare_PrefillIsFoundInCompany has an engine prefill one prompt after another, in turn for two gateways. Each would
// take the time of both for its own if it did not hear of the other's first tokens.
func TestShare_PrefillIsFoundInCompany(t *testing.T) {
	const perToken = 100 * time.Microsecond
	var rates [2]float64
	for k, shared := range []bool{false, true} {
		all := gateways(t, 2, 1)
		waiting := map[*gateway][]*balancer.Lease{}
		for turn := range 200 {
			g := all[turn%2]
			waiting[g] = append(waiting[g], g.send(t, prompt(2, uint64(turn), 0, 20+turn*7%40)))
			if turn < 4 {
				continue
			}
			l := waiting[g][0]
			waiting[g] = waiting[g][1:]
			wait(time.Duration(l.Decision().Uncached)*perToken, all...)
			l.FirstToken(g.now)
			l.End(done(1), g.now)
			if shared {
				gossip(t, all)
			}
		}
		rates[k] = all[0].Status(all[0].now)[0].Rate
	}
	want := 1 / perToken.Seconds()
	t.Logf("r is %.0f without sharing, %.0f with, of %.0f", rates[0], rates[1], want)
	if off(rates[1], want) > 0.05 || off(rates[0], want) < 0.15 {
		t.Errorf("r = %.0f without sharing, %.0f with, of %.0f", rates[0], rates[1], want)
	}
}

func TestShare_LearnedSpeeds(t *testing.T) {
	engines := []*toyEngine{{step: 0.01, growth: 8e-6, perToken: 6e-5}, {step: 0.025, growth: 8e-6, perToken: 15e-5}}
	all := gateways(t, 2, 2)
	a, b := all[0], all[1]
	drive(t, a.fleet, engines, 4, 300)
	b.now = a.now
	if err := a.tell(b); err != nil {
		t.Fatal(err)
	}
	learned, heard := a.Status(a.now), b.Status(b.now)
	if off(learned[0].Step, 0.01) > 0.1 {
		t.Fatalf("nothing was learned: W = %v s", learned[0].Step)
	}
	for i := range engines {
		if off(heard[i].Step, learned[i].Step) > 0.01 || off(heard[i].Rate, learned[i].Rate) > 0.01 || heard[i].Measured {
			t.Errorf("endpoint %d: W %v s, r %v, measured %v is believed; a peer has learned %v and %v",
				i, heard[i].Step, heard[i].Rate, heard[i].Measured, learned[i].Step, learned[i].Rate)
		}
	}
	for _, queries := range []float64{2, 1} {
		b.Observe(b.Endpoints()[1], balancer.Load{Queries: queries}, b.now)
	}
	if s := b.Status(b.now)[1].Step; off(s, heard[1].Step) < 0.01 {
		t.Errorf("step %v s of the endpoint's earlier process is still believed after its restart", s)
	}
}

func TestShare_SpeedsAreToldOnceASecond(t *testing.T) {
	g := gateways(t, 1, 1)[0]
	l := g.send(t, prompt(1, 1, 0, 10))
	l.FirstToken(g.now)
	var cursor balancer.Cursor
	told := 0
	for range 100 { // 2 s
		g.later(20 * time.Millisecond)
		l.Token(g.now, 1)
		d := g.Export(cursor, g.now)
		cursor = d.Until
		if d.Endpoints[0].Step > 0 {
			told++
		}
	}
	if told != 2 {
		t.Errorf("the speed is told %d times in 2 s, want 2", told)
	}
}

func TestShare_GapInWhichAPeerWaitedIsNoStep(t *testing.T) {
	all := gateways(t, 2, 1)
	a, b := all[0], all[1]
	l := b.send(t, prompt(1, 1, 0, 10))
	l.FirstToken(b.now)
	for range 50 {
		wait(20*time.Millisecond, all...)
		l.Token(b.now, 1)
	}
	before := b.Status(b.now)[0].Step
	for range 50 {
		wait(20*time.Millisecond, all...)
		peer := a.send(t, prompt(2, 1, 0, 10))
		gossip(t, all)
		wait(20*time.Millisecond, all...)
		peer.FirstToken(a.now)
		gossip(t, all)
		wait(20*time.Millisecond, all...)
		l.Token(b.now, 1)
		peer.End(done(1), a.now)
	}
	if after := b.Status(b.now)[0].Step; off(after, before) > 0.02 {
		t.Errorf("W was %v s and is %v s by gaps in which a peer's prompts were prefilled", before, after)
	}
}

func TestShare_NewerSpeedOfAPeerIsBelieved(t *testing.T) {
	enginesOf := func(step float64) []*toyEngine {
		return []*toyEngine{{step: step, growth: 8e-6, perToken: step / 150, free: start}, {step: 0.02, growth: 8e-6, perToken: 1e-4, free: start}}
	}
	for _, age := range []time.Duration{time.Second, time.Minute} {
		all := gateways(t, 2, 2)
		a, b := all[0], all[1]
		drive(t, b.fleet, enginesOf(0.02), 4, 200)
		drive(t, a.fleet, enginesOf(0.05), 4, 200) // throttled, as a sees it
		before := b.Status(b.now)[0].Step
		b.later(age)
		a.now = b.now
		if err := a.tell(b); err != nil {
			t.Fatal(err)
		}
		told, after := a.Status(a.now)[0].Step, b.Status(b.now)[0].Step
		if age == time.Second && off(after, before) > 0.05 {
			t.Errorf("a step of %v s measured just now becomes %v s by a peer's word", before, after)
		}
		if age == time.Minute && off(after, told) > 0.05 {
			t.Errorf("a step measured a minute ago stays %v s, a peer tells %v s", after, told)
		}
	}
}

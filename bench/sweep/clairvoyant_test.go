package sweep

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// lifeOf plays random traffic on a core and writes down all of its events; look is called before each arrival.
func lifeOf(t *testing.T, noise float64, look func(*engine.Core)) string {
	t.Helper()
	core := engine.New(engine.CoreConfig{Blocks: 300, Noise: noise, Seed: 3}) // small, so that requests are preempted
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	until := func(at time.Duration) {
		for _, e := range core.Advance(at) {
			fmt.Fprintln(&b, e.At, e.Request.Tag, e.Index, e.Last, e.Request.Cached, e.Request.Preemptions)
		}
	}
	var now time.Duration
	for i := range 60 {
		now += time.Duration(rng.IntN(600)) * time.Millisecond
		until(now)
		look(core)
		w := newWriter("", 0)
		w.say(uint64(rng.IntN(3)), 200)
		w.ask(uint64(100+i), 100, 0)
		w.answer(uint64(200+i), 50+rng.IntN(600))
		turn := w.end().turns[0]
		q := &engine.Request{Prompt: turn.prompt, Output: turn.output, Blocks: turn.fine, Tag: i}
		if err := core.Submit(q, now); err != nil {
			t.Fatal(err)
		}
		until(now)
	}
	for core.Next() != engine.Never {
		until(core.Next())
	}
	fmt.Fprintf(&b, "%+v", core.Counters())
	if core.Counters().Preemptions == 0 {
		t.Error("nothing was preempted")
	}
	return b.String()
}

func TestFork_LeavesTheOriginalAlone(t *testing.T) {
	with := lifeOf(t, 0, func(c *engine.Core) {
		f := c.Fork()
		if err := f.Submit(&engine.Request{Prompt: 900, Output: 90}, 1000*time.Second); err != nil {
			t.Fatal(err)
		}
		f.Finish(func(*engine.Request) {})
	})
	if with != lifeOf(t, 0, func(*engine.Core) {}) {
		t.Error("an engine goes on otherwise after a copy of it was run")
	}
}

func TestFork_WithoutNoisePredictsExactly(t *testing.T) {
	core := engine.New(engine.CoreConfig{Blocks: 200, Noise: -1})
	for i := range 12 {
		if err := core.Submit(&engine.Request{Prompt: 150, Output: 100 + 37*i, Tag: i}, 0); err != nil {
			t.Fatal(err)
		}
	}
	core.Advance(2 * time.Second)
	type fate struct {
		first, last time.Duration
		preemptions int
	}
	ends := func(c *engine.Core) map[any]fate {
		all := map[any]fate{}
		c.Finish(func(r *engine.Request) { all[r.Tag] = fate{r.FirstToken, r.Finished, r.Preemptions} })
		return all
	}
	predicted, came := ends(core.Fork()), ends(core)
	if core.Counters().Preemptions == 0 || len(came) != 12 {
		t.Fatalf("%d preempted, %d ended: this is not the case that was meant", core.Counters().Preemptions, len(came))
	}
	if !maps.Equal(predicted, came) {
		t.Errorf("predicted %v, came %v", predicted, came)
	}
}

func TestClairvoyant_TakesWhatCostsEverybodyLeast(t *testing.T) {
	// The long prompt is on replica 0 already; a short one that follows it would wait behind another long one there.
	w := newWriter("a", 0)
	w.say(1, 1600)
	w.ask(2, 10, 0)
	w.answer(3, 400)
	again := newWriter("b", 2*time.Second)
	again.say(1, 1600)
	again.ask(4, 10, 0)
	again.answer(5, 20)
	p := &plan{fleet: []machine{{preset: a10}, {preset: a10}, {preset: a10, slow: 5}}, sessions: []*session{w.end(), again.end()}}
	r := playedPlan(t, p, &clairvoyant{}, 1)
	first, second := r.records[1], r.records[0] // the short one ends first
	if second.Replica != first.Replica || second.Cached != 1600 {
		t.Errorf("a prompt whose beginning is on replica %d went to %d and found %d tokens", first.Replica, second.Replica, second.Cached)
	}
	if first.Replica == 2 {
		t.Error("the slow replica was taken while others were idle")
	}
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// trouble gives engines faults at random, and takes them back.
type trouble struct {
	engines []*engine.Server
	rng     *rand.Rand
	until   []time.Time // when an engine is well again; zero: it is
	count   map[engine.FaultKind]int
}

func newTrouble(engines []*engine.Server, seed uint64) *trouble {
	return &trouble{
		engines: engines, rng: rand.New(rand.NewPCG(seed, 1)), until: make([]time.Time, len(engines)), count: map[engine.FaultKind]int{},
	}
}

// mend is how long an engine that is well again is left alone, so that one which seems to work works.
const mend = 3 * time.Second

// run goes on until ctx ends, and leaves all engines well.
func (t *trouble) run(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for i := range t.engines {
				t.heal(i)
			}
			return
		case now := <-tick.C:
			t.step(now)
		}
	}
}

func (t *trouble) step(now time.Time) {
	ill := 0
	for i, until := range t.until {
		switch {
		case until.IsZero():
		case now.After(until.Add(mend)):
			t.until[i] = time.Time{}
		case now.After(until):
			t.heal(i)
			ill++
		default:
			ill++
		}
	}
	if i := t.rng.IntN(len(t.engines)); t.until[i].IsZero() && ill < len(t.engines)/2 {
		t.strike(i, now)
	}
}

func (t *trouble) strike(i int, now time.Time) {
	kinds := []engine.FaultKind{
		engine.FaultDie, engine.FaultVanish, engine.FaultDrain, engine.FaultHang, engine.FaultRefuse, engine.FaultError500,
		engine.FaultCut, engine.FaultSlow,
	}
	f := engine.Fault{Kind: kinds[t.rng.IntN(len(kinds))], Status: []int{429, 503}[t.rng.IntN(2)], Factor: 5}
	if err := t.engines[i].Apply(f); err != nil {
		panic("BUG: soak: " + err.Error())
	}
	t.count[f.Kind]++
	t.until[i] = now.Add(time.Second + time.Duration(t.rng.IntN(6000))*time.Millisecond)
}

// heal brings an engine back; it may be called while it is well.
func (t *trouble) heal(i int) {
	if err := t.engines[i].Apply(engine.Fault{Kind: engine.FaultSlow, Factor: 1}); err != nil {
		panic("BUG: soak: " + err.Error())
	}
	if err := t.engines[i].Apply(engine.Fault{Kind: engine.FaultReturn}); err != nil {
		fmt.Println("soak: an engine does not return:", err)
	}
}

func (t *trouble) String() string { return fmt.Sprint(t.count) }

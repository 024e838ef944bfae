package load

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
)

// gate lets in a limited number at once; a freed place goes to one of those waiting, picked at random, so that turns
// of many open sessions mix.
type gate struct {
	mu      sync.Mutex // guards all below
	free    int
	waiting []chan struct{}
	pick    *rand.Rand
}

func newGate(places int, seed uint64) *gate {
	return &gate{free: places, pick: rand.New(rand.NewPCG(seed, 0x67617465))}
}

// enter waits for a place. It reports false, and holds none, when ctx ended first.
func (g *gate) enter(ctx context.Context) bool {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return true
	}
	place := make(chan struct{}, 1)
	g.waiting = append(g.waiting, place)
	g.mu.Unlock()
	select {
	case <-place:
		return true
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.waiting, place)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 { // the place was given in the same moment: hand it on
		g.leave()
	}
	return false
}

// leave gives the place back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.free++
		return
	}
	i := g.pick.IntN(len(g.waiting))
	place := g.waiting[i]
	g.waiting = slices.Delete(g.waiting, i, i+1)
	place <- struct{}{}
}

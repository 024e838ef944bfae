package affinity_test

import (
	"container/list"
	"testing"

	"github.com/warmlane/warmlane/balancer/affinity"
	"github.com/warmlane/warmlane/bench/workload"
)

// TestIndex_HitsAsOftenAsLRU sends an hour of a production chat service through the index of one endpoint and through a plain list of
// blocks by last use.
func TestIndex_HitsAsOftenAsLRU(t *testing.T) {
	trace, err := workload.Mooncake()
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range []int{500, 2_000, 8_000, 32_000} {
		x, plain := affinity.New(1), newLRU(budget)
		x.SetBudget(0, budget)
		var m affinity.Match
		asked, found, want := 0, 0, 0
		for i := range trace {
			chain := hashes(trace[i].Blocks)
			x.Walk(chain, start.Add(trace[i].At), &m)
			asked, found, want = asked+len(chain), found+int(m.Depth[0]), want+plain.depth(chain)
			x.Use(0, chain, &m, start.Add(trace[i].At))
			x.Finish(0, chain, nil)
			plain.use(chain)
		}
		hit, ideal := 100*float64(found)/float64(asked), 100*float64(want)/float64(asked)
		t.Logf("%d blocks: %.2f %% found, %.2f %% by the plain list", budget, hit, ideal)
		if hit < ideal-0.5 || ideal < 1 {
			t.Errorf("%d blocks: %.2f %% found, want %.2f %% less half a point at most", budget, hit, ideal)
		}
	}
}

// hashes makes numbers of blocks look like hashes.
func hashes(numbers []uint64) []uint64 {
	chain := make([]uint64, len(numbers))
	for i, n := range numbers {
		chain[i] = (n + 1) * 0x9e3779b97f4a7c15
	}
	return chain
}

// lru is a plain list of blocks by last use.
type lru struct {
	budget int
	order  *list.List // the newest first
	places map[uint64]*list.Element
}

func newLRU(budget int) *lru {
	return &lru{budget: budget, order: list.New(), places: map[uint64]*list.Element{}}
}

func (l *lru) depth(chain []uint64) int {
	for i, hash := range chain {
		if l.places[hash] == nil {
			return i
		}
	}
	return len(chain)
}

func (l *lru) use(chain []uint64) {
	for i := min(len(chain), l.budget) - 1; i >= 0; i-- {
		if place := l.places[chain[i]]; place != nil {
			l.order.MoveToFront(place)
		} else {
			l.places[chain[i]] = l.order.PushFront(chain[i])
		}
	}
	for l.order.Len() > l.budget {
		delete(l.places, l.order.Remove(l.order.Back()).(uint64))
	}
}

package affinity_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/warmlane/warmlane/balancer/affinity"
)

// TestIndex_MemoryStaysSmall fills indexes beyond their budgets and weighs them on the heap: at most 24 bytes a holding and 40 a block,
// and [affinity.Index.Bytes] within a tenth of the truth. Budgets are those after which tables have just grown or are about to.
func TestIndex_MemoryStaysSmall(t *testing.T) {
	for _, c := range []struct {
		endpoints, budget int
		what              string
	}{
		{1, 100_000, "own"},
		{1, 230_000, "own"},
		{8, 29_000, "own"},
		{64, 3906, "shared"},
		{65, 7200, "shared"},
		{200, 1900, "shared"},
		{32, 7000, "sessions"},
		{96, 2000, "sessions"},
		{32, 3906, "half"},
		{1, 190_000, "half"},
	} {
		name := fmt.Sprintf("%d endpoints of %d blocks, %s", c.endpoints, c.budget, c.what)
		before := heap()
		x := affinity.New(c.endpoints)
		fill(x, c.endpoints, c.budget, c.what)
		weight := int(heap() - before)
		blocks, holdings, told := x.Size()
		t.Logf("%s: %.1f bytes a holding, %.1f holdings a block, told %.3f of it",
			name, float64(weight)/float64(holdings), float64(holdings)/float64(blocks), float64(told)/float64(weight))
		if bound := 24*holdings + 40*blocks; weight > bound {
			t.Errorf("%s: %d bytes for %d holdings of %d blocks, want at most %d", name, weight, holdings, blocks, bound)
		}
		if 10*told < 9*weight || 10*told > 11*weight {
			t.Errorf("%s: told %d bytes, it takes %d", name, told, weight)
		}
	}
}

// fill sends chains of 100 blocks to every endpoint until its budget is used up, half of it where what is "half".
func fill(x *affinity.Index, endpoints, budget int, what string) {
	r := rand.New(rand.NewPCG(1, 1))
	chains := budget/100 + 2
	if what == "half" {
		chains = budget / 200
	}
	for e := range endpoints {
		x.SetBudget(e, budget)
	}
	for i := range chains {
		for e := range endpoints {
			var c []uint64
			switch what {
			case "shared": // by all endpoints
				c = chain(uint64(i), 0, 0, 100)
			case "sessions": // behind one of 50 heads
				c = chain(r.Uint64N(50), r.Uint64(), 20, 100)
			default:
				c = chain(uint64(i*endpoints+e), 0, 0, 100)
			}
			x.Use(e, c, nil, start)
			x.Finish(e, c, nil)
		}
	}
}

// heap is the memory in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestIndex_EmptyIsSmall guards large pools that nobody uses.
func TestIndex_EmptyIsSmall(t *testing.T) {
	before := heap()
	x := affinity.New(10_000)
	if weight, told := int(heap()-before), x.Bytes(); weight > 2_000_000 || 10*told < 9*weight || 10*told > 11*weight {
		t.Errorf("an empty index of 10,000 endpoints takes %d bytes and tells %d", weight, told)
	}
	runtime.KeepAlive(x)
}

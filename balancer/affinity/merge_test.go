package affinity_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/balancer/affinity"
)

func depth(x *affinity.Index, e int, c []uint64) int {
	var m affinity.Match
	x.Walk(c, start, &m)
	return int(m.Depth[e])
}

func TestMerge_PlacedIsHeldAndNotInFlight(t *testing.T) {
	x := affinity.New(2)
	c := chain(1, 1, 0, 6)
	x.Place(1, c, start)
	if d, flying := depth(x, 1, c), x.InFlight(1); d != 6 || flying != 0 || depth(x, 0, c) != 0 {
		t.Errorf("depth %d, %d in flight after another gateway's dispatch, want 6 and 0", d, flying)
	}
	x.Use(1, c, nil, start)
	x.TakeBack(1, c) // our own try fails, the other's may be well
	if d := depth(x, 1, c); d != 6 {
		t.Errorf("depth %d after a failure of ours, want 6", d)
	}
}

func TestMerge_AnswerLeavesBeforeItsPrompt(t *testing.T) {
	x := affinity.New(1)
	x.SetBudget(0, 10)
	turn := chain(1, 1, 0, 8)
	x.Place(0, turn[:5], start)
	x.Extend(0, turn[4], turn[5:])
	if d := depth(x, 0, turn); d != 8 {
		t.Fatalf("depth %d of a prompt and its answer, want 8", d)
	}
	x.Place(0, chain(2, 2, 0, 6), start)
	if d := depth(x, 0, turn); d != 4 {
		t.Errorf("%d blocks from the head are left of 8 after 6 others came into a budget of 10, want 4", d)
	}
	x.Extend(0, turn[7], chain(3, 3, 0, 2))
	if n := x.Held(0); n != 10 {
		t.Errorf("%d blocks held after an answer to what has left, want 10", n)
	}
}

func TestMerge_ForgetLeavesWhatIsInFlight(t *testing.T) {
	x := affinity.New(1)
	c := chain(1, 1, 0, 8)
	x.Place(0, c, start)
	x.Use(0, c[:3], nil, start)
	x.Forget(0, c[2:])
	if d := depth(x, 0, c); d != 3 {
		t.Errorf("depth %d after all but 2 blocks were told lost and 3 are in flight, want 3", d)
	}
	x.Forget(0, chain(9, 9, 0, 3)) // never heard of
	if n := x.Held(0); n != 3 {
		t.Errorf("%d blocks held, want 3", n)
	}
}

func TestMerge_SnapshotComesBehindWhatIsKnown(t *testing.T) {
	old, x := affinity.New(2), affinity.New(2)
	a, b, own := chain(1, 1, 0, 6), chain(2, 2, 0, 6), chain(3, 3, 0, 4)
	old.Place(1, a, start)
	old.Place(1, b, start)
	if got := old.Recent(1, 8); !slices.Equal(got, slices.Concat(b, a[:2])) {
		t.Errorf("the last used 8 blocks are %x", got)
	}
	x.SetBudget(1, 12)
	x.Place(1, own, start)
	x.Restore(1, old.Recent(1, 100))
	x.Restore(1, old.Recent(1, 100))
	if got := x.Recent(1, 100); !slices.Equal(got, slices.Concat(own, b, a[:2])) {
		t.Errorf("after the snapshot are held %x", got)
	}
	x.Place(1, chain(4, 4, 0, 2), start)
	if depth(x, 1, own) != 4 || depth(x, 1, b) != 6 || depth(x, 1, a) != 0 {
		t.Error("a newer chain did not displace the oldest of the snapshot")
	}
}

// TestMerge_KeepsTheIndexWhole merges at random beside own requests. Within the budget nothing but Drop, Forget and
// TakeBack loses a block, and sizes stay the sum of their parts.
func TestMerge_KeepsTheIndexWhole(t *testing.T) {
	for _, endpoints := range []int{3, 100} {
		rapid.Check(t, func(t *rapid.T) {
			const budget = 40
			x := affinity.New(endpoints)
			for e := range endpoints {
				x.SetBudget(e, budget)
			}
			var flying []running
			endpoint := rapid.IntRange(0, endpoints-1)
			anyChain := rapid.Custom(func(t *rapid.T) []uint64 {
				return chain(rapid.Uint64Range(0, 2).Draw(t, "trunk"), rapid.Uint64Range(0, 5).Draw(t, "branch"),
					rapid.IntRange(2, 6).Draw(t, "shared"), rapid.IntRange(1, 20).Draw(t, "blocks"))
			})
			t.Repeat(map[string]func(*rapid.T){
				"use": func(t *rapid.T) {
					r := running{e: endpoint.Draw(t, "endpoint"), chain: anyChain.Draw(t, "chain")}
					x.Use(r.e, r.chain, nil, start)
					flying = append(flying, r)
				},
				"take back": func(t *rapid.T) {
					if len(flying) > 0 {
						r := flying[len(flying)-1]
						flying = flying[:len(flying)-1]
						x.TakeBack(r.e, r.chain)
					}
				},
				"place and extend": func(t *rapid.T) {
					e, c := endpoint.Draw(t, "endpoint"), anyChain.Draw(t, "chain")
					prompt := 1 + len(c)/2
					x.Place(e, c[:min(prompt, len(c))], start)
					x.Extend(e, c[min(prompt, len(c))-1], c[min(prompt, len(c)):])
					if d := depth(x, e, c); d != len(c) {
						t.Fatalf("depth %d of a chain of %d just placed", d, len(c))
					}
				},
				"forget": func(t *rapid.T) {
					c := anyChain.Draw(t, "chain")
					x.Forget(endpoint.Draw(t, "endpoint"), c[len(c)/2:])
				},
				"restore": func(t *rapid.T) {
					from, to := endpoint.Draw(t, "from"), endpoint.Draw(t, "to")
					before := x.Recent(to, budget)
					x.Restore(to, x.Recent(from, budget))
					if after := x.Recent(to, budget); !slices.Equal(after[:len(before)], before) {
						t.Fatal("a snapshot changed the order of what was there")
					}
				},
				"": func(t *rapid.T) {
					total := 0
					for e := range endpoints {
						recent := x.Recent(e, 1000)
						if len(recent) != x.Held(e) || len(recent) > budget {
							t.Fatalf("%d holds %d blocks, %d in order, of %d", e, x.Held(e), len(recent), budget)
						}
						seen := map[uint64]bool{}
						for _, h := range recent {
							if seen[h] {
								t.Fatalf("%d holds a block twice", e)
							}
							seen[h] = true
						}
						total += len(recent)
					}
					if blocks, holdings, _ := x.Size(); holdings != total || blocks > total {
						t.Fatalf("%d holdings of %d blocks, want %d", holdings, blocks, total)
					}
				},
			})
		})
	}
}

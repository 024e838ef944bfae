package affinity_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/balancer/affinity"
)

var start = time.Unix(1_800_000_000, 0)

// chain makes a hash chain of n blocks that shares its first shared blocks with every other chain of that trunk.
func chain(trunk, branch uint64, shared, n int) []uint64 {
	c := make([]uint64, n)
	for i := range c {
		seed := trunk
		if i >= shared {
			seed = trunk<<20 ^ branch ^ uint64(shared)<<40
		}
		c[i] = (seed+1)*0x9e3779b97f4a7c15 ^ uint64(i+1)*0xc2b2ae3d27d4eb4f
	}
	return c
}

// naive is the index as one would write it without thinking of cost.
type naive struct {
	budget int
	order  [][]uint64 // by endpoint, newest first
	refs   []map[uint64]int
	proven []map[uint64]bool
}

func newNaive(endpoints, budget int) *naive {
	n := &naive{budget: budget, order: make([][]uint64, endpoints), refs: make([]map[uint64]int, endpoints), proven: make([]map[uint64]bool, endpoints)}
	for i := range n.refs {
		n.refs[i], n.proven[i] = map[uint64]int{}, map[uint64]bool{}
	}
	return n
}

func (n *naive) depth(e int, c []uint64) int {
	for i, h := range c {
		if !slices.Contains(n.order[e], h) {
			return i
		}
	}
	return len(c)
}

func (n *naive) renew(e int, c []uint64) {
	c = c[:min(len(c), n.budget)]
	rest := slices.DeleteFunc(slices.Clone(n.order[e]), func(h uint64) bool { return slices.Contains(c, h) })
	n.order[e] = append(slices.Clone(c), rest...)
	for len(n.order[e]) > n.budget {
		last := len(n.order[e]) - 1
		delete(n.refs[e], n.order[e][last])
		delete(n.proven[e], n.order[e][last])
		n.order[e] = n.order[e][:last]
	}
}

func (n *naive) use(e int, c []uint64) {
	n.renew(e, c)
	for _, h := range c[:min(len(c), n.budget)] {
		n.refs[e][h]++
	}
}

func (n *naive) release(e int, c []uint64) {
	for _, h := range c {
		if n.refs[e][h] > 1 {
			n.refs[e][h]--
		} else {
			delete(n.refs[e], h)
		}
	}
}

func (n *naive) takeBack(e int, c []uint64) {
	n.release(e, c)
	for _, h := range c {
		if n.refs[e][h] == 0 && !n.proven[e][h] {
			n.order[e] = slices.DeleteFunc(n.order[e], func(x uint64) bool { return x == h })
		}
	}
}

func (n *naive) finish(e int, c, answer []uint64) {
	n.release(e, c)
	all := append(slices.Clone(c), answer...)
	n.renew(e, all)
	for _, h := range all[:min(len(all), n.budget)] {
		n.proven[e][h] = true
	}
}

// TestIndex_LikeNaive drives the index and the naive one through the same life and compares all they tell.
func TestIndex_LikeNaive(t *testing.T) {
	for _, endpoints := range []int{3, 100} {
		rapid.Check(t, func(t *rapid.T) { compareWithNaive(t, endpoints) })
	}
}

type running struct {
	e     int
	chain []uint64
}

func compareWithNaive(t *rapid.T, endpoints int) {
	const budget = 40
	x, n := affinity.New(endpoints), newNaive(endpoints, budget)
	for e := range endpoints {
		x.SetBudget(e, budget)
	}
	var m affinity.Match
	var flying []running
	now := start
	endpoint := rapid.IntRange(0, endpoints-1)
	anyChain := rapid.Custom(func(t *rapid.T) []uint64 {
		return chain(rapid.Uint64Range(0, 2).Draw(t, "trunk"), rapid.Uint64Range(0, 5).Draw(t, "branch"),
			rapid.IntRange(2, 6).Draw(t, "shared"), rapid.IntRange(0, 20).Draw(t, "blocks"))
	})
	end := func(t *rapid.T) running {
		if len(flying) == 0 {
			t.Skip("nothing in flight")
		}
		i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
		r := flying[i]
		flying = slices.Delete(flying, i, i+1)
		return r
	}
	t.Repeat(map[string]func(*rapid.T){
		"use": func(t *rapid.T) {
			r := running{e: endpoint.Draw(t, "endpoint"), chain: anyChain.Draw(t, "chain")}
			x.Walk(r.chain, now, &m)
			x.Use(r.e, r.chain, &m, now)
			n.use(r.e, r.chain)
			flying = append(flying, r)
		},
		"finish": func(t *rapid.T) {
			r := end(t)
			answer := chain(uint64(len(r.chain)), rapid.Uint64Range(0, 5).Draw(t, "answer"), 0, 3)
			for i := range answer { // a block's hash is over its parent
				answer[i] ^= append([]uint64{1}, r.chain...)[len(r.chain)] << 1
			}
			x.Finish(r.e, r.chain, answer)
			n.finish(r.e, r.chain, answer)
		},
		"take back": func(t *rapid.T) {
			r := end(t)
			x.TakeBack(r.e, r.chain)
			n.takeBack(r.e, r.chain)
		},
		"drop": func(t *rapid.T) {
			e := endpoint.Draw(t, "endpoint")
			x.Drop(e)
			n.order[e], n.refs[e], n.proven[e] = nil, map[uint64]int{}, map[uint64]bool{}
			flying = slices.DeleteFunc(flying, func(r running) bool { return r.e == e })
		},
		"": func(t *rapid.T) {
			now = now.Add(time.Second)
			c := anyChain.Draw(t, "looked up")
			x.Walk(c, now, &m)
			total := 0
			for e := range endpoints {
				if got, want := int(m.Depth[e]), n.depth(e, c); got != want {
					t.Fatalf("depth on %d: %d, want %d", e, got, want)
				}
				if got, want := x.Held(e), len(n.order[e]); got != want {
					t.Fatalf("held by %d: %d, want %d", e, got, want)
				}
				if got, want := x.InFlight(e), len(n.refs[e]); got != want {
					t.Fatalf("in flight on %d: %d, want %d", e, got, want)
				}
				total += x.Held(e)
			}
			if _, holdings, _ := x.Size(); holdings != total {
				t.Fatalf("%d holdings, want %d", holdings, total)
			}
		},
	})
}

func TestIndex_TailLeavesBeforeHead(t *testing.T) {
	x := affinity.New(1)
	x.SetBudget(0, 10)
	long := chain(1, 1, 0, 8)
	x.Use(0, long, nil, start)
	x.Finish(0, long, nil)
	other := chain(2, 2, 0, 6)
	x.Use(0, other, nil, start)
	var m affinity.Match
	x.Walk(long, start, &m)
	if m.Depth[0] != 4 {
		t.Errorf("%d blocks from the head are left of 8 after 6 others came into a budget of 10, want 4", m.Depth[0])
	}
}

func TestIndex_AnswerFollowsItsPrompt(t *testing.T) {
	x := affinity.New(2)
	turn := chain(1, 1, 0, 9)
	x.Use(1, turn[:5], nil, start)
	x.Finish(1, turn[:5], turn[5:])
	var m affinity.Match
	x.Walk(turn, start, &m)
	if m.Depth[0] != 0 || m.Depth[1] != 9 {
		t.Errorf("depths %v, want 0 and 9", m.Depth)
	}
}

func TestIndex_SiblingKeepsWhatAFailureTakesBack(t *testing.T) {
	x := affinity.New(1)
	c := chain(1, 1, 0, 5)
	x.Use(0, c, nil, start)
	x.Use(0, c, nil, start)
	x.TakeBack(0, c)
	var m affinity.Match
	if x.Walk(c, start, &m); m.Depth[0] != 5 {
		t.Errorf("depth %d after one of two siblings failed, want 5", m.Depth[0])
	}
	x.TakeBack(0, c)
	if x.Walk(c, start, &m); m.Depth[0] != 0 {
		t.Errorf("depth %d after both siblings failed, want 0", m.Depth[0])
	}
	if blocks, holdings, _ := x.Size(); blocks != 0 || holdings != 0 {
		t.Errorf("%d blocks and %d holdings are left, want none", blocks, holdings)
	}
}

// A request whose head has been given up and taken in again by another one ends with what is the other's; that one ends all the same.
func TestIndex_NothingStaysInFlight(t *testing.T) {
	x := affinity.New(1)
	x.SetBudget(0, 10)
	short, long := chain(1, 1, 1, 1), chain(1, 1, 1, 8)
	x.Use(0, short, nil, start)
	other := chain(2, 1, 0, 10) // displaces it
	x.Use(0, other, nil, start)
	x.TakeBack(0, other)
	x.Use(0, long, nil, start)
	x.TakeBack(0, short)
	x.TakeBack(0, long)
	if held, flying := x.Held(0), x.InFlight(0); held != 0 || flying != 0 {
		t.Errorf("%d blocks are held and %d in flight after all requests have failed", held, flying)
	}
}

func TestIndex_FailureTakesNothingFromAnAnswer(t *testing.T) {
	x := affinity.New(1)
	short, long := chain(1, 1, 0, 5), chain(1, 1, 0, 9)
	x.Use(0, short, nil, start) // comes first, fails last
	x.Use(0, long, nil, start)
	x.Finish(0, long, nil)
	x.TakeBack(0, short)
	var m affinity.Match
	if x.Walk(long, start, &m); m.Depth[0] != 9 {
		t.Errorf("%d of 9 blocks of an answered prompt are left after another's failure", m.Depth[0])
	}
}

func TestIndex_PopularBlocksEarnCredit(t *testing.T) {
	x := affinity.New(4)
	hot, cold := chain(1, 1, 0, 10), chain(2, 2, 0, 10)
	now := start
	x.Use(0, cold, nil, now)
	for range 40 {
		now = now.Add(time.Second)
		x.Use(0, hot, nil, now)
	}
	var m affinity.Match
	x.Walk(hot, now, &m)
	if credit := m.Credit(0, 10); credit < 6 || credit > 10 {
		t.Errorf("credit for 10 blocks used once a second is %.1f blocks, want most of them", credit)
	}
	if credit := m.Credit(10, 10); credit != 0 {
		t.Errorf("credit for blocks that are there is %.1f, want 0", credit)
	}
	x.Walk(cold, now, &m)
	if credit := m.Credit(0, 10); credit > 1 {
		t.Errorf("credit for blocks used once, 40 s ago, is %.1f blocks, want almost none", credit)
	}
}

func TestIndex_SamplesOfOnePromptAreOneUse(t *testing.T) {
	once, often := affinity.New(1), affinity.New(1)
	c := chain(1, 1, 0, 4)
	once.Use(0, c, nil, start)
	for i := range 8 {
		often.Use(0, c, nil, start.Add(time.Duration(i)*2*time.Millisecond))
	}
	var a, b affinity.Match
	later := start.Add(time.Second)
	once.Walk(c, later, &a)
	often.Walk(c, later, &b)
	if a.Credit(0, 20) != b.Credit(0, 20) {
		t.Errorf("eight samples at once give a credit of %v, one gives %v", b.Credit(0, 20), a.Credit(0, 20))
	}
}

func TestIndex_AdoptKeepsOrderAndBudget(t *testing.T) {
	old := affinity.New(2)
	a, b := chain(1, 1, 0, 6), chain(2, 2, 0, 6)
	old.Use(1, a, nil, start)
	old.Use(1, b, nil, start)
	x := affinity.New(1)
	x.SetBudget(0, 8)
	x.Adopt(0, old, 1)
	var m affinity.Match
	x.Walk(b, start, &m)
	newer := m.Depth[0]
	x.Walk(a, start, &m)
	if newer != 6 || m.Depth[0] != 2 {
		t.Errorf("adopted %d of the newer and %d of the older chain, want 6 and 2", newer, m.Depth[0])
	}
}

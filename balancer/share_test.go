package balancer_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/balancer"
)

// spy is the default policy and keeps what it was last shown.
type spy struct {
	balancer.Policy
	seen *[]balancer.Candidate
}

func (spy) Samples() bool { return true } // as that does

func (s spy) Pick(v *balancer.View) (best, runnerUp int) {
	*s.seen = append((*s.seen)[:0], v.Candidates...)
	return s.Policy.Pick(v)
}

// gateway is one of several over the same fleet.
type gateway struct {
	*fleet
	name string
	seen []balancer.Candidate
	told map[string]balancer.Cursor // by peer
}

func gateways(t testing.TB, n, endpoints int) []*gateway {
	t.Helper()
	var all []*gateway
	for i := range n {
		g := &gateway{name: string(rune('a' + i)), told: map[string]balancer.Cursor{}}
		g.fleet = newFleet(t, "warm", endpoints, func(c *balancer.PoolConfig) {
			c.Policy, c.Seed = spy{Policy: c.Policy, seen: &g.seen}, uint64(i)
		})
		all = append(all, g)
	}
	return all
}

// tell exports what is new for to and merges it there.
func (g *gateway) tell(to *gateway) error {
	d := g.Export(g.told[to.name], g.now)
	g.told[to.name] = d.Until
	return to.Merge(g.name, &d, to.now)
}

// gossip is one round in which everybody tells everybody.
func gossip(t testing.TB, all []*gateway) {
	t.Helper()
	for _, from := range all {
		for _, to := range all {
			if from == to {
				continue
			}
			if err := from.tell(to); err != nil {
				t.Fatalf("%s tells %s: %v", from.name, to.name, err)
			}
		}
	}
}

func wait(d time.Duration, all ...*gateway) {
	for _, g := range all {
		g.later(d)
	}
}

// look returns what the policy is shown of every endpoint for a prompt that nobody has.
func (g *gateway) look(t failer) []balancer.Candidate {
	t.Helper()
	l, err := g.Choose(&balancer.Request{}, g.now)
	if err != nil {
		t.Fatalf("choosing: %v", err)
	}
	l.End(ended(balancer.Cancelled), g.now)
	return g.seen
}

// failer is a test, with generated input or without.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (g *gateway) peers(e int) int { return g.Status(g.now)[e].Peers }

func TestShare_PeersSeeEachOthersLoad(t *testing.T) {
	all := gateways(t, 2, 2)
	a, b := all[0], all[1]
	gossip(t, all)
	first := a.try(t, &balancer.Request{Prompt: prompt(1, 1, 0, 20), Only: url(0)})
	first.FirstToken(a.now)
	first.Token(a.now, 4)
	a.try(t, &balancer.Request{Prompt: prompt(2, 1, 0, 10), Only: url(0)})
	b.try(t, &balancer.Request{Prompt: prompt(3, 1, 0, 5), Only: url(0)})
	wait(50*time.Millisecond, all...)
	gossip(t, all)
	for _, g := range all {
		c := g.look(t)[0]
		if c.InFlight != 3 || c.Own != 3 || c.Decoding != 1 || c.Pending != 650+330 || c.Context != 1290+5+650+330 || c.Distinct != c.Context {
			t.Errorf("%s is shown n=%v own=%v d=%v A=%v X=%v D=%v", g.name, c.InFlight, c.Own, c.Decoding, c.Pending, c.Context, c.Distinct)
		}
	}
	if e := b.send(t, prompt(4, 1, 0, 5)).Endpoint().Index(); e != 1 {
		t.Error("a new prompt goes to the endpoint that is busy with the other gateway's")
	}
	first.End(done(5), a.now)
	wait(50*time.Millisecond, all...)
	gossip(t, all)
	if c := b.look(t)[0]; c.InFlight != 2 || c.Decoding != 0 {
		t.Errorf("after an end n=%v d=%v, want 2 and 0", c.InFlight, c.Decoding)
	}
}

func TestShare_SilentPeerIsForgotten(t *testing.T) {
	all := gateways(t, 3, 1)
	a, b, c := all[0], all[1], all[2]
	a.send(t, prompt(1, 1, 0, 20))
	c.send(t, prompt(1, 1, 0, 20))
	gossip(t, all)
	wait(900*time.Millisecond, all...)
	if err := c.tell(b); err != nil {
		t.Fatal(err)
	}
	wait(99*time.Millisecond, all...)
	if n := b.peers(0); n != 2 {
		t.Errorf("after 0.999 s of silence %d requests of peers, want 2", n)
	}
	wait(time.Millisecond, all...)
	if n := b.look(t)[0].InFlight; n != 1 {
		t.Errorf("after 1 s of silence of one peer %v requests are seen, want that of the other", n)
	}
	if err := a.tell(b); err != nil {
		t.Errorf("a peer that is back and has lost nothing: %v", err)
	}
	if n := b.peers(0); n != 2 {
		t.Errorf("%d requests of peers after the silent one is back, want 2", n)
	}
	wait(time.Minute, all...)
	b.look(t)
	if err := a.tell(b); !errors.Is(err, balancer.ErrGap) {
		t.Errorf("a peer that was silent for a minute: %v, want ErrGap as from a new one", err)
	}
}

func TestShare_DuplicatesAndLateDeltasAreIgnored(t *testing.T) {
	all := gateways(t, 2, 1)
	a, b := all[0], all[1]
	gossip(t, all)
	lease := a.send(t, prompt(1, 1, 0, 20))
	busy := a.Export(a.told["b"], a.now)
	lease.End(done(1), a.now)
	idle := a.Export(busy.Until, a.now)
	for _, d := range []*balancer.Delta{&busy, &busy, &idle, &busy, &idle} {
		if err := b.Merge("a", d, b.now); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.peers(0); n != 0 {
		t.Errorf("%d requests of a peer that has none, after a late delta", n)
	}
	reborn := gateways(t, 1, 1)[0]
	reborn.later(10 * time.Second)
	reborn.send(t, prompt(1, 1, 0, 20))
	d := reborn.Export(balancer.Cursor{}, reborn.now)
	for _, d := range []*balancer.Delta{&d, &idle} {
		if err := b.Merge("a", d, b.now); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.peers(0); n != 1 {
		t.Errorf("%d requests of a restarted peer with one, after a delta of its earlier life", n)
	}
}

func TestShare_AGapAsksForASnapshot(t *testing.T) {
	all := gateways(t, 2, 2)
	a, b := all[0], all[1]
	gossip(t, all)
	p := prompt(1, 1, 0, 100)
	a.send(t, p)
	lost := a.Export(a.told["b"], a.now)
	a.told["b"] = lost.Until
	a.try(t, &balancer.Request{Prompt: prompt(2, 1, 0, 10), Only: url(0)})
	if err := a.tell(b); !errors.Is(err, balancer.ErrGap) {
		t.Fatalf("a delta behind a lost one: %v, want ErrGap", err)
	}
	if n := b.peers(0) + b.peers(1); n != 2 {
		t.Errorf("%d requests are seen after a lost delta, want both", n)
	}
	if err := a.tell(b); err != nil {
		t.Errorf("one gap is told twice: %v", err)
	}
	snapshot := a.Export(balancer.Cursor{}, a.now)
	if err := a.tell(b); err != nil { // overtakes the snapshot
		t.Fatal(err)
	}
	if err := b.Merge("a", &snapshot, b.now); err != nil {
		t.Fatal(err)
	}
	if l := b.send(t, p); l.Decision().Matched < 6000 {
		t.Errorf("%d tokens of a placement are known after the snapshot", l.Decision().Matched)
	}
	stranger := gateways(t, 3, 2)[2]
	if err := a.tell(stranger); err != nil {
		t.Errorf("a first delta that is a snapshot: %v", err)
	}
	fresh := gateways(t, 1, 2)[0]
	d := a.Export(a.told["b"], a.now)
	if err := fresh.Merge("a", &d, fresh.now); !errors.Is(err, balancer.ErrGap) {
		t.Errorf("a first delta that is none: %v, want ErrGap", err)
	}
}

func TestShare_OrderDoesNotMatterForLoad(t *testing.T) {
	all := gateways(t, 3, 2)
	for i, g := range all[:2] {
		for range i + 1 {
			g.send(t, prompt(uint64(i), 1, 0, 20))
		}
	}
	var deltas []balancer.Delta
	var names []string
	for _, g := range all[:2] {
		for range 2 {
			d := g.Export(g.told["c"], g.now)
			g.told["c"] = d.Until
			deltas, names = append(deltas, d), append(names, g.name)
			g.send(t, prompt(9, 1, 0, 10)).FirstToken(g.now)
		}
	}
	var want []balancer.Candidate
	for _, order := range [][]int{{0, 1, 2, 3}, {1, 0, 3, 2}, {3, 2, 1, 0}, {2, 0, 3, 1}, {3, 1, 0, 2}} {
		c := gateways(t, 1, 2)[0]
		for _, i := range order {
			if err := c.Merge(names[i], &deltas[i], c.now); err != nil && !errors.Is(err, balancer.ErrGap) {
				t.Fatal(err)
			}
		}
		if c.look(t); want == nil {
			want = slices.Clone(c.seen)
		}
		for e, got := range c.seen {
			w := want[e]
			if got.InFlight != w.InFlight || got.Decoding != w.Decoding || got.Pending != w.Pending ||
				got.Context != w.Context || got.Distinct != w.Distinct {
				t.Errorf("order %v: endpoint %d has %+v, want %+v", order, e, got, w)
			}
		}
	}
	if n, d := want[0].InFlight+want[1].InFlight, want[0].Decoding+want[1].Decoding; n != 5 || d != 2 {
		t.Errorf("%v requests of peers, %v of them decode, want 5 and 2", n, d)
	}
}

func TestShare_PeersAreNotForeign(t *testing.T) {
	all := gateways(t, 2, 1)
	a, b := all[0], all[1]
	foreign := func() float64 { return b.Status(b.now)[0].Foreign }
	scrape := func(n float64) {
		b.Observe(b.Endpoints()[0], balancer.Load{Running: n, Waiting: 0, KVUse: 0.1}, b.now)
	}
	for range 4 {
		a.send(t, prompt(1, 1, 0, 20))
	}
	scrape(5)
	if n := foreign(); n != 5 {
		t.Errorf("%v foreign requests before the peer tells of its own, want 5", n)
	}
	wait(500*time.Millisecond, all...)
	gossip(t, all)
	if n := foreign(); n < 0.8 || n > 1 {
		t.Errorf("%v foreign requests once a peer has told of 4 of 5, want about 1", n)
	}
	scrape(5)
	if n := foreign(); n != 1 {
		t.Errorf("%v foreign requests at a scrape of 5 of which 4 are told of, want 1", n)
	}
	a.send(t, prompt(1, 1, 0, 20))
	scrape(6)
	wait(50*time.Millisecond, all...)
	gossip(t, all)
	if n := foreign(); n > 1 {
		t.Errorf("%v foreign requests when the scrape has seen a request before its gateway tells of it, want 1", n)
	}
}

func TestShare_RestartClears(t *testing.T) {
	all := gateways(t, 2, 2)
	a, b := all[0], all[1]
	started := start.Add(-time.Hour)
	scrape := func(g *gateway, at time.Time) {
		g.Observe(g.Endpoints()[0], balancer.Load{KVUse: 0.1, Started: at}, g.now)
	}
	for _, g := range all {
		scrape(g, started)
	}
	p := prompt(1, 1, 0, 100)
	a.try(t, &balancer.Request{Prompt: p, Only: url(0)})
	gossip(t, all)
	if b.peers(0) != 1 || b.Status(b.now)[0].IndexBlocks != 100 {
		t.Fatal("nothing was shared")
	}
	scrape(b, start) // b sees the restart first
	if s := b.Status(b.now)[0]; s.Peers != 0 || s.IndexBlocks != 0 {
		t.Errorf("%d requests of peers and %d blocks outlive the restart", s.Peers, s.IndexBlocks)
	}
	a.try(t, &balancer.Request{Prompt: prompt(2, 1, 0, 50), Only: url(0)})
	wait(50*time.Millisecond, all...)
	if err := a.tell(b); err != nil {
		t.Fatal(err)
	}
	if s := b.Status(b.now)[0]; s.Peers != 0 || s.IndexBlocks != 0 {
		t.Errorf("%d requests and %d blocks are taken from a peer that means the dead engine", s.Peers, s.IndexBlocks)
	}
	b.try(t, &balancer.Request{Prompt: prompt(3, 1, 0, 7), Only: url(0)})
	if err := b.tell(a); err != nil { // a learns of it
		t.Fatal(err)
	}
	if s := a.Status(a.now)[0]; s.Peers != 1 || s.IndexBlocks != 7 {
		t.Errorf("%d requests of peers and %d blocks after a peer told of a restart, want 1 and 7", s.Peers, s.IndexBlocks)
	}
	scrape(a, start)
	if s := a.Status(a.now)[0]; s.IndexBlocks != 7 {
		t.Errorf("%d blocks after the own scrape shows the restart that a peer had told of, want 7", s.IndexBlocks)
	}
}

func TestShare_RestartToldByOnePeerHoldsAgainstAnother(t *testing.T) {
	all := gateways(t, 3, 1)
	for i, g := range all {
		g.Observe(g.Endpoints()[0], balancer.Load{Started: start.Add(time.Duration(i/2) * time.Hour)}, g.now) // c knows better
		g.send(t, prompt(1, 1, 0, 20))
	}
	a, b, c := all[0], all[1], all[2]
	for _, g := range []*gateway{c, b} {
		if err := g.tell(a); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.peers(0); n != 1 {
		t.Errorf("%d requests of peers, want that of the one that knows of the restart", n)
	}
}

func TestShare_WhatWasSentBeforeARestartIsNotTold(t *testing.T) {
	all := gateways(t, 2, 1)
	a, b := all[0], all[1]
	gossip(t, all)
	a.send(t, prompt(1, 1, 0, 20))
	for _, queries := range []float64{2, 1} { // an engine that does not tell when it began
		a.Observe(a.Endpoints()[0], balancer.Load{Queries: queries}, a.now)
	}
	a.send(t, prompt(2, 1, 0, 5))
	gossip(t, all)
	if n := b.Status(b.now)[0].IndexBlocks; n != 5 {
		t.Errorf("%d blocks are believed held, want the 5 that were sent since the restart", n)
	}
}

func TestShare_ConversationGoesToTheHolder(t *testing.T) {
	for _, shared := range []bool{false, true} {
		right := 0
		for e := range 4 {
			all := gateways(t, 2, 4)
			a, b := all[0], all[1]
			gossip(t, all)
			turn := prompt(1, 1, 0, 120)
			head := *turn
			head.Blocks, head.Tokens = turn.Blocks[:100], 100*64
			first := a.try(t, &balancer.Request{Prompt: &head, Only: url(e)})
			first.FirstToken(a.now)
			o := done(1280)
			o.Answer = turn.Blocks[100:]
			first.End(o, a.now)
			d := a.Export(a.told["b"], a.now)
			if !shared {
				d.Placements = nil
			}
			if err := b.Merge("a", &d, b.now); err != nil {
				t.Fatal(err)
			}
			if next := b.send(t, turn); next.Endpoint().Index() == e && next.Decision().Matched == 120*64 {
				right++
			}
		}
		if shared && right != 4 || !shared && right != 0 {
			t.Errorf("shared index %v: %d of 4 conversations meet their prefix", shared, right)
		}
	}
}

func TestShare_FailedDispatchLeavesNoMatch(t *testing.T) {
	all := gateways(t, 2, 1)
	a, b := all[0], all[1]
	gossip(t, all)
	p := prompt(1, 1, 0, 100)
	failed := a.send(t, p)
	gossip(t, all)
	if n := b.Status(b.now)[0].IndexBlocks; n != 100 {
		t.Fatalf("%d blocks of a dispatch are known, want 100", n)
	}
	failed.End(ended(balancer.Reset), a.now)
	gossip(t, all)
	if n := b.Status(b.now)[0].IndexBlocks; n != 0 {
		t.Errorf("%d blocks of a failed dispatch are still believed held", n)
	}
	a.send(t, p) // a sibling that lives
	failed = a.send(t, p)
	a.send(t, prompt(2, 1, 0, 10))
	failed.End(ended(balancer.Cancelled), a.now)
	gossip(t, all)
	if n := b.Status(b.now)[0].IndexBlocks; n != 110 {
		t.Errorf("%d blocks are believed held, want 110: a sibling has what the failure would take back", n)
	}
}

func TestShare_LongPauseGetsASnapshot(t *testing.T) {
	all := gateways(t, 2, 1)
	a, b := all[0], all[1]
	gossip(t, all)
	for i := range 200 { // more than the log keeps
		a.send(t, prompt(1, uint64(i), 0, 1000))
	}
	d := a.Export(a.told["b"], a.now)
	if (d.Since != balancer.Cursor{}) || len(d.Placements) != 1 {
		t.Fatalf("an export since %+v with %d placements, want a snapshot of one endpoint", d.Since, len(d.Placements))
	}
	if err := b.Merge("a", &d, b.now); err != nil {
		t.Fatal(err)
	}
	if have, want := b.Status(b.now)[0].IndexBlocks, a.Status(a.now)[0].IndexBlocks; have != want {
		t.Errorf("%d blocks after the snapshot, the peer has %d", have, want)
	}
}

func TestShare_PeersCountWhereverLoadDoes(t *testing.T) {
	t.Run("an answer in one piece is past its prefill when the estimate says so", func(t *testing.T) {
		all := gateways(t, 2, 1)
		a, b := all[0], all[1]
		a.try(t, &balancer.Request{Prompt: prompt(1, 1, 0, 10), Whole: true})
		wait(time.Minute, all...)
		gossip(t, all)
		if c := b.look(t)[0]; c.Decoding != 1 || c.Pending != 0 {
			t.Errorf("d=%v A=%v", c.Decoding, c.Pending)
		}
	})
	t.Run("the estimate of a first token", func(t *testing.T) {
		all := gateways(t, 2, 1)
		a, b := all[0], all[1]
		alone := b.TTFTEstimate(b.send(t, prompt(2, 1, 0, 10)))
		a.send(t, prompt(1, 1, 0, 1000))
		gossip(t, all)
		if beside := b.TTFTEstimate(b.send(t, prompt(3, 1, 0, 10))); beside < 10*alone {
			t.Errorf("%v beside a long prompt of a peer, %v alone", beside, alone)
		}
	})
	t.Run("the sample of a large pool", func(t *testing.T) {
		all := gateways(t, 2, 60)
		a, b := all[0], all[1]
		for e := range 56 {
			a.try(t, &balancer.Request{Prompt: prompt(uint64(e), 1, 0, 100), Only: url(e)})
		}
		gossip(t, all)
		for i := range 4 {
			if e := b.send(t, prompt(uint64(100+i), 1, 0, 100)).Endpoint().Index(); e < 56 {
				t.Errorf("endpoint %d of 60 is chosen, which a peer keeps busy", e)
			}
		}
	})
	t.Run("a slow start", func(t *testing.T) {
		all := gateways(t, 2, 2)
		a, b := all[0], all[1]
		old := newFleet(t, "warm", 1, func(c *balancer.PoolConfig) { c.Endpoints[0].URL = url(1) })
		b.Adopt(old.Pool) // endpoint 0 is new
		for range 3 {
			b.try(t, &balancer.Request{Prompt: prompt(9, 1, 0, 50), Only: url(1)})
		}
		a.try(t, &balancer.Request{Only: url(0)})
		gossip(t, all)
		if e := b.send(t, prompt(1, 1, 0, 50)).Endpoint().Index(); e != 1 {
			t.Error("a second request waits at an endpoint in slow start, the first being a peer's")
		}
	})
}

// heard is the newest delta of a peer that a gateway has merged.
type heard struct {
	d  balancer.Delta
	at time.Time
}

// TestShare_CountsAreExact lets gateways live at random, with deltas lost, late and twice, and in half of the runs with
// engines that restart. What each is shown is its own load and what the newest delta of each peer told within a second;
// nothing is left in the end.
func TestShare_CountsAreExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := gateways(t, 3, 2)
		restarts := rapid.Bool().Draw(rt, "engines restart")
		type sent struct {
			from string
			d    balancer.Delta
		}
		var wire []sent
		var leases []*balancer.Lease
		known := map[string]map[string]heard{"a": {}, "b": {}, "c": {}}
		anyOf := func(rt *rapid.T) *gateway { return all[rapid.IntRange(0, 2).Draw(rt, "gateway")] }
		pick := func(rt *rapid.T, n int) int {
			if n == 0 {
				rt.Skip("there is none")
			}
			return rapid.IntRange(0, n-1).Draw(rt, "which")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) {
				p := prompt(rapid.Uint64Range(0, 2).Draw(rt, "trunk"), rapid.Uint64Range(0, 3).Draw(rt, "branch"), 2, rapid.IntRange(0, 9).Draw(rt, "blocks"))
				g := anyOf(rt)
				l, err := g.Choose(&balancer.Request{Prompt: p}, g.now)
				if err != nil {
					rt.Fatal(err)
				}
				leases = append(leases, l)
			},
			"event": func(rt *rapid.T) {
				l := leases[pick(rt, len(leases))]
				l.FirstToken(all[0].now)
				l.Token(all[0].now, 3)
			},
			"end": func(rt *rapid.T) {
				i := pick(rt, len(leases))
				o := rapid.SampledFrom([]balancer.Outcome{done(3), done(3), ended(balancer.ClientGone), ended(balancer.Cancelled)}).Draw(rt, "outcome")
				o.Answer = []uint64{rapid.Uint64Range(0, 3).Draw(rt, "answer")}
				leases[i].End(o, all[0].now)
				leases = slices.Delete(leases, i, i+1)
			},
			"export": func(rt *rapid.T) {
				g := anyOf(rt)
				since := g.told["all"]
				if rapid.IntRange(0, 5).Draw(rt, "snapshot") == 0 {
					since = balancer.Cursor{}
				}
				d := g.Export(since, g.now)
				g.told["all"] = d.Until
				wire = append(wire, sent{g.name, d})
			},
			"merge": func(rt *rapid.T) {
				s := &wire[pick(rt, len(wire))]
				g := anyOf(rt)
				if g.name == s.from {
					return
				}
				if err := g.Merge(s.from, &s.d, g.now); err != nil && !errors.Is(err, balancer.ErrGap) {
					rt.Fatal(err)
				}
				if last := known[g.name][s.from]; s.d.Until.Tick > last.d.Until.Tick {
					known[g.name][s.from] = heard{s.d, g.now}
				}
			},
			"restart": func(rt *rapid.T) {
				if restarts {
					g, life := anyOf(rt), time.Duration(rapid.IntRange(0, 3).Draw(rt, "life"))*time.Hour
					g.Observe(g.Endpoints()[pick(rt, 2)], balancer.Load{Running: 3, Waiting: 2, Started: start.Add(life)}, g.now)
				}
			},
			"later": func(rt *rapid.T) {
				wait(time.Duration(rapid.IntRange(1, 600).Draw(rt, "ms"))*time.Millisecond, all...)
			},
			"": func(rt *rapid.T) {
				for _, g := range all {
					checkShown(rt, g)
					if !restarts {
						checkPeers(rt, g, known[g.name])
					}
				}
			},
		})
		wait(time.Second, all...)
		for _, g := range all {
			g.Observe(g.Endpoints()[0], balancer.Load{}, g.now)
			g.Observe(g.Endpoints()[1], balancer.Load{}, g.now)
			g.forgotten(rt)
		}
	})
}

// checkPeers compares what the gateway's policy was shown last with a plain sum of its own load and that of its peers.
func checkPeers(t failer, g *gateway, peers map[string]heard) {
	t.Helper()
	status := g.Status(g.now)
	for _, c := range g.seen {
		s := status[c.Index]
		n, d, a, x := s.InFlight, s.Decoding, s.Pending, s.Context
		for _, p := range peers {
			for _, e := range p.d.Endpoints {
				if e.Key == c.Key && g.now.Sub(p.at) < time.Second {
					n, d, a, x = n+int(e.InFlight), d+int(e.Decoding), a+int(e.Pending), x+int(e.Context)
				}
			}
		}
		if c.InFlight != float64(n) || c.Own != float64(n) || c.Decoding != float64(d) || c.Pending != float64(a) || c.Context != float64(x) {
			t.Fatalf("%s is shown %+v, want n=%d d=%d A=%d X=%d", g.name, c, n, d, a, x)
		}
	}
}

func TestShare_ConcurrentUse(t *testing.T) {
	all := gateways(t, 2, 4)
	now := start
	var work sync.WaitGroup
	for i, g := range all {
		for w := range 8 {
			work.Go(func() {
				for k := range 100 {
					l, err := g.Choose(&balancer.Request{Prompt: prompt(uint64(k%7), uint64(w), 3, 30)}, now)
					if err != nil {
						t.Error(err)
						return
					}
					l.FirstToken(now)
					l.End(done(1), now)
				}
			})
		}
		for w := range 2 {
			work.Go(func() {
				var c balancer.Cursor
				for k := range 50 {
					d := g.Export(c, now)
					if c = d.Until; k%10 == 9 {
						c = balancer.Cursor{}
					}
					if err := all[1-i].Merge(string(rune('a'+w)), &d, now); err != nil && !errors.Is(err, balancer.ErrGap) {
						t.Error(err)
					}
				}
			})
		}
	}
	work.Wait()
	for _, g := range all {
		g.later(time.Second)
		g.forgotten(t)
	}
}

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

func TestShare_QueueLearnsOfRoom(t *testing.T) {
	for _, silent := range []bool{false, true} {
		a := gateways(t, 1, 1)[0]
		b := &gateway{fleet: newFleet(t, "warm", 1, func(c *balancer.PoolConfig) {
			c.Queue = balancer.QueueConfig{Max: 4, Late: 300 * time.Millisecond}
		})}
		busy := a.send(t, prompt(1, 1, 0, 1000))
		if err := a.tell(b); err != nil {
			t.Fatal(err)
		}
		ticket := b.join(t, &balancer.Request{Prompt: prompt(2, 1, 0, 10)})
		wait(time.Second, a, b)
		if silent {
			b.Due(b.now)
		} else {
			busy.FirstToken(a.now)
			if err := a.tell(b); err != nil {
				t.Fatal(err)
			}
		}
		leaseOf(t, ticket)
	}
}

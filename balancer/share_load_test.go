package balancer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/balancer"
)

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

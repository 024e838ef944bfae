package balancer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

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

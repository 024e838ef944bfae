package sweep

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/bench/engine"
)

func gatewayPolicy(t *testing.T, name string) balancer.Policy {
	t.Helper()
	p, err := policies.New(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// playedPlan plays a plan and lets the engines end what is left, which can only be probes.
func playedPlan(t *testing.T, p *plan, policy balancer.Policy, gateways int) *run {
	t.Helper()
	r, err := newRun(p, 1, policy, gateways, SharedNothing)
	if err == nil {
		err = r.play(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for f := r.first(); f != nil; f = r.first() {
		r.now = f.core.Next()
		for _, e := range f.core.Advance(r.now) {
			r.token(e.Request.Tag.(*flight), &e)
		}
	}
	nothingLost(t, r)
	return r
}

// nothingLost holds a run against what no policy can change.
func nothingLost(t *testing.T, r *run) {
	t.Helper()
	// Every request of every session ended exactly once.
	want, got := map[string]int{}, map[string]int{}
	for _, s := range r.plan.sessions {
		for i := range s.turns {
			want[fmt.Sprint(i+1, " ", s.turns[i].prompt)]++
		}
	}
	for i := range r.records {
		q := &r.records[i]
		got[fmt.Sprint(q.Turn, " ", q.Prompt)]++
		switch {
		case q.Arrived > q.Ended || q.First != 0 && (q.First <= q.Arrived || q.First > q.Ended):
			t.Errorf("a request arrived at %v, had its first token at %v and ended at %v", q.Arrived, q.First, q.Ended)
		case !q.Left && !q.Failed && (q.First == 0 || q.Output < 1):
			t.Errorf("a complete answer of %d tokens, the first at %v", q.Output, q.First)
		case q.Ideal > q.Prompt-1:
			t.Errorf("%d of %d tokens of a prompt could be found: the last one is always computed", q.Ideal, q.Prompt)
		case q.Cached > q.Ideal && q.Tries == 1:
			t.Errorf("%d tokens of a prompt were found, %d could be", q.Cached, q.Ideal)
		}
	}
	for which, n := range got {
		if n > want[which] || r.plan.until == 0 && n < want[which] {
			t.Errorf("turn and prompt %s: %d requests ended, %d were in the plan", which, n, want[which])
		}
	}
	if r.plan.until == 0 && len(got) != len(want) {
		t.Errorf("%d kinds of requests ended, %d were in the plan", len(got), len(want))
	}
	if len(r.sessions) != 0 || r.left != 0 {
		t.Errorf("%d sessions are under way, %d are left", len(r.sessions), r.left)
	}
	for _, p := range r.replicas {
		if p.core != nil && (load(p.core) != 0 || p.core.Counters().KVUse != 0) {
			t.Errorf("replica %d still has %d requests", p.index, load(p.core))
		}
	}
	for i, g := range r.gateways {
		for _, s := range g.pool.Status(clock(r.now)) {
			if s.InFlight != 0 || s.Decoding != 0 || s.Pending != 0 || s.Context != 0 {
				t.Errorf("gateway %d still counts %d in flight, %d decoding, %d pending and %d in context on %s", i, s.InFlight, s.Decoding, s.Pending, s.Context, s.URL)
			}
		}
	}
	m := r.metrics(DefaultSLO())
	if m.Hit > m.Ceiling+1e-9 {
		t.Errorf("hit rate %v above its ceiling %v", m.Hit, m.Ceiling)
	}
	if m.Complete+m.Left+m.Failed != m.Requests || m.Requests != len(r.records) {
		t.Errorf("%d complete, %d left and %d failed of %d", m.Complete, m.Left, m.Failed, m.Requests)
	}
}

// shorten cuts a plan, so that the clairvoyant is not busy for long under the race detector.
func (p *plan) shorten() {
	p.sessions = p.sessions[:min(len(p.sessions), 60)]
	p.until = min(p.until, 12*time.Second)
}

func TestPlay_LosesNothingAndTheClairvoyantIsNoWorseThanTurns(t *testing.T) {
	for _, w := range find(t, "all") {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			p := w.write(&w, 1000)
			playedPlan(t, p, gatewayPolicy(t, "warm"), 1)
			p.shorten()
			cost := func(policy balancer.Policy) float64 {
				m := playedPlan(t, p, policy, 1).metrics(DefaultSLO())
				return (firstWeight-1)*m.TTFT + m.RT
			}
			bound, turns := cost(&clairvoyant{}), cost(gatewayPolicy(t, "round_robin"))
			most := 1.01
			if w.Name == "hot" {
				most = 1.05 // each choice alone is best beside the one long prompt; all of them together crowd its replica
			}
			if !(bound <= most*turns) {
				t.Errorf("weighted waiting: clairvoyant %.3f s, round robin %.3f s", bound, turns)
			}
		})
	}
}

func TestPlay_LosesNothingBehindManyGateways(t *testing.T) {
	for _, w := range find(t, "churn,aborts") {
		r := playedPlan(t, w.write(&w, 3), gatewayPolicy(t, "warm"), 3)
		for i, g := range r.gateways {
			sent := uint64(0)
			for _, s := range g.pool.Status(clock(r.now)) {
				sent += s.Sent
			}
			if share := float64(sent) / float64(len(r.records)); share < 0.2 || share > 0.6 {
				t.Errorf("%s: gateway %d of 3 sent %v of the requests", w.Name, i, share)
			}
		}
	}
}

// one is a session of a single request.
func one(id int, begin time.Duration, prompt, output int) *session {
	w := newWriter(fmt.Sprint("s", id), begin)
	w.ask(uint64(id), prompt, 0)
	w.answer(uint64(id)+1e6, output)
	return w.end()
}

func TestPlay_CallersComeAgainWhenAReplicaDies(t *testing.T) {
	p := &plan{
		fleet: []machine{{preset: a10}, {preset: a10}}, sessions: []*session{one(1, 0, 100, 300), one(2, 0, 100, 300)},
		faults: []fault{{3 * time.Second, 1, dies, 0}, {60 * time.Second, 1, returns, 0}},
	}
	r := playedPlan(t, p, gatewayPolicy(t, "round_robin"), 1)
	tries := 0
	for i := range r.records {
		q := &r.records[i]
		tries += q.Tries
		if q.Output != 300 || q.Replica != 0 || q.First > time.Second {
			t.Errorf("%+v: want a whole answer by the replica that lives, its first token counted once", q)
		}
	}
	if tries != 3 {
		t.Errorf("%d tries of two requests of which one was hit", tries)
	}
}

func TestPlay_AFleetThatIsDeadMakesCallersWait(t *testing.T) {
	leaves := one(2, 2*time.Second, 100, 300)
	leaves.turns[0].early = 500 * time.Millisecond
	p := &plan{
		fleet:    []machine{{preset: a10}},
		sessions: []*session{one(1, 0, 100, 300), leaves, one(3, 3*time.Second, 100, 300)},
		faults: []fault{
			{time.Second, 0, dies, 0}, {5 * time.Second, 0, returns, 0}, // it is found again by a probe
			{5*time.Second + 1, 0, dies, 0}, {20 * time.Second, 0, returns, 0},
		},
	}
	r := playedPlan(t, p, gatewayPolicy(t, "warm"), 1)
	for i := range r.records {
		q := &r.records[i]
		switch {
		case q.Arrived == 2*time.Second:
			if !q.Left || q.Ended != q.Arrived+500*time.Millisecond || q.First != 0 || q.Output != 0 {
				t.Errorf("%+v: want one that leaves after half a second with nothing", q)
			}
		case q.Left || q.Output != 300 || q.Ended < 20*time.Second || q.Refused == 0:
			t.Errorf("%+v: want a whole answer after the replica returned", q)
		}
	}
}

func TestPlay_WhatNoEngineCanTakeFails(t *testing.T) {
	p := &plan{fleet: []machine{{preset: a10, blocks: 50}}, sessions: []*session{one(1, 0, 900, 10), one(2, 0, 90, 10)}}
	m := playedPlan(t, p, gatewayPolicy(t, "warm"), 1).metrics(DefaultSLO())
	if m.Failed != 1 || m.Complete != 1 || m.Good != 0.5 {
		t.Errorf("%+v: want one request too large and one good", m)
	}
}

func TestPlay_ASlowReplicaIsSlowFromThatMomentOn(t *testing.T) {
	alone := func(faults ...fault) time.Duration {
		p := &plan{fleet: []machine{{preset: a10}}, sessions: []*session{one(1, 0, 100, 400)}, faults: faults}
		return playedPlan(t, p, gatewayPolicy(t, "warm"), 1).records[0].Ended
	}
	plain := alone()
	half := plain / 2
	slowed := alone(fault{half, 0, slows, 3})
	if ratio := (slowed - half).Seconds() / (plain - half).Seconds(); math.Abs(ratio-3) > 0.15 {
		t.Errorf("the second half took %.2f times as long, want 3", ratio)
	}
}

func TestMetrics_OfThreeRequests(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	r := &run{replicas: []*replica{{past: engine.Counters{Queries: 400, Hits: 100, Preemptions: 2}}}}
	r.records = []Record{
		{Arrived: ms(1000), First: ms(1100), Ended: ms(2100), Prompt: 100, Ideal: 48, Output: 21},            // 100 ms, 50 ms a token
		{Arrived: ms(2000), First: ms(2900), Ended: ms(5000), Prompt: 100, Ideal: 0, Output: 1},              // too late
		{Arrived: ms(3000), First: ms(3200), Ended: ms(3500), Prompt: 200, Ideal: 96, Output: 3, Left: true}, // counts for TTFT only
		{Arrived: ms(4000), Ended: ms(4000), Prompt: 100, Failed: true},
	}
	r.curve = curve{imbalance: 3, samples: 2}
	want := Metrics{
		Requests: 4, Complete: 2, Left: 1, Failed: 1, Seconds: 4, TTFT: 0.4, TTFTp50: 0.2, TTFTp99: 0.2 + 0.98*0.7, RT: 2.05, RTp99: 1.1 + 0.99*1.9,
		TPOT: 0.05, TPOTp99: 0.05, Hit: 0.25, Ceiling: 144.0 / 500, Good: 1.0 / 3, Goodput: 0.25, Tokens: 25.0 / 4, Imbalance: 1.5, Preemptions: 2,
	}
	got := r.metrics(DefaultSLO())
	if fmt.Sprintf("%.9v", got) != fmt.Sprintf("%.9v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if all := r.firsts(); len(all) != 3 {
		t.Errorf("times to the first token: %v", all)
	}
}

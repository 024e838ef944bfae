package promises_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
)

// Promise: a replica that comes back gets a tenth of its share of the requests at first and all of it after 30 s; and with fewer than
// half of the replicas well, all are tried. In virtual time, on the balancer alone.
func TestPromise_ReturnRamps(t *testing.T) {
	for _, name := range []string{"round_robin", "least_request", "warm"} {
		p, now := virtualPool(t, name, 4)
		now = ejectOne(t, p, 0, now)
		now = now.Add(2 * time.Second)
		for _, pr := range p.Due(now) {
			p.Probed(pr, nil, now)
		}
		if s := p.Status(now)[0].State; s != balancer.Warming {
			t.Fatalf("%s: after its probe the replica is %v", name, s)
		}
		began := now
		var shares []float64
		for second := range 40 {
			mine := 0
			const rate = 200
			for range rate {
				now = now.Add(time.Second / rate)
				l, err := p.Choose(&balancer.Request{}, now)
				if err != nil {
					t.Fatal(err)
				}
				l.FirstToken(now)
				l.End(balancer.Outcome{Cause: balancer.OK, PromptTokens: -1, CachedTokens: -1, OutputTokens: 1, Streamed: true}, now)
				if l.Endpoint().Index() == 0 {
					mine++
				}
			}
			share := 4 * float64(mine) / rate
			shares = append(shares, share)
			fair := min(1, 0.1+0.9*now.Sub(began).Seconds()/30)
			if second < 29 && share > fair*1.15+0.05 {
				t.Errorf("%s: in second %d it gets %.2f of its fair share, more than %.2f", name, second, share, fair)
			}
		}
		t.Logf("FIGURE share of a replica that came back, %s: %.2f of the fair one in its first second, %.2f after 15 s, %.2f after 35 s (promised 0.1, 0.55, 1)",
			name, shares[0], shares[15], shares[35])
		if shares[35] < 0.8 {
			t.Errorf("%s: after 35 s it gets only %.2f of its fair share", name, shares[35])
		}
	}
}

// The part of the same promise that keeps an outage of many replicas from becoming one of all.
func TestPromise_HalfOfThePoolStays(t *testing.T) {
	p, now := virtualPool(t, "round_robin", 5)
	for e := range 3 {
		now = ejectOne(t, p, e, now)
	}
	tried := map[int]int{}
	const n = 1000
	for range n {
		l, err := p.Choose(&balancer.Request{}, now)
		if err != nil {
			t.Fatal(err)
		}
		tried[l.Endpoint().Index()]++
		l.End(balancer.Outcome{Cause: balancer.Cancelled}, now)
	}
	t.Logf("FIGURE replicas that are tried when 3 of 5 are ejected for errors: %d (promised 5); requests by replica %v", len(tried), tried)
	if len(tried) != 5 {
		t.Errorf("%d of 5 replicas are tried", len(tried))
	}
}

func virtualPool(t *testing.T, policy string, n int) (*balancer.Pool, time.Time) {
	t.Helper()
	how, err := policies.New(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := balancer.PoolConfig{Name: "m", Policy: how, Seed: 1}
	for i := range n {
		cfg.Endpoints = append(cfg.Endpoints, balancer.EndpointConfig{URL: fmt.Sprintf("http://replica-%d", i)})
	}
	p, err := balancer.NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p, time.Unix(1_800_000_000, 0)
}

// ejectOne lets three requests fail at replica e.
func ejectOne(t *testing.T, p *balancer.Pool, e int, now time.Time) time.Time {
	t.Helper()
	for range 3 {
		now = now.Add(time.Millisecond)
		l, err := p.Choose(&balancer.Request{Only: p.Endpoints()[e].URL()}, now)
		if err != nil {
			t.Fatal(err)
		}
		l.End(balancer.Outcome{Cause: balancer.ServerError}, now)
	}
	if s := p.Status(now)[e].State; s != balancer.Ejected {
		t.Fatalf("after three failures replica %d is %v", e, s)
	}
	return now
}

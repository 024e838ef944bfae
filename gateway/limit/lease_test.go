package limit_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// quotaAndPlaces keeps all that a lease can hold: neither is refilled.
func quotaAndPlaces() []config.Limit {
	return []config.Limit{{Name: "x", Tokens: []config.Rate{per(1000, config.Total)}, Concurrency: 1}}
}

// TestLease_OfADeadGatewayRunsOut has a gateway that ends with a reservation open, as one that was killed does.
func TestLease_OfADeadGatewayRunsOut(t *testing.T) {
	const lease = 300 * time.Millisecond
	server := redistest.Start(t)
	dead, err := limit.OpenRedis(limit.RedisConfig{URL: server.URL, Timeout: time.Second, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	admitted(t, newLimiter(t, limit.Config{Limits: quotaAndPlaces()}, dead), chat(100, 500))
	died := time.Now()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	l := newLimiter(t, limit.Config{Limits: quotaAndPlaces()}, openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: time.Second}))
	var place *limit.Reservation
	eventually(t, "the reservation is back", func() bool {
		q := chat(100, 500)
		p, fail := l.Reserve(t.Context(), &q)
		place = p
		return fail == nil
	})
	if took := time.Since(begun); took < lease-time.Millisecond { // it ends with a whole one
		t.Errorf("a lease of %s was back after %s", lease, took)
	}
	t.Logf("a lease of %s was back after %s", lease, time.Since(died))
	if got := header(place, "x-ratelimit-remaining-tokens"); got != "400" {
		t.Errorf("%s tokens remain, want 400: the dead gateway's 600 came back", got)
	}
}

// TestLease_IsRenewed has an answer that takes three times its lease.
func TestLease_IsRenewed(t *testing.T) {
	const lease = 300 * time.Millisecond
	server, c := miniredis.RunT(t), newClock() // whose time waits for the gateway
	server.SetTime(c.Now())
	shared := openRedis(t, limit.RedisConfig{URL: "redis://" + server.Addr(), Timeout: time.Second, Lease: lease})
	l := newLimiter(t, limit.Config{Limits: quotaAndPlaces(), Memory: limit.NewMemory(0, c.Now)}, shared)
	place := admitted(t, l, chat(100, 500))
	for range 5 {
		c.Advance(lease * 2 / 3)
		server.SetTime(c.Now())
		refused(t, l, chat(100, 500))
		eventually(t, "every lease lasts from now on", func() bool {
			for _, key := range server.Keys() {
				members, _ := server.ZMembers(key) // none of what is no set
				for _, m := range members {
					if ends, err := server.ZScore(key, m); err != nil || int64(ends) < c.Now().Add(lease).UnixMilli() {
						return false
					}
				}
			}
			return true
		})
	}
	place.Settle(limit.Use{Input: 100, Output: 20}, true)
	eventually(t, "the place is free", func() bool {
		q := limit.Query{}
		p, fail := l.Reserve(t.Context(), &q)
		return fail == nil && header(p, "x-ratelimit-remaining-tokens") == "880"
	})
}

// TestLease_SettledWhenRedisIsBack has a request end while Redis is away, for longer than its lease.
func TestLease_SettledWhenRedisIsBack(t *testing.T) {
	server, _, _ := troubled(t)
	shared := openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: time.Second, Probe: 20 * time.Millisecond})
	eventually(t, "redis is up", shared.Up)
	l := newLimiter(t, limit.Config{Limits: quotaAndPlaces()}, shared)
	place := admitted(t, l, chat(100, 500))
	server.Pause()
	admitted(t, l, limit.Query{Prompt: 1}).Settle(limit.Use{Input: 1}, true) // here, from this gateway's share
	place.Settle(limit.Use{Input: 100, Output: 20}, true)
	server.Continue()
	eventually(t, "the request is settled", func() bool {
		p, fail := l.Reserve(t.Context(), &limit.Query{})
		if fail != nil {
			return false
		}
		p.Settle(limit.Use{}, false)
		return shared.Up() && header(p, "x-ratelimit-remaining-tokens") == "879" // the one that was counted here too
	})
}

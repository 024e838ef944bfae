package limit_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

// modelBucket is a token bucket written for clearness alone. Its level counts in fractions of a request whose denominator is
// the period in microseconds, which is exact.
type modelBucket struct {
	size, period, level int64
	at                  time.Time
}

func newModelBucket(r config.Rate, now time.Time) *modelBucket {
	return &modelBucket{size: r.N, period: r.Per.Microseconds(), level: r.N * r.Per.Microseconds(), at: now}
}

func (b *modelBucket) refill(now time.Time) {
	b.level = min(b.size*b.period, b.level+now.Sub(b.at).Microseconds()*b.size)
	b.at = now
}

// TestReserve_EqualsTheModel sends random arrivals through three limits at once and compares each verdict with the model's.
func TestReserve_EqualsTheModel(t *testing.T) {
	rates := []config.Rate{per(10, time.Second), per(100, time.Minute), per(2000, time.Hour)}
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(config.Limit{Name: "x", Requests: rates})
		var model []*modelBucket
		for _, r := range rates {
			model = append(model, newModelBucket(r, c.Now()))
		}
		random := rand.New(rand.NewPCG(1, 2))
		passed := 0
		arrivals := 100_000
		if strings.HasSuffix(t.Name(), "redis") {
			arrivals = 800 // half a millisecond each
		}
		for i := range arrivals {
			// Mostly bursts, some pauses, a rare long one.
			c.Advance(time.Duration(random.ExpFloat64()*[...]float64{20, 20, 20, 20, 20, 20, 300, 2000}[random.IntN(8)]*1000) * time.Microsecond)
			want := true
			for _, b := range model {
				b.refill(c.Now())
				want = want && b.level >= b.period
			}
			if want {
				passed++
				for _, b := range model {
					b.level -= b.period
				}
			}
			_, fail := l.Reserve(t.Context(), &limit.Query{})
			if got := fail == nil; got != want {
				t.Fatalf("arrival %d passed: %v, the model says %v", i, got, want)
			}
		}
		t.Logf("%d of %d arrivals passed", passed, arrivals)
		if passed < arrivals/50 || passed > arrivals*9/10 {
			t.Errorf("%d of %d arrivals passed: the arrivals show nothing", passed, arrivals)
		}
	})
}

// storm sends n requests from each of 64 goroutines and returns how many passed.
func storm(t testing.TB, n int, limiters ...*limit.Limiter) int64 {
	var passed atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		l := limiters[i%len(limiters)]
		all.Go(func() {
			for range n {
				if _, fail := l.Reserve(t.Context(), &limit.Query{Subject: config.Subject{User: "u"}}); fail == nil {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	return passed.Load()
}

func thousandAnHour() []config.Limit {
	return []config.Limit{
		{Name: "all", Requests: []config.Rate{per(1000, time.Hour), per(5000, time.Hour)}},
		{Name: "user", By: []config.By{{Kind: config.ByUser}}, Requests: []config.Rate{per(1500, time.Hour)}},
	}
}

func TestReserve_ExactUnderConcurrency_Memory(t *testing.T) {
	c := newClock()
	l := newLimiter(t, limit.Config{Limits: thousandAnHour(), Memory: limit.NewMemory(0, c.Now)}, nil)
	if got := storm(t, 100, l); got != 1000 {
		t.Errorf("%d requests passed, want 1000", got)
	}
}

// TestReserve_ExactUnderConcurrency_Redis has two gateways on one real Redis, whose clock runs.
func TestReserve_ExactUnderConcurrency_Redis(t *testing.T) {
	server := startRedis(t)
	var limiters []*limit.Limiter
	for range 2 {
		shared := openRedis(t, limit.RedisConfig{URL: server.url(), Timeout: 5 * time.Second})
		limiters = append(limiters, newLimiter(t, limit.Config{Limits: thousandAnHour()}, shared))
		t.Cleanup(func() {
			if !shared.Up() {
				t.Error("the limits were not kept in Redis")
			}
		})
	}
	start := time.Now()
	got := storm(t, 100, limiters...)
	took := time.Since(start)
	most := 1000 + int64(took.Seconds()*1000/3600)
	if got < 1000 || got > most {
		t.Errorf("%d requests passed in %s, want 1000 to %d", got, took, most)
	}
	t.Logf("6400 calls from 64 goroutines in %s: %s a call in the mean", took, took/6400)
}

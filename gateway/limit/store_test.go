package limit_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that moves when told.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	follow func(time.Time)
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	if c.follow != nil {
		c.follow(c.now)
	}
}

// onEachStore runs a test with a clock in hand on buckets in memory and on buckets in a Redis.
func onEachStore(t *testing.T, test func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter)) {
	t.Run("memory", func(t *testing.T) {
		c := newClock()
		memory := limit.NewMemory(0, c.Now)
		test(t, c, func(limits ...config.Limit) *limit.Limiter {
			return newLimiter(t, limit.Config{Limits: limits, Memory: memory}, nil)
		})
	})
	t.Run("redis", func(t *testing.T) {
		c := newClock()
		server := miniredis.RunT(t)
		c.follow = server.SetTime
		server.SetTime(c.Now())
		shared := openRedis(t, limit.RedisConfig{URL: "redis://" + server.Addr(), Timeout: time.Second})
		test(t, c, func(limits ...config.Limit) *limit.Limiter {
			l := newLimiter(t, limit.Config{Limits: limits, Memory: limit.NewMemory(0, c.Now)}, shared)
			t.Cleanup(func() {
				if !shared.Up() {
					t.Error("the limits were not kept in Redis")
				}
			})
			return l
		})
	})
}

// newLimiter makes a limiter whose limits refuse, as limits do by default.
func newLimiter(t testing.TB, cfg limit.Config, shared *limit.Redis) *limit.Limiter {
	t.Helper()
	for i := range cfg.Limits {
		cfg.Limits[i].Enforce = true
	}
	l, err := limit.New(cfg, shared)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openRedis(t testing.TB, cfg limit.RedisConfig) *limit.Redis {
	t.Helper()
	r, err := limit.OpenRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// eventually polls until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// span is how long a measurement takes: short beside other tests, long where promises are measured.
func span(short, long time.Duration) time.Duration {
	if os.Getenv("WARMLANE_PROMISES") != "" {
		return long
	}
	return short
}

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
	"github.com/warmlane/warmlane/gateway/redistest"
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

// modelLimit is a limit of the model: its buckets, and whether it is for slow callers only.
type modelLimit struct {
	buckets []*modelBucket
	slow    bool
}

// combined are limits of several time scales, of which slow callers also have one of a request a minute.
func combined() []config.Limit {
	return []config.Limit{
		{Name: "all", Requests: []config.Rate{per(10, time.Second), per(100, time.Minute), per(2000, time.Hour)}},
		{Name: "slow", Match: config.Match{Apps: []string{"slow"}}, Requests: []config.Rate{per(1, time.Minute)}},
	}
}

// oneAMinute is a limit of a request a minute alone.
func oneAMinute() []config.Limit {
	return []config.Limit{{Name: "one", Requests: []config.Rate{per(1, time.Minute)}}}
}

// equalTheModel sends random arrivals through limits until enough or for as long as the test may take, and compares each verdict with the
// model's. pause is how far apart they are in the mean, in a burst.
func equalTheModel(t *testing.T, c *clock, l *limit.Limiter, limits []config.Limit, pause time.Duration, enough int, may time.Duration) {
	t.Helper()
	var model []modelLimit
	for _, ml := range limits {
		m := modelLimit{slow: !ml.Match.Empty()}
		for _, r := range ml.Requests {
			m.buckets = append(m.buckets, newModelBucket(r, c.Now()))
		}
		model = append(model, m)
	}
	random := rand.New(rand.NewPCG(1, 2))
	queries := [...]limit.Query{{}, {Subject: config.Subject{App: "slow"}}}
	passed, arrivals := [2]int{}, [2]int{}
	for start := time.Now(); arrivals[0]+arrivals[1] < enough && time.Since(start) < may; {
		// Mostly bursts, some pauses, a rare long one.
		c.Advance(time.Duration(random.ExpFloat64() * [...]float64{1, 1, 1, 1, 1, 1, 15, 100}[random.IntN(8)] * float64(pause)).Truncate(time.Microsecond))
		slow := 0
		if random.IntN(8) == 0 {
			slow = 1
		}
		want := modelPasses(model, slow == 1, c.Now())
		arrivals[slow]++
		if want {
			passed[slow]++
		}
		_, fail := l.Reserve(t.Context(), &queries[slow])
		if got := fail == nil; got != want {
			t.Fatalf("arrival %d passed: %v, the model says %v", arrivals, got, want)
		}
	}
	t.Logf("%d of %d arrivals passed, of slow callers %d of %d", passed[0], arrivals[0], passed[1], arrivals[1])
	for k, n := range arrivals {
		if passed[k] < n/200 || passed[k] > n*9/10 || n < 20 {
			t.Errorf("%d of %d arrivals passed: the arrivals show nothing", passed[k], n)
		}
	}
}

// modelPasses takes a request from all of its buckets, or from none.
func modelPasses(limits []modelLimit, slow bool, now time.Time) bool {
	fits := true
	each := func(f func(*modelBucket)) {
		for _, l := range limits {
			if l.slow && !slow {
				continue
			}
			for _, b := range l.buckets {
				f(b)
			}
		}
	}
	each(func(b *modelBucket) {
		b.refill(now)
		fits = fits && b.level >= b.period
	})
	if fits {
		each(func(b *modelBucket) { b.level -= b.period })
	}
	return fits
}

// TestReserve_EqualsTheModel compares 100,000 verdicts with the model's, in memory and in a stand-in for Redis, which takes half a
// millisecond for each.
func TestReserve_EqualsTheModel(t *testing.T) {
	for name, c := range map[string]struct {
		limits []config.Limit
		pause  time.Duration
	}{"combined": {combined(), 20 * time.Millisecond}, "one a minute": {oneAMinute(), time.Second}} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, clock *clock, limiter func(...config.Limit) *limit.Limiter) {
				enough := 100_000
				if strings.HasSuffix(t.Name(), "redis") {
					enough = 800
				}
				equalTheModel(t, clock, limiter(c.limits...), c.limits, c.pause, enough, time.Minute)
			})
		})
	}
}

// TestReserve_EqualsTheModel_RealRedis is the same with the scripts in a real Redis, whose time the test tells: 100,000 arrivals where promises
// are measured, else as many as fit in its time.
func TestReserve_EqualsTheModel_RealRedis(t *testing.T) {
	for name, f := range map[string]struct {
		limits []config.Limit
		pause  time.Duration
	}{"combined": {combined(), 20 * time.Millisecond}, "one a minute": {oneAMinute(), time.Second}} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			c := newClock()
			shared := openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: 5 * time.Second})
			c.follow = shared.TellTime(t)
			c.Advance(0)
			l := newLimiter(t, limit.Config{Limits: f.limits, Memory: limit.NewMemory(0, c.Now)}, shared)
			equalTheModel(t, c, l, f.limits, f.pause, 100_000, span(2500*time.Millisecond, time.Minute))
			if !shared.Up() {
				t.Error("the limits were not kept in Redis")
			}
		})
	}
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
	server := redistest.Start(t)
	var limiters []*limit.Limiter
	for range 2 {
		shared := openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: 5 * time.Second})
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

package limit_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// ledger adds up what requests used.
type ledger struct {
	mu                    sync.Mutex
	used, exceeded, count int64
	refused               time.Time // when the last request was sent that found too little
}

// TestOvershoot has 64 callers of two gateways on one real Redis use up 100,000 tokens and 10,000 more a second: what they used is never more
// than the bucket gave and what answers exceeded their reservation by, and hardly less.
func TestOvershoot(t *testing.T) {
	const size, perSecond, prompt, most = 100_000, 10_000, 100, 2000
	for _, mode := range []string{config.ReserveExpected, config.ReserveStrict} {
		t.Run(mode, func(t *testing.T) {
			server := redistest.Start(t)
			var limiters []*limit.Limiter
			for range 2 {
				shared := openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: 5 * time.Second})
				limiters = append(limiters, newLimiter(t, limit.Config{Limits: []config.Limit{{
					// A bucket of 100,000 that gets 10,000 a second.
					Name: "app", Tokens: []config.Rate{{N: size, Per: size / perSecond * time.Second}}, Reserve: mode, MaxOutput: most,
				}}}, shared))
			}
			start := time.Now()
			end := start.Add(span(2*time.Second, 8*time.Second))
			var l ledger
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() { l.call(t, limiters[i%2], rand.New(rand.NewPCG(1, uint64(i))), prompt, most, end) })
			}
			all.Wait()
			bound := size + int64(time.Since(start).Seconds()*perSecond)
			t.Logf("%s: %d requests used %d tokens, %d allowed (%.1f %%), %d beyond reservations (%.1f %% of both)", mode, l.count, l.used, bound,
				100*float64(l.used)/float64(bound), l.exceeded, 100*float64(l.used)/float64(bound+l.exceeded))
			if mode == config.ReserveStrict && l.exceeded > 0 {
				t.Errorf("answers exceeded their reservations by %d", l.exceeded)
			}
			if l.used > bound+l.exceeded {
				t.Errorf("%d tokens used, %d allowed and %d beyond reservations", l.used, bound, l.exceeded)
			}
			// What comes after the last refusal nobody may have asked for, and what is less than one reservation nobody gets.
			given := size + int64(l.refused.Sub(start).Seconds()*perSecond) - prompt - most
			if float64(l.used) < 0.97*float64(given) { // what answers exceeded is taken from those that follow
				t.Errorf("only %d tokens used of %d", l.used, given)
			}
		})
	}
}

// call sends requests until end. A refused one comes back after a tenth of the time that it is told.
func (l *ledger) call(t *testing.T, limiter *limit.Limiter, random *rand.Rand, prompt, most int, end time.Time) {
	for time.Now().Before(end) {
		output := min(most, 1+int(random.ExpFloat64()*200))
		q := chat(prompt, most)
		sent := time.Now()
		place, fail := limiter.Reserve(t.Context(), &q)
		if fail != nil {
			l.mu.Lock()
			if sent.After(l.refused) {
				l.refused = sent
			}
			l.mu.Unlock()
			<-time.After(min(fail.RetryAfter/10, 20*time.Millisecond))
			continue
		}
		<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
		l.mu.Lock()
		l.used += int64(prompt + output)
		l.exceeded += max(0, int64(prompt+output)-place.Reserved("app"))
		l.count++
		l.mu.Unlock()
		place.Settle(limit.Use{Input: prompt, Output: output}, true)
	}
}

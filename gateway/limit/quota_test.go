package limit_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

func atoi(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestQuota_FollowsTheCalendar begins at noon in London, which is 20:00 in Shanghai.
func TestQuota_FollowsTheCalendar(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		quota := config.Limit{Name: "q", Zone: "Asia/Shanghai", Requests: []config.Rate{per(3, config.Day), per(5, config.Month)}}
		l := limiter(quota)
		if got := passes(t, l, limit.Query{}, 10); got != 3 {
			t.Fatalf("%d requests passed on the first day, want 3", got)
		}
		_, fail := refused(t, l, limit.Query{})
		want := `The quota "q" of 3 requests per day is used up. It starts anew in 4 hours.`
		if fail.Kind != failure.QuotaUsedUp || fail.Message != want || fail.RetryAfter != 2*time.Minute || !fail.Final {
			t.Errorf("got %v after %s (final: %v), want %q", fail, fail.RetryAfter, fail.Final, want)
		}
		c.Advance(4*time.Hour - time.Microsecond)
		if got := passes(t, l, limit.Query{}, 10); got != 0 {
			t.Errorf("%d requests passed before midnight", got)
		}
		c.Advance(time.Microsecond)
		if got := passes(t, l, limit.Query{}, 10); got != 2 {
			t.Errorf("%d requests passed on the second day, want the 2 that are left of the month", got)
		}
		quota.Requests[1].N = 6
		l = limiter(quota)
		if got := passes(t, l, limit.Query{}, 10); got != 1 {
			t.Errorf("%d requests passed after the month's quota was raised by one", got)
		}
		c.Advance(10 * 24 * time.Hour) // from the 21st
		if got := passes(t, l, limit.Query{}, 10); got != 3 {
			t.Errorf("%d requests passed in the next month, want 3", got)
		}
	})
}

func TestQuota_Cost(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, _ func(...config.Limit) *limit.Limiter) {
		l := newLimiter(t, limit.Config{
			Memory: limit.NewMemory(0, c.Now),
			Limits: []config.Limit{{Name: "money", Cost: []config.Spend{{N: 1_000_000, Per: config.Day}}}},
			Prices: config.Prices{Currency: "CNY", Models: []config.Price{{Models: []string{"m"}, Input: 2, Cached: 0.5, Output: 8}}},
		}, nil)
		place := admitted(t, l, chat(1000, 100))
		place.Settle(limit.Use{Input: 100_000, Cached: 80_000, Output: 50_000}, true) // 0.04 + 0.04 + 0.4
		if got := header(admitted(t, l, chat(0, 0)), "RateLimit"); got != `"money:cost/day";r=517952;t=43200` {
			t.Errorf("after 0.48 and 256 tokens set aside RateLimit is %s", got)
		}
		admitted(t, l, limit.Query{Subject: config.Subject{Model: "free"}, Prompt: 1e9})
		_, fail := refused(t, l, chat(400_000, 0))
		if want := `This request may need 0.802048: the quota "money" of 1 CNY per day has 0.517952 left. It starts anew in 12 hours.`; fail.Message != want {
			t.Errorf("got %q, want %q", fail.Message, want)
		}
	})
}

func TestQuota_TopUp(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(config.Limit{Name: "q", By: []config.By{{Kind: config.ByUser}}, Tokens: []config.Rate{per(1000, config.Total), per(1e6, time.Second)}})
		a, b := limit.Query{Subject: config.Subject{User: "a"}, Prompt: 1000}, limit.Query{Subject: config.Subject{User: "b"}, Prompt: 1000}
		admitted(t, l, a).Settle(limit.Use{Input: 1000}, true)
		_, fail := refused(t, l, a)
		if want := `The quota "q" of 1000 tokens in total is used up.`; fail.Message != want || !fail.Final {
			t.Errorf("got %q (final: %v), want %q", fail.Message, fail.Final, want)
		}
		if err := l.TopUp("q", &a, "tokens", 2500); err != nil {
			t.Fatal(err)
		}
		if got := passes(t, l, a, 10); got != 2 {
			t.Errorf("%d requests of 1000 tokens passed after 2500 were added, want 2", got)
		}
		if got := passes(t, l, b, 10); got != 1 {
			t.Errorf("%d requests of another user passed, want 1", got)
		}
		if err := l.TopUp("q", &a, "requests", 1); !errors.Is(err, limit.ErrNoQuota) {
			t.Errorf("topping up what is not counted: %v", err)
		}
		if err := l.TopUp("x", &a, "tokens", 1); !errors.Is(err, limit.ErrNoLimit) {
			t.Errorf("topping up a limit that is not there: %v", err)
		}
	})
}

// A limit's own words are given with its name and the time; for a quota without an end nobody knows the time.
func TestQuota_OwnWords(t *testing.T) {
	for _, f := range []struct {
		per  time.Duration
		want string
	}{{time.Minute, "x: 60 seconds, 60"}, {config.Day, "x: 12 hours, 43200"}, {config.Total, "x: an unknown time, ?"}} {
		onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
			l := limiter(config.Limit{Name: "x", Requests: []config.Rate{per(1, f.per)}, Status: 503, Message: "{limit}: {wait}, {seconds}"})
			admitted(t, l, limit.Query{})
			if _, fail := refused(t, l, limit.Query{}); fail.Message != f.want || fail.HTTPStatus() != 503 {
				t.Errorf("answered %d %q, want 503 %q", fail.HTTPStatus(), fail.Message, f.want)
			}
		})
	}
}

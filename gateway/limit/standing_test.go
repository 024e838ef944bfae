package limit_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

func TestStandings_TellWithoutTaking(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(config.Limit{
			Name: "l", By: []config.By{{Kind: config.ByUser}}, Zone: "UTC", Concurrency: 3,
			Requests: []config.Rate{per(4, time.Minute), per(10, config.Day), per(20, config.Total)}, Tokens: []config.Rate{per(100, config.Month)},
		})
		u := chat(30, 10)
		u.User = "u"
		place := admitted(t, l, u)
		told := func(q *limit.Query) []limit.Standing {
			t.Helper()
			all, alone, err := l.Standings(t.Context(), "l", q)
			if err != nil || alone {
				t.Fatal(alone, err)
			}
			return all
		}
		day := c.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(c.Now())
		month := time.Date(c.Now().Year(), c.Now().Month()+1, 1, 0, 0, 0, 0, time.UTC).Sub(c.Now())
		want := []limit.Standing{
			{Of: "requests", Per: time.Minute, Size: 4, Used: 1, Left: 3, Resets: 15 * time.Second},
			{Of: "requests", Per: config.Day, Size: 10, Used: 1, Left: 9, Resets: day},
			{Of: "requests", Per: config.Total, Size: 20, Used: 1, Left: 19, Resets: -1},
			{Of: "tokens", Per: config.Month, Size: 100, Used: 40, Left: 60, Resets: month},
			{Of: "concurrency", Size: 3, Used: 1, Left: 2, Resets: -1},
		}
		for range 3 {
			if got := told(&u); !slices.Equal(got, want) {
				t.Fatalf("told %v\nwant %v", got, want)
			}
		}
		place.Settle(limit.Use{Input: 30, Output: 100}, true)
		eventually(t, "what was used beyond the quota is told", func() bool {
			got := told(&u)
			return got[3].Used == 130 && got[3].Left == 0 && got[4].Used == 0 && got[4].Resets == 0
		})
		if got := told(&limit.Query{}); got[0].Used != 0 || got[0].Resets != 0 || got[3].Left != 100 {
			t.Errorf("of nobody: %v", got)
		}
		if err := l.TopUp("l", &u, "tokens", 1000); err != nil {
			t.Fatal(err)
		}
		if got := told(&u); got[3].Used != 0 || got[3].Left != 970 {
			t.Errorf("after a top-up: %v", got[3])
		}
		if _, _, err := l.Standings(t.Context(), "x", &u); !errors.Is(err, limit.ErrNoLimit) {
			t.Errorf("a limit that is none: %v", err)
		}
	})
}

// TestStandings_OfOneThatCountsAlone tells a gateway's share while Redis is away.
func TestStandings_OfOneThatCountsAlone(t *testing.T) {
	shared := openRedis(t, limit.RedisConfig{URL: "redis://127.0.0.1:1"})
	l := newLimiter(t, limit.Config{Limits: []config.Limit{{Name: "l", Requests: []config.Rate{per(10, time.Hour)}}}}, shared)
	admitted(t, l, limit.Query{})
	all, alone, err := l.Standings(t.Context(), "l", &limit.Query{})
	if err != nil || !alone || len(all) != 1 || all[0].Size != 5 || all[0].Used != 1 || all[0].Left != 4 {
		t.Errorf("told %v %v %v", all, alone, err)
	}
}

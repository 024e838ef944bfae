package limit_test

import (
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

// An answer from the cache counts as a request and for no tokens; or, where the limit says so, not at all.
func TestCached_CountsAsConfigured(t *testing.T) {
	f := func(cached string, left string) {
		t.Run(cached, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
				l := limiter(config.Limit{
					Name: "x", Requests: []config.Rate{per(10, config.Total)}, Tokens: []config.Rate{per(1000, config.Total)}, Concurrency: 1, Cached: cached,
				})
				admitted(t, l, chat(100, 50)).Settle(limit.Use{Recalled: true}, true)
				var place *limit.Reservation
				eventually(t, "what was set aside is back", func() bool { // the one place of concurrency first of all
					var fail *failure.Error
					place, fail = l.Reserve(t.Context(), &limit.Query{})
					return fail == nil
				})
				if got := header(place, "x-ratelimit-remaining-requests"); got != left {
					t.Errorf("%s requests are left beside this one, want %s", got, left)
				}
				if got := header(place, "x-ratelimit-remaining-tokens"); got != "1000" {
					t.Errorf("%s tokens are left", got)
				}
				place.Settle(limit.Use{Input: 5}, true)
				eventually(t, "an answer that an engine gave counts", func() bool {
					place, fail := l.Reserve(t.Context(), &limit.Query{})
					if fail != nil {
						return false
					}
					defer place.Settle(limit.Use{Recalled: true}, true)
					return header(place, "x-ratelimit-remaining-tokens") == "995"
				})
			})
		})
	}
	f(config.CachedRequests, "8")
	f(config.CachedNothing, "9")
}

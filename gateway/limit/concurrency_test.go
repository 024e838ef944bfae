package limit_test

import (
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
)

func TestConcurrency_PlacesAreGivenBack(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		two := config.Limit{Name: "x", By: []config.By{{Kind: config.ByUser}}, Concurrency: 2}
		l := limiter(two)
		first := admitted(t, l, limit.Query{Subject: config.Subject{User: "a"}})
		admitted(t, l, limit.Query{Subject: config.Subject{User: "a"}})
		_, fail := refused(t, l, limit.Query{Subject: config.Subject{User: "a"}})
		want := `Too many requests: the limit "x" of 2 requests at a time is reached. Try again in 1 second.`
		if fail.Message != want || fail.RetryAfter != time.Second || fail.Final {
			t.Errorf("got %q after %s, want %q after 1s", fail.Message, fail.RetryAfter, want)
		}
		admitted(t, l, limit.Query{Subject: config.Subject{User: "b"}})
		first.Settle(limit.Use{}, false)
		eventually(t, "a place is free", func() bool {
			_, fail := l.Reserve(t.Context(), &limit.Query{Subject: config.Subject{User: "a"}})
			return fail == nil
		})
		refused(t, l, limit.Query{Subject: config.Subject{User: "a"}})
		two.Concurrency = 3
		l = limiter(two) // raised: those under way still count
		admitted(t, l, limit.Query{Subject: config.Subject{User: "a"}})
		refused(t, l, limit.Query{Subject: config.Subject{User: "a"}})
	})
}

package limit_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

func per(n int64, unit time.Duration) config.Rate { return config.Rate{N: n, Per: unit} }

// passes sends n requests and returns how many of them passed.
func passes(t testing.TB, l *limit.Limiter, q limit.Query, n int) int {
	t.Helper()
	passed := 0
	for range n {
		if _, fail := l.Reserve(t.Context(), &q); fail == nil {
			passed++
		}
	}
	return passed
}

func TestReserve_BucketRefillsEvenly(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(config.Limit{Name: "x", Requests: []config.Rate{per(10, time.Second)}})
		f := func(wait time.Duration, want int) {
			t.Helper()
			c.Advance(wait)
			if got := passes(t, l, limit.Query{}, 15); got != want {
				t.Errorf("after %s %d of 15 requests passed, want %d", wait, got, want)
			}
		}
		f(0, 10)
		f(99*time.Millisecond, 0)
		f(1*time.Millisecond, 1)
		f(250*time.Millisecond, 2)
		f(50*time.Millisecond, 1) // the half request left over from before is not lost
		f(time.Hour, 10)
	})
}

func TestReserve_AtMost2NMinus1InAnyWindow(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(config.Limit{Name: "x", Requests: []config.Rate{per(10, time.Second)}})
		var passed []time.Time
		for range 300 {
			if _, fail := l.Reserve(t.Context(), &limit.Query{}); fail == nil {
				passed = append(passed, c.Now())
			}
			c.Advance(10 * time.Millisecond)
		}
		most := 0
		for i := range passed {
			j := i
			for j < len(passed) && passed[j].Sub(passed[i]) < time.Second {
				j++
			}
			most = max(most, j-i)
		}
		if most != 19 {
			t.Errorf("%d requests in one second, want the 19 that a bucket of 10 allows", most)
		}
		if len(passed) != 39 {
			t.Errorf("%d requests in 3 s, want 10 + 29", len(passed))
		}
	})
}

func TestReserve_TakesFromAllBucketsOrNone(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(
			config.Limit{Name: "all", Requests: []config.Rate{per(5, time.Minute)}},
			config.Limit{Name: "user", By: []config.By{{Kind: config.ByUser}}, Requests: []config.Rate{per(3, time.Minute)}},
		)
		if got := passes(t, l, limit.Query{Subject: config.Subject{User: "a"}}, 10); got != 3 {
			t.Fatalf("%d requests of user a passed, want 3", got)
		}
		if got := passes(t, l, limit.Query{Subject: config.Subject{User: "b"}}, 10); got != 2 {
			t.Errorf("%d requests of user b passed, want the 2 that refused ones of user a have left", got)
		}
		c.Advance(time.Minute)
		if got := passes(t, l, limit.Query{Subject: config.Subject{User: "b"}}, 10); got != 3 {
			t.Errorf("%d requests of user b passed a minute later, want 3", got)
		}
	})
}

func TestReserve_SeparatesBuckets(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		header := func(value string) *fasthttp.RequestHeader {
			var h fasthttp.RequestHeader
			h.Set("X-App", value)
			return &h
		}
		long := strings.Repeat("x", 300)
		f := func(name string, by config.By, same, other config.Subject) {
			t.Helper()
			l := limiter(config.Limit{Name: name, By: []config.By{by}, Requests: []config.Rate{per(1, time.Hour)}})
			if passes(t, l, limit.Query{Subject: same}, 1) != 1 || passes(t, l, limit.Query{Subject: same}, 1) != 0 {
				t.Errorf("%s: equal requests do not share a bucket", name)
			}
			if passes(t, l, limit.Query{Subject: other}, 1) != 1 {
				t.Errorf("%s: different requests share a bucket", name)
			}
		}
		f("consumer", config.By{Kind: config.ByConsumer}, config.Subject{Consumer: "a"}, config.Subject{Consumer: "b"})
		f("user", config.By{Kind: config.ByUser}, config.Subject{User: "a"}, config.Subject{User: "b"})
		f("no user", config.By{Kind: config.ByUser}, config.Subject{}, config.Subject{User: "b"})
		f("model", config.By{Kind: config.ByModel}, config.Subject{Model: "a"}, config.Subject{Model: "b"})
		f("route", config.By{Kind: config.ByRoute}, config.Subject{Route: "a"}, config.Subject{Route: "b"})
		f("app", config.By{Kind: config.ByApp}, config.Subject{App: "a"}, config.Subject{App: "b"})
		f("header", config.By{Kind: config.ByHeader, Name: "X-App"},
			config.Subject{Headers: header("a")}, config.Subject{Headers: header("b")})
		f("no header", config.By{Kind: config.ByHeader, Name: "X-App"}, config.Subject{}, config.Subject{Headers: header("b")})
		cookie := func(text string) *fasthttp.RequestHeader {
			var h fasthttp.RequestHeader
			h.Set("Cookie", text)
			return &h
		}
		args := func(text string) *fasthttp.Args {
			var a fasthttp.Args
			a.Parse(text)
			return &a
		}
		f("cookie", config.By{Kind: config.ByCookie, Name: "sid"},
			config.Subject{Headers: cookie("a=1; sid=x")}, config.Subject{Headers: cookie("sid=y; a=1")})
		f("query", config.By{Kind: config.ByQuery, Name: "app"}, config.Subject{Args: args("app=x&b=1")}, config.Subject{Args: args("b=1&app=y")})
		f("long value", config.By{Kind: config.ByUser}, config.Subject{User: long + "a"}, config.Subject{User: long + "b"})
		f("ip", config.By{Kind: config.ByIP},
			config.Subject{IP: netip.MustParseAddr("10.0.0.1")}, config.Subject{IP: netip.MustParseAddr("10.0.0.2")})

		l := limiter(config.Limit{Name: "host", By: []config.By{{Kind: config.ByIP}}, Requests: []config.Rate{per(1, time.Hour)}})
		for _, pair := range [][2]string{{"10.0.0.9", "::ffff:10.0.0.9"}, {"2001:db8::1", "2001:db8::ffff:1"}} {
			passes(t, l, limit.Query{Subject: config.Subject{IP: netip.MustParseAddr(pair[0])}}, 1)
			if passes(t, l, limit.Query{Subject: config.Subject{IP: netip.MustParseAddr(pair[1])}}, 1) != 0 {
				t.Errorf("%s and %s, one host, have a bucket each", pair[0], pair[1])
			}
		}
		l = limiter(config.Limit{
			Name: "two", By: []config.By{{Kind: config.ByConsumer}, {Kind: config.ByUser}}, Requests: []config.Rate{per(1, time.Hour)},
		})
		passes(t, l, limit.Query{Subject: config.Subject{Consumer: "a", User: "1:b"}}, 1)
		if passes(t, l, limit.Query{Subject: config.Subject{Consumer: "a1:", User: "b"}}, 1) != 1 {
			t.Error("values that read alike when joined share a bucket")
		}
	})
}

func TestReserve_OnlyWhatMatchesCounts(t *testing.T) {
	l := newLimiter(t, limit.Config{Limits: []config.Limit{{
		Name: "x",
		Match: config.Match{
			Models: []string{"llama*"}, Consumers: []string{"dify"}, Path: "/v1/chat/*", Users: []string{"regex:^u"}, Apps: []string{"shop-*"},
			Routes: []string{"main"}, IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Query: map[string]string{"tenant": "a"},
		},
		Requests: []config.Rate{per(1, time.Hour)},
	}}}, nil)
	var tenant, other fasthttp.Args
	tenant.Parse("tenant=a")
	other.Parse("tenant=b")
	hit := limit.Query{Subject: config.Subject{
		Model: "llama3", Consumer: "dify", Path: "/v1/chat/completions", User: "u1", App: "shop-1", Route: "main",
		IP: netip.MustParseAddr("::ffff:10.1.1.1"), Args: &tenant,
	}}
	if got := passes(t, l, hit, 5); got != 1 {
		t.Errorf("%d requests that match passed, want 1", got)
	}
	for name, miss := range map[string]func(*limit.Query){
		"model":    func(q *limit.Query) { q.Model = "qwen" },
		"consumer": func(q *limit.Query) { q.Consumer = "staff" },
		"path":     func(q *limit.Query) { q.Path = "/v1/embeddings" },
		"user":     func(q *limit.Query) { q.User = "x" },
		"app":      func(q *limit.Query) { q.App = "" },
		"route":    func(q *limit.Query) { q.Route = "llama3" },
		"address":  func(q *limit.Query) { q.IP = netip.MustParseAddr("192.0.2.1") },
		"query":    func(q *limit.Query) { q.Args = &other },
	} {
		q := hit
		miss(&q)
		if got := passes(t, l, q, 5); got != 5 {
			t.Errorf("another %s: %d of 5 requests passed", name, got)
		}
		if place, _ := l.Reserve(t.Context(), &q); place != nil {
			t.Errorf("another %s: no limit matches, but there is a reservation: %+v", name, place)
		}
	}
}

func TestReserve_Refusal(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		f := func(name string, rates []config.Rate, wantAfter time.Duration, wantFinal bool, wantMessage string) {
			t.Helper()
			l := limiter(config.Limit{Name: name, Requests: rates})
			passes(t, l, limit.Query{}, 20)
			_, fail := l.Reserve(t.Context(), &limit.Query{})
			if fail == nil {
				t.Errorf("%s: not refused", name)
				return
			}
			if fail.Kind != failure.RateLimited || fail.HTTPStatus() != 429 {
				t.Errorf("%s: %v", name, fail)
			}
			if fail.RetryAfter != wantAfter || fail.Final != wantFinal {
				t.Errorf("%s: come back after %s (final %v), want %s (%v)", name, fail.RetryAfter, fail.Final, wantAfter, wantFinal)
			}
			if fail.Message != wantMessage {
				t.Errorf("%s: %s\nwant %s", name, fail.Message, wantMessage)
			}
		}
		f("quick", []config.Rate{per(10, time.Second)}, 100*time.Millisecond, false,
			`Too many requests: the limit "quick" of 10 requests per second is used up. Try again in 1 second.`)
		f("slow", []config.Rate{per(1, time.Minute)}, time.Minute, false,
			`Too many requests: the limit "slow" of 1 request per minute is used up. Try again in 60 seconds.`)
		f("hour", []config.Rate{per(2, time.Hour)}, 2*time.Minute, true,
			`Too many requests: the limit "hour" of 2 requests per hour is used up. Try again in 30 minutes.`)
		f("both", []config.Rate{per(10, time.Second), per(10, time.Minute)}, 6*time.Second, false, // the tightest speaks
			`Too many requests: the limit "both" of 10 requests per minute is used up. Try again in 6 seconds.`)
	})
}

func TestReserve_Headers(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(
			config.Limit{Name: "a", Requests: []config.Rate{per(100, time.Second), per(3, time.Minute)}},
			config.Limit{Name: "b", Requests: []config.Rate{per(50, time.Hour)}},
		)
		f := func(wait time.Duration, want map[string]string) {
			t.Helper()
			c.Advance(wait)
			place, _ := l.Reserve(t.Context(), &limit.Query{})
			var h fasthttp.ResponseHeader
			place.WriteTo(&h)
			got := map[string]string{}
			for name, value := range h.All() {
				if n, ok := strings.CutPrefix(strings.ToLower(string(name)), "x-ratelimit-"); ok {
					got[n] = string(value)
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("headers %v, want %v", got, want)
			}
		}
		want := func(remaining, reset string) map[string]string {
			return map[string]string{"limit-requests": "3", "remaining-requests": remaining, "reset-requests": reset}
		}
		f(0, want("2", "20s"))
		f(0, want("1", "40s"))
		f(1500*time.Millisecond, want("0", "58.5s"))
		f(0, want("0", "58.5s")) // refused: nothing was taken
		f(40*time.Second, want("1", "38.5s"))
	})
}

func TestReserve_NoLimits(t *testing.T) {
	l := newLimiter(t, limit.Config{}, nil)
	place, fail := l.Reserve(t.Context(), &limit.Query{})
	var h fasthttp.ResponseHeader
	place.WriteTo(&h)
	if place != nil || fail != nil || len(h.Peek("x-ratelimit-limit-requests")) > 0 {
		t.Errorf("without limits: %v, %v, %s", place, fail, h.String())
	}
}

func TestReserve_TellsRefusals(t *testing.T) {
	var refused []string
	l := newLimiter(t, limit.Config{
		Limits:   []config.Limit{{Name: "x", Requests: []config.Rate{per(1, time.Hour)}}},
		OnRefuse: func(name string, _ bool) { refused = append(refused, name) },
	}, nil)
	passes(t, l, limit.Query{}, 3)
	if !slices.Equal(refused, []string{"x", "x"}) {
		t.Errorf("told of refusals by %q, want x twice", refused)
	}
}

func TestNew_ReloadKeepsLevels(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		same := config.Limit{Name: "same", Match: config.Match{Models: []string{"a"}}, Requests: []config.Rate{per(5, time.Hour)}}
		raised := config.Limit{Name: "raised", Match: config.Match{Models: []string{"b"}}, Requests: []config.Rate{per(5, time.Hour)}}
		l := limiter(same, raised)
		passes(t, l, limit.Query{Subject: config.Subject{Model: "a"}}, 3)
		passes(t, l, limit.Query{Subject: config.Subject{Model: "b"}}, 3)
		raised.Requests = []config.Rate{per(10, time.Hour)}
		l = limiter(same, raised)
		if got := passes(t, l, limit.Query{Subject: config.Subject{Model: "a"}}, 10); got != 2 {
			t.Errorf("an unchanged limit let %d requests pass after the reload, want the 2 that were left", got)
		}
		if got := passes(t, l, limit.Query{Subject: config.Subject{Model: "b"}}, 20); got != 10 {
			t.Errorf("a raised limit let %d requests pass, want 10: its bucket is new", got)
		}
	})
}

func TestNew_Faults(t *testing.T) {
	f := func(want string, limits ...config.Limit) {
		t.Helper()
		_, err := limit.New(limit.Config{Limits: limits}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want an error with %q", err, want)
		}
	}
	f(`two limits are named "x"`, config.Limit{Name: "x"}, config.Limit{Name: "x"})
	f(`limit "x": 0 in 1s is no rate`, config.Limit{Name: "x", Requests: []config.Rate{per(0, time.Second)}})
	f(`limit "x": 9000000001/h cannot be counted exactly`, config.Limit{Name: "x", Requests: []config.Rate{per(9_000_000_001, time.Hour)}})
	if _, err := limit.New(limit.Config{Limits: []config.Limit{{Name: "x", Requests: []config.Rate{per(9_000_000_000, time.Hour)}}}}, nil); err != nil {
		t.Error(err)
	}
}

func TestMemory_IsBounded(t *testing.T) {
	c := newClock()
	memory := limit.NewMemory(6400, c.Now)
	l := newLimiter(t, limit.Config{Memory: memory, Limits: []config.Limit{
		{Name: "user", By: []config.By{{Kind: config.ByUser}}, Requests: []config.Rate{per(2, time.Minute)}},
	}}, nil)
	victim := limit.Query{Subject: config.Subject{User: "victim"}}
	passes(t, l, victim, 2)
	var user [3]byte
	flood := func() {
		for i := range 20_000 {
			user = [3]byte{byte(i), byte(i >> 8), 'u'}
			passes(t, l, limit.Query{Subject: config.Subject{User: string(user[:])}}, 1)
		}
	}
	flood()
	if memory.Len() > 6400 || memory.Lost() == 0 {
		t.Errorf("%d buckets, %d of them dropped before their time", memory.Len(), memory.Lost())
	}
	if passes(t, l, victim, 1) != 0 {
		t.Error("a flood of others has freed a caller from its limit")
	}
	c.Advance(time.Minute)
	lost := memory.Lost()
	for i := range 3200 {
		user = [3]byte{byte(i), byte(i >> 8), 'v'}
		passes(t, l, limit.Query{Subject: config.Subject{User: string(user[:])}}, 1)
	}
	if memory.Lost() != lost {
		t.Errorf("%d buckets dropped before their time, though idle ones were there", memory.Lost()-lost)
	}
}

func TestOpenRedis_BadURL(t *testing.T) {
	for _, url := range []string{"redis://:hunter2@host:port", "http://hunter2@host", "redis://:hunter2@host/%zz", ""} {
		r, err := limit.OpenRedis(limit.RedisConfig{URL: url})
		if err == nil {
			t.Errorf("%s was read", url)
			if err = errors.Join(r.Close()); err != nil {
				t.Error(err)
			}
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

package limit_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

// headers are the response headers of a place.
func headers(place *limit.Reservation) *fasthttp.ResponseHeader {
	var h fasthttp.ResponseHeader
	place.WriteTo(&h)
	return &h
}

func header(place *limit.Reservation, name string) string { return string(headers(place).Peek(name)) }

// admitted takes a place for q, which must pass.
func admitted(t testing.TB, l *limit.Limiter, q limit.Query) *limit.Reservation {
	t.Helper()
	place, fail := l.Reserve(t.Context(), &q)
	if fail != nil {
		t.Fatalf("refused: %v", fail)
	}
	return place
}

// refused takes a place for q, which must not pass.
func refused(t testing.TB, l *limit.Limiter, q limit.Query) (*limit.Reservation, *failure.Error) {
	t.Helper()
	place, fail := l.Reserve(t.Context(), &q)
	if fail == nil {
		t.Fatal("not refused")
	}
	return place, fail
}

// remaining is what a request without needs finds left of the tokens, once all that has ended is settled.
func remaining(t testing.TB, l *limit.Limiter, want string) {
	t.Helper()
	got := ""
	eventually(t, want+" tokens are left", func() bool {
		place := admitted(t, l, limit.Query{})
		got = header(place, "x-ratelimit-remaining-tokens")
		place.Settle(limit.Use{}, false)
		return got == want
	})
}

func chat(prompt, most int) limit.Query {
	return limit.Query{Subject: config.Subject{Model: "m"}, Prompt: prompt, Generates: true, MaxTokens: most}
}

func perMinute(n int64) config.Limit {
	return config.Limit{Name: "app", Tokens: []config.Rate{per(n, time.Minute)}}
}

func TestTokens_UnusedOnesComeBack(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(perMinute(1000))
		place := admitted(t, l, chat(100, 500))
		if got := header(place, "x-ratelimit-remaining-tokens"); got != "400" {
			t.Errorf("%s tokens remain beside a prompt of 100 and an answer of up to 500, want 400", got)
		}
		place.Settle(limit.Use{Input: 110, Output: 40}, true)
		place.Settle(limit.Use{}, true) // a second time it does nothing
		remaining(t, l, "850")
		place = admitted(t, l, chat(100, 500))
		place.Settle(limit.Use{}, false) // an engine failed: nothing was used
		remaining(t, l, "850")
	})
}

// TestTokens_ArticlesCase has a limit of 500 tokens a minute and Dify's default of max_tokens 512.
func TestTokens_ArticlesCase(t *testing.T) {
	onEachStore(t, func(t *testing.T, c *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(perMinute(500))
		dify := chat(60, 512)
		first := admitted(t, l, dify)
		if _, fail := refused(t, l, dify); fail.HTTPStatus() != 429 || fail.RetryAfter != time.Minute {
			t.Errorf("beside the first call: %v after %s", fail, fail.RetryAfter)
		}
		first.Settle(limit.Use{Input: 60, Output: 540}, true) // more than the bucket holds
		var fail *failure.Error
		eventually(t, "the first call is paid for", func() bool { _, fail = refused(t, l, dify); return fail.RetryAfter > time.Minute })
		want := `Too many tokens: the limit "app" of 500 tokens per minute is used up. Try again in 72 seconds.`
		if fail.Message != want || fail.RetryAfter != 72*time.Second || fail.Final {
			t.Errorf("got %q after %s (final: %v), want %q after 72s", fail.Message, fail.RetryAfter, fail.Final, want)
		}
		c.Advance(71 * time.Second)
		refused(t, l, dify)
		c.Advance(time.Second)
		admitted(t, l, dify).Settle(limit.Use{Input: 60, Output: 152}, true)
		eventually(t, "the call is paid for", func() bool { _, fail = refused(t, l, dify); return fail.RetryAfter < time.Minute })
		want = `This request may need 500 tokens: the limit "app" of 500 tokens per minute has 288 tokens left. Try again in 26 seconds.`
		if fail.Message != want {
			t.Errorf("got %q, want %q", fail.Message, want)
		}
	})
}

func TestTokens_PromptAndAnswerApart(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		l := limiter(config.Limit{Name: "in", InputTokens: []config.Rate{per(1000, time.Minute)}},
			config.Limit{Name: "out", OutputTokens: []config.Rate{per(300, time.Minute)}})
		place := admitted(t, l, chat(400, 200))
		place.Settle(limit.Use{Input: 400, Output: 200}, true)
		_, fail := refused(t, l, chat(400, 200))
		if !strings.Contains(fail.Message, `the limit "out" of 300 output tokens per minute`) {
			t.Error(fail.Message)
		}
		admitted(t, l, chat(400, 50))
		_, fail = refused(t, l, chat(400, 10))
		if !strings.Contains(fail.Message, `the limit "in" of 1000 input tokens per minute`) {
			t.Error(fail.Message)
		}
		admitted(t, l, limit.Query{Prompt: 100}) // what generates nothing needs no output
	})
}

func TestTokens_SeveralAnswersNeedMore(t *testing.T) {
	l := newLimiter(t, limit.Config{Limits: []config.Limit{perMinute(1000)}}, nil)
	q := chat(100, 200)
	q.Choices = 3
	if got := header(admitted(t, l, q), "x-ratelimit-remaining-tokens"); got != "300" {
		t.Errorf("%s tokens remain beside three answers of up to 200, want 300", got)
	}
}

// TestTokens_ExpectsWhatModelsNeed learns from answers: nine of ten need no more.
func TestTokens_ExpectsWhatModelsNeed(t *testing.T) {
	l := newLimiter(t, limit.Config{Limits: []config.Limit{perMinute(1_000_000)}}, nil)
	for i := range 100 {
		output := 40
		if i%20 == 0 {
			output = 4000
		}
		admitted(t, l, chat(10, 4096)).Settle(limit.Use{Input: 10, Output: output}, true)
		admitted(t, l, chat(10, 4096)).Settle(limit.Use{Input: 10, Output: 9}, false) // cut: tells nothing
	}
	place := admitted(t, l, chat(0, 4096))
	before := header(place, "x-ratelimit-remaining-tokens")
	place.Settle(limit.Use{}, false)
	after := header(admitted(t, l, limit.Query{}), "x-ratelimit-remaining-tokens")
	if d := atoi(t, after) - atoi(t, before); d < 40 || d > 50 {
		t.Errorf("%d tokens are set aside for answers of 40 and a rare one of 4000, want 40 to 50", d)
	}
	if got := header(admitted(t, l, chat(0, 8)), "x-ratelimit-remaining-tokens"); atoi(t, after)-atoi(t, got) > 9 {
		t.Errorf("more is set aside than the request allows: %s of %s remain", got, after)
	}
}

func TestTokens_StrictSetsAsideAll(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		strict := perMinute(1000)
		strict.Reserve, strict.MaxOutput = config.ReserveStrict, 700
		l := limiter(strict)
		_, fail := refused(t, l, chat(100, 901))
		want := `This request may need 1001 tokens, more than the limit "app" of 1000 tokens per minute allows. Please ask for a shorter answer.`
		if fail.Message != want || !fail.Final {
			t.Errorf("got %q (final: %v), want %q", fail.Message, fail.Final, want)
		}
		place := admitted(t, l, chat(100, 0))
		if got := header(place, "x-ratelimit-remaining-tokens"); got != "200" || place.MaxTokens != 700 {
			t.Errorf("%s tokens remain and the engine is told %d, want 200 and 700", got, place.MaxTokens)
		}
		if place := admitted(t, l, chat(100, 100)); place.MaxTokens != 0 {
			t.Errorf("a request that names a bound is given %d", place.MaxTokens)
		}
	})
}

// What a request may need at most is more than can be counted: a limit that reserves all of it refuses, whatever the caller writes.
func TestTokens_MoreThanCanBeCounted(t *testing.T) {
	onEachStore(t, func(t *testing.T, _ *clock, limiter func(...config.Limit) *limit.Limiter) {
		strict := perMinute(1000)
		strict.Reserve, strict.MaxOutput = config.ReserveStrict, 700
		l := limiter(strict)
		for _, choices := range []int{1 << 32, 1 << 33, 1<<33 + 1, 1 << 62, math.MaxInt} {
			q := chat(1, math.MaxInt32)
			q.Choices = choices
			refused(t, l, q)
		}
		remaining(t, l, "1000")
	})
}

// TestRefusal_SaysWhatThereWasTooMuchOf: clients of OpenAI's API tell the two by the error's type.
func TestRefusal_SaysWhatThereWasTooMuchOf(t *testing.T) {
	minute := []config.Rate{per(1, time.Minute)}
	for _, c := range []struct {
		limit config.Limit
		want  string
	}{
		{config.Limit{Name: "l", Requests: minute}, "requests"},
		{config.Limit{Name: "l", Concurrency: 1}, "requests"},
		{config.Limit{Name: "l", Tokens: minute}, "tokens"},
		{config.Limit{Name: "l", InputTokens: minute}, "tokens"},
		{config.Limit{Name: "l", OutputTokens: minute}, "tokens"},
		{config.Limit{Name: "l", Tokens: []config.Rate{per(1, config.Day)}}, "insufficient_quota"},
	} {
		l := newLimiter(t, limit.Config{Limits: []config.Limit{c.limit}}, nil)
		admitted(t, l, chat(1, 1))
		if _, fail := refused(t, l, chat(1, 1)); fail.ErrorType() != c.want {
			t.Errorf("%s: the type is %q, want %q", fail, fail.ErrorType(), c.want)
		}
	}
}

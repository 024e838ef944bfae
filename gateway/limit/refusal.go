package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

// longestRetry is the longest time that SDKs are told to come back after: they sleep inside their caller's call, and beyond
// two minutes the Python SDK gives up at once anyway.
const longestRetry = 120 * time.Second

// tightest returns the ask whose bucket makes the request wait longest, among those that refuse if any does.
func tightest(asks []ask) (tight *ask) {
	for i := range asks {
		a := &asks[i]
		if a.soft {
			continue
		}
		if tight == nil || a.wait() > tight.wait() {
			tight = a
		}
	}
	return tight
}

// refusal returns the failure of a request that a's bucket makes wait.
func (a *ask) refusal() *failure.Error {
	wait := a.wait()
	kind := failure.RateLimited
	if a.rate.gain == 0 && a.mode != places {
		kind = failure.QuotaUsedUp
	}
	e := failure.New(kind, a.words(wait)).Because(fmt.Errorf("limit %q of %s", a.rule.name, a.shape.words))
	if kind == failure.RateLimited && a.shape.measure.isTokens() {
		e.Type = "tokens"
	}
	e.RetryAfter = min(wait, longestRetry)
	e.Final = wait > longestRetry
	if a.rule.cfg.Status != 429 {
		e.Status = a.rule.cfg.Status
	}
	return e
}

// words tells a caller which limit refuses and for how long.
func (a *ask) words(wait time.Duration) string {
	if text := a.rule.cfg.Message; text != "" {
		return strings.NewReplacer("{limit}", a.rule.name, "{wait}", spoken(wait), "{seconds}", seconds(wait)).Replace(text)
	}
	switch {
	case a.need > a.rate.full:
		return fmt.Sprintf("This request may need %s, more than the limit %q of %s allows. Please ask for a shorter answer.",
			a.shape.measure.quantity(a.amount), a.rule.name, a.shape.words)
	case a.mode == places:
		return fmt.Sprintf("Too many requests: the limit %q of %s is reached. Try again in %s.", a.rule.name, a.shape.words, spoken(wait))
	}
	kind, then := "limit", " Try again in "+spoken(wait)+"."
	switch {
	case wait == never:
		kind, then = "quota", ""
	case a.rate.gain == 0:
		kind, then = "quota", " It starts anew in "+spoken(wait)+"."
	}
	limit := fmt.Sprintf("%s %q of %s", kind, a.rule.name, a.shape.words)
	if left := a.rate.left(a.debt); left > 0 {
		needs := a.amount
		if !a.rule.strict {
			needs = min(needs, a.rate.size)
		}
		return fmt.Sprintf("This request may need %s: the %s has %s left.%s", a.shape.measure.quantity(needs), limit, a.shape.measure.quantity(left), then)
	}
	if kind == "quota" {
		return fmt.Sprintf("The %s is used up.%s", limit, then)
	}
	return fmt.Sprintf("Too many %s: the %s is used up.%s", a.shape.measure.things(), limit, then)
}

// seconds returns a time to wait as a number, rounded up.
func seconds(d time.Duration) string {
	if d == never {
		return "?"
	}
	return strconv.FormatInt(int64((d-1)/time.Second+1), 10)
}

// spoken returns a time to wait in words, rounded up.
func spoken(d time.Duration) string {
	if d == never {
		return "an unknown time"
	}
	for _, unit := range []struct {
		of   time.Duration
		most int64 // counted in it; more is told in the next one
		word string
	}{{time.Second, 119, "second"}, {time.Minute, 119, "minute"}, {time.Hour, 47, "hour"}} {
		if n := (d-1)/unit.of + 1; int64(n) <= unit.most {
			return plural(int64(n), unit.word)
		}
	}
	return plural(int64((d-1)/(24*time.Hour)+1), "day")
}

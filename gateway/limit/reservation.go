package limit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Header is a set of response headers; *fasthttp.ResponseHeader is one.
type Header interface{ Set(name, value string) }

// Reservation is a request's place in its limits, seen from the tightest bucket: that which refuses longest, else that
// which has room for the fewest further requests.
type Reservation struct {
	Limit     string        // the limit's name
	Size      int64         // requests in the full bucket
	Remaining int64         // requests for which there is room now
	Reset     time.Duration // until the bucket is full again

	sizeText string
}

// WriteTo sets x-ratelimit-limit-requests, -remaining-requests and -reset-requests as OpenAI does. It sets nothing on nil.
func (r *Reservation) WriteTo(h Header) {
	if r == nil {
		return
	}
	h.Set("x-ratelimit-limit-requests", r.sizeText)
	h.Set("x-ratelimit-remaining-requests", strconv.FormatInt(r.Remaining, 10))
	h.Set("x-ratelimit-reset-requests", r.Reset.Round(time.Millisecond).String())
}

// tightest returns the tightest of the asks and how long its bucket makes the next request wait, which is this one if it was
// refused.
func tightest(asks []ask) (a *ask, wait time.Duration) {
	for i := range asks {
		b := &asks[i]
		w := time.Duration(b.rate.wait(b.level)) * time.Microsecond
		if a == nil || w > wait || w == wait && b.rate.left(b.level) < a.rate.left(a.level) {
			a, wait = b, w
		}
	}
	return a, wait
}

func (a *ask) reservation() *Reservation {
	return &Reservation{
		Limit: a.rule.name, Size: a.rate.size, Remaining: a.rate.left(a.level),
		Reset:    time.Duration(a.rate.untilFull(a.level)) * time.Microsecond,
		sizeText: a.rate.sizeText,
	}
}

// longestRetry is the longest time that SDKs are told to come back after: they sleep inside their caller's call, and beyond
// two minutes the Python SDK gives up at once anyway.
const longestRetry = 120 * time.Second

// refusal returns the failure of a request that a's bucket makes wait.
func (a *ask) refusal(wait time.Duration) *failure.Error {
	e := failure.New(failure.RateLimited, fmt.Sprintf(
		"Too many requests: the limit %q of %s is used up. Try again in %s.", a.rule.name, a.shape.words, spoken(wait)))
	e.RetryAfter = min(wait, longestRetry)
	e.Final = wait > longestRetry
	return e
}

// spoken returns a time to wait in words, rounded up.
func spoken(d time.Duration) string {
	n, word := ceilDiv(int64(d), int64(time.Second)), "second"
	if n >= 120 {
		n, word = ceilDiv(int64(d), int64(time.Minute)), "minute"
	}
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

package limit

import (
	"strconv"
	"strings"
	"time"
)

// Header is a set of response headers; *fasthttp.ResponseHeader is one.
type Header interface{ Set(name, value string) }

// seen is a bucket as the request left it.
type seen struct {
	shape *shape
	size  int64
	left  int64
	wait  time.Duration // for a request like this one
	reset time.Duration
}

// look notes the buckets of limits that refuse.
func (r *Reservation) look(asks []ask) {
	r.seen = make([]seen, 0, len(asks))
	for i := range asks {
		a := &asks[i]
		if !a.soft {
			r.seen = append(r.seen, seen{a.shape, a.rate.size, a.rate.left(a.debt), a.wait(), a.reset()})
		}
	}
}

// WriteTo sets x-ratelimit-limit-, -remaining- and -reset-requests and -tokens as OpenAI does, each from its tightest bucket (that which
// makes wait longest, else that which has room for the fewest), and RateLimit-Policy and RateLimit with all buckets, as in
// draft-ietf-httpapi-ratelimit-headers. It sets nothing on nil.
func (r *Reservation) WriteTo(h Header) {
	if r == nil || len(r.seen) == 0 {
		return
	}
	r.openAI(h, "requests", func(m measure) bool { return m == requests })
	r.openAI(h, "tokens", measure.isTokens)
	r.ietf(h)
}

func (r *Reservation) openAI(h Header, of string, counts func(measure) bool) {
	var tight *seen
	for i := range r.seen {
		s := &r.seen[i]
		if counts(s.shape.measure) && (tight == nil || s.wait > tight.wait || s.wait == tight.wait && s.left < tight.left) {
			tight = s
		}
	}
	if tight == nil {
		return
	}
	h.Set("x-ratelimit-limit-"+of, strconv.FormatInt(tight.size, 10))
	h.Set("x-ratelimit-remaining-"+of, strconv.FormatInt(tight.left, 10))
	if tight.reset != never {
		h.Set("x-ratelimit-reset-"+of, tight.reset.Round(time.Millisecond).String())
	}
}

// ietf sets the two structured fields. Money shows in millionths.
func (r *Reservation) ietf(h Header) {
	policy, state := make([]byte, 0, usualHeader), make([]byte, 0, usualHeader)
	for i := range r.seen {
		s := &r.seen[i]
		if i > 0 {
			policy, state = append(policy, ", "...), append(state, ", "...)
		}
		policy = strconv.AppendInt(append(strconv.AppendQuote(policy, s.shape.policy), ";q="...), s.size, 10)
		policy = append(policy, s.shape.policyUnit()...)
		if per := s.shape.whole.per; per > 0 && s.reset != never {
			policy = strconv.AppendInt(append(policy, ";w="...), int64(per/time.Second), 10)
		}
		state = strconv.AppendInt(append(strconv.AppendQuote(state, s.shape.policy), ";r="...), s.left, 10)
		if s.reset != never {
			state = strconv.AppendInt(append(state, ";t="...), ceilDiv(int64(s.reset), int64(time.Second)), 10)
		}
	}
	h.Set("RateLimit-Policy", string(policy))
	h.Set("RateLimit", string(state))
}

// usualHeader is the length up to which a structured field is written without growing.
const usualHeader = 512

// policyUnit is the parameter that names what is counted; requests need none.
func (s *shape) policyUnit() string {
	switch s.measure {
	case concurrency:
		return `;qu="concurrent-requests"`
	case requests:
		return ""
	}
	return `;qu="` + strings.ReplaceAll(s.measure.word(), "_", "-") + `"`
}

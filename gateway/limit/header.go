package limit

import (
	"strconv"
	"strings"
	"time"
)

// Header is a set of response headers; *fasthttp.ResponseHeader is one.
type Header interface {
	SetBytesV(name string, value []byte)
}

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
	b := make([]byte, 0, usualHeader)
	b = r.openAI(h, b, &requestHeaders, func(m measure) bool { return m == requests })
	b = r.openAI(h, b, &tokenHeaders, measure.isTokens)
	r.ietf(h, b)
}

// requestHeaders and tokenHeaders are the names of limit, remaining and reset.
var (
	requestHeaders = [...]string{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"}
	tokenHeaders   = [...]string{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"}
)

// openAI sets the three headers, by the memory of b.
func (r *Reservation) openAI(h Header, b []byte, names *[3]string, counts func(measure) bool) []byte {
	var tight *seen
	for i := range r.seen {
		s := &r.seen[i]
		if counts(s.shape.measure) && (tight == nil || s.wait > tight.wait || s.wait == tight.wait && s.left < tight.left) {
			tight = s
		}
	}
	if tight == nil {
		return b
	}
	b = strconv.AppendInt(b[:0], tight.size, 10)
	h.SetBytesV(names[0], b)
	b = strconv.AppendInt(b[:0], tight.left, 10)
	h.SetBytesV(names[1], b)
	if tight.reset != never {
		h.SetBytesV(names[2], append(b[:0], tight.reset.Round(time.Millisecond).String()...))
	}
	return b
}

// ietf sets the two structured fields, by the memory of b. Money shows in millionths.
func (r *Reservation) ietf(h Header, b []byte) {
	b = r.list(b[:0], (*seen).appendPolicy)
	h.SetBytesV("Ratelimit-Policy", b)
	h.SetBytesV("Ratelimit", r.list(b[:0], (*seen).appendState))
}

// list appends all buckets, each as item writes it.
func (r *Reservation) list(b []byte, item func(*seen, []byte) []byte) []byte {
	for i := range r.seen {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = item(&r.seen[i], b)
	}
	return b
}

func (s *seen) appendPolicy(b []byte) []byte {
	b = strconv.AppendInt(append(strconv.AppendQuote(b, s.shape.policy), ";q="...), s.size, 10)
	b = append(b, s.shape.policyUnit()...)
	if per := s.shape.whole.per; per > 0 && s.reset != never {
		b = strconv.AppendInt(append(b, ";w="...), int64(per/time.Second), 10)
	}
	return b
}

func (s *seen) appendState(b []byte) []byte {
	b = strconv.AppendInt(append(strconv.AppendQuote(b, s.shape.policy), ";r="...), s.left, 10)
	if s.reset != never {
		b = strconv.AppendInt(append(b, ";t="...), ceilDiv(int64(s.reset), int64(time.Second)), 10)
	}
	return b
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

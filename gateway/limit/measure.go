package limit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// measure is what a bucket counts.
type measure uint8

const (
	requests     measure = iota
	tokens               // of prompt and answer together
	inputTokens          // of the prompt
	outputTokens         // of the answer
	concurrency          // requests under way
	cost                 // millionths of the currency
)

// word is the measure in keys and policies' names.
func (m measure) word() string {
	return [...]string{"requests", "tokens", "input_tokens", "output_tokens", "concurrency", "cost"}[m]
}

// settles says whether what a request takes is known at its end only, so that its bucket keeps note of open reservations.
func (m measure) settles() bool { return m != requests }

// isTokens says whether the measure shows in the headers about tokens.
func (m measure) isTokens() bool { return m == tokens || m == inputTokens || m == outputTokens }

// things names what a caller has too many of.
func (m measure) things() string {
	switch m {
	case requests, concurrency:
		return "requests"
	case cost:
		return "costs"
	default:
		return "tokens"
	}
}

// quantity returns n of the measure in words for a caller. Money stands without its currency.
func (m measure) quantity(n int64) string {
	switch m {
	case requests, concurrency:
		return plural(n, "request")
	case inputTokens:
		return plural(n, "input token")
	case outputTokens:
		return plural(n, "output token")
	case cost:
		return config.Spend{N: n}.Amount()
	default:
		return plural(n, "token")
	}
}

// describe returns a bound in words for a caller.
func (m measure) describe(n int64, per time.Duration, currency string) string {
	what := m.quantity(n)
	if m == cost && currency != "" {
		what += " " + currency
	}
	switch {
	case m == concurrency:
		return what + " at a time"
	case per == config.Total:
		return what + " in total"
	}
	return what + " per " + unit(per, "second", "minute", "hour", "day", "month")
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.FormatInt(n, 10) + " " + word + "s"
}

// Use is what a request has used.
type Use struct {
	Input  int // tokens of the prompt, cached ones included
	Cached int // those of them that came from a cache
	Output int // tokens of the answer
	// Recalled says that the answer was there already, so that limits which are told so do not count the request.
	Recalled bool
}

// amount returns how much of the measure u is.
func (m measure) amount(u Use, p *config.Price) int64 {
	switch m {
	case requests, concurrency:
		return 1
	case tokens:
		return int64(u.Input) + int64(u.Output)
	case inputTokens:
		return int64(u.Input)
	case outputTokens:
		return int64(u.Output)
	case cost:
		return p.Cost(u.Input, u.Cached, u.Output)
	default:
		panic(fmt.Sprintf("BUG: unknown measure %d", m))
	}
}

package gateway

import (
	"errors"
	"math"
	"net/netip"
	"net/textproto"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

// topUp lets an operator add to a quota of the calendar, for the present day and month or for ever, of whom its limit tells apart.
func (g *Gateway) topUp(c *console.Call) (any, *failure.Error) {
	var want struct {
		Limit    string  `json:"limit"`
		Of       string  `json:"of"` // requests, tokens, input_tokens, output_tokens or cost
		Amount   float64 `json:"amount"`
		Consumer string  `json:"consumer"`
		User     string  `json:"user"`
		Model    string  `json:"model"`
		App      string  `json:"app"`
		Route    string  `json:"route"`
		IP       string  `json:"ip"`
		Headers  words   `json:"headers"`
		Query    words   `json:"query"`
	}
	if fail := c.Decode(&want); fail != nil {
		return nil, fail
	}
	q := limit.Query{Subject: config.Subject{
		Consumer: want.Consumer, User: want.User, Model: want.Model, App: want.App, Route: want.Route,
		Headers: want.Headers.canonical(), Args: want.Query,
	}}
	if want.IP != "" {
		ip, err := netip.ParseAddr(want.IP)
		if err != nil {
			return nil, failure.Bad("ip", "%q is no address.", want.IP)
		}
		q.IP = ip
	}
	amount := want.Amount
	if want.Of == "cost" {
		amount *= 1e6
	}
	if !(amount >= 1 && amount <= 1e15) {
		return nil, failure.Bad("amount", "The amount must be positive.")
	}
	err := g.state.Load().limits.TopUp(want.Limit, &q, want.Of, int64(math.Round(amount)))
	switch {
	case errors.Is(err, limit.ErrNoLimit):
		return nil, failure.Bad("limit", "There is no limit %q.", want.Limit)
	case errors.Is(err, limit.ErrNoQuota):
		return nil, failure.Bad("of", "The limit %q has no quota for a day, a month or ever that counts %q.", want.Limit, want.Of)
	case err != nil:
		return nil, failure.New(failure.LimitsAway, "The quota cannot be reached at the moment.").After(time.Second).Because(err)
	}
	g.log.Info("quota topped up by the operator", "limit", want.Limit, "of", want.Of, "amount", want.Amount)
	return map[string]any{"limit": want.Limit, "of": want.Of, "added": want.Amount}, nil
}

// words are headers or parameters as an operator names them.
type words map[string]string

// Peek is config.Headers.
func (w words) Peek(name string) []byte {
	if value, ok := w[name]; ok {
		return []byte(value)
	}
	return nil
}

// canonical writes the names as those of headers.
func (w words) canonical() words {
	out := make(words, len(w))
	for name, value := range w {
		out[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	return out
}

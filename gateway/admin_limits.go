package gateway

import (
	"errors"
	"math"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
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
		Cookies  words   `json:"cookies"`
	}
	if fail := c.Decode(&want); fail != nil {
		return nil, fail
	}
	s := g.state.Load()
	given := map[string]string{
		"consumer": want.Consumer, "user": want.User, "model": want.Model, "app": want.App, "route": want.Route, "ip": want.IP,
	}
	want.Headers.canonical().nameIn(given, config.ByHeader)
	want.Query.nameIn(given, config.ByQuery)
	want.Cookies.nameIn(given, config.ByCookie)
	whose, fail := whoseBucket(s.cfg, want.Limit, given)
	if fail != nil {
		return nil, fail
	}
	q, fail := limitQuery(given)
	if fail != nil {
		return nil, fail
	}
	amount := want.Amount
	if want.Of == "cost" {
		amount *= 1e6
	}
	if !(amount >= 1 && amount <= 1e15) {
		return nil, failure.Bad("amount", "The amount must be at least 1 (of cost a millionth) and at most 1e15 (of cost 1e9).")
	}
	err := s.limits.TopUp(want.Limit, q, want.Of, int64(math.Round(amount)))
	switch {
	case errors.Is(err, limit.ErrNoQuota):
		return nil, failure.Bad("of", "The limit %q has no quota for a day, a month or ever that counts %q.", want.Limit, want.Of)
	case err != nil:
		return nil, failure.New(failure.LimitsAway, "The quota cannot be reached at the moment.").After(time.Second).Because(err)
	}
	g.log.Info("quota topped up by the operator", "limit", want.Limit, "of", want.Of, "amount", want.Amount)
	return map[string]any{"limit": want.Limit, "of": want.Of, "added": want.Amount, "for": whose}, nil
}

// whoseBucket tells what bucket of a limit is meant by what was given, as the limit tells requests apart. What does not tell them apart
// there, and a consumer that is none, is a slip.
func whoseBucket(cfg *config.Config, name string, given map[string]string) (map[string]string, *failure.Error) {
	i := slices.IndexFunc(cfg.Limits, func(l config.Limit) bool { return l.Name == name })
	if i < 0 {
		return nil, failure.Bad("limit", "There is no limit %q.", name)
	}
	whose := map[string]string{}
	for _, by := range cfg.Limits[i].By {
		whose[by.String()] = given[by.String()]
	}
	for what, value := range given {
		if _, tells := whose[what]; value != "" && !tells {
			return nil, failure.Bad(what, "The limit %q does not tell requests apart by %s; leave it out.", name, what)
		}
	}
	if c := given["consumer"]; c != "" && !slices.ContainsFunc(cfg.Consumers, func(one config.Consumer) bool { return one.Name == c }) {
		return nil, failure.Bad("consumer", "There is no consumer %q.", c)
	}
	return whose, nil
}

// limitQuery is a request with the values that were given, by the names that limits have for them.
func limitQuery(given map[string]string) (*limit.Query, *failure.Error) {
	headers, args, cookies := words{}, words{}, words{}
	for name, value := range given {
		if kind, name, found := strings.Cut(name, ":"); found {
			map[string]words{"header": headers, "query": args, "cookie": cookies}[kind][name] = value
		}
	}
	if len(cookies) > 0 {
		headers["Cookie"] = cookies.cookies()
	}
	q := &limit.Query{Subject: config.Subject{
		Consumer: given["consumer"], User: given["user"], Model: given["model"], App: given["app"], Route: given["route"],
		Headers: headers, Args: args,
	}}
	if text := given["ip"]; text != "" {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, failure.Bad("ip", "%q is no address.", text)
		}
		q.IP = ip
	}
	return q, nil
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

// nameIn adds the words to all under the names that limits have for their kind.
func (w words) nameIn(all map[string]string, kind config.ByKind) {
	for name, value := range w {
		all[config.By{Kind: kind, Name: name}.String()] = value
	}
}

// cookies writes the words as a header.
func (w words) cookies() string {
	var list []string
	for name, value := range w {
		list = append(list, name+"="+value)
	}
	return strings.Join(list, "; ")
}

// canonical writes the names as those of headers.
func (w words) canonical() words {
	out := make(words, len(w))
	for name, value := range w {
		out[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	return out
}

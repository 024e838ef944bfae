package limit

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Query is what limits look at.
type Query struct {
	Consumer string // name of the caller, "" = anonymous
	User     string // the user field of the request
	Model    string // that the caller asks for
	Route    string // name of the route
	Path     string
	IP       netip.Addr     // the client's; an IPv6 address counts by its /64
	Headers  config.Headers // *fasthttp.RequestHeader is one; nil = none
}

// Config configures a Limiter.
type Config struct {
	Limits   []config.Limit
	Memory   *Memory            // buckets of this process; keep one over reloads; nil = a new one
	OnRefuse func(limit string) // called for each refusal with the limit's name; nil = nobody asks
}

// Limiter applies all limits of a configuration. It is safe for concurrent use and needs no closing: a reload makes a new one
// over the same Memory and Redis, and what the old one counted stays.
type Limiter struct {
	rules    []*rule
	memory   *Memory
	shared   *Redis
	onRefuse func(string)
	calls    sync.Pool
}

// call is the scratch space of one Reserve.
type call struct {
	asks  []ask
	bytes []byte // the keys, one after the other
	ends  []int
}

// New makes a limiter. Without shared the buckets live in cfg.Memory. Its error names the limit that cannot be applied.
func New(cfg Config, shared *Redis) (*Limiter, error) {
	l := &Limiter{memory: cfg.Memory, shared: shared, onRefuse: cfg.OnRefuse}
	if l.memory == nil {
		l.memory = NewMemory(0, nil)
	}
	names := make(map[string]bool, len(cfg.Limits))
	for _, c := range cfg.Limits {
		if names[c.Name] {
			return nil, fmt.Errorf("two limits are named %q", c.Name)
		}
		names[c.Name] = true
		r, err := newRule(c)
		if err != nil {
			return nil, err
		}
		l.rules = append(l.rules, r)
	}
	l.calls.New = func() any { return new(call) }
	return l, nil
}

// Reserve takes one request from every bucket that q falls into, or from none. It returns the tightest bucket, nil if no
// limit matches. When it refuses it returns both: the bucket for the headers, and a RateLimited failure.
func (l *Limiter) Reserve(ctx context.Context, q *Query) (*Reservation, *failure.Error) {
	if len(l.rules) == 0 {
		return nil, nil
	}
	c := l.calls.Get().(*call) //nolint:errcheck // nothing else is put there
	defer l.calls.Put(c)
	l.fill(c, q, true)
	if len(c.asks) == 0 {
		return nil, nil
	}
	ok := l.take(ctx, c, q)
	a, wait := tightest(c.asks)
	if ok {
		return a.reservation(), nil
	}
	if l.onRefuse != nil {
		l.onRefuse(a.rule.name)
	}
	return a.reservation(), a.refusal(wait)
}

// take asks the shared store, and the own one where there is none or it does not answer.
func (l *Limiter) take(ctx context.Context, c *call, q *Query) (ok bool) {
	if l.shared == nil {
		return l.memory.take(c.asks)
	}
	ok, err := l.shared.take(ctx, c.asks)
	if err == nil {
		return ok
	}
	l.fill(c, q, false)
	return l.memory.take(c.asks)
}

// fill collects the buckets that q falls into: the whole ones, or the share of them that this gateway may grant alone.
func (l *Limiter) fill(c *call, q *Query, whole bool) {
	c.asks, c.bytes, c.ends = c.asks[:0], c.bytes[:0], c.ends[:0]
	subject := config.Subject{Model: q.Model, Path: q.Path, Consumer: q.Consumer, Headers: q.Headers}
	for _, r := range l.rules {
		if r.match.Covers(&subject) {
			c.add(r, q, whole)
		}
	}
	start := 0
	for i, end := range c.ends { // only now the bytes stay where they are
		c.asks[i].key = c.bytes[start:end:end]
		start = end
	}
}

// add appends the buckets of one rule.
func (c *call) add(r *rule, q *Query, whole bool) {
	for i := range r.buckets {
		s := &r.buckets[i]
		a := ask{rate: s.whole, shape: s, rule: r}
		key := s.wholeKey
		if !whole {
			a.rate, key = s.share, s.shareKey
		}
		c.bytes = r.appendValues(append(c.bytes, key...), q)
		c.asks, c.ends = append(c.asks, a), append(c.ends, len(c.bytes))
	}
}

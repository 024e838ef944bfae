package limit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Query is what limits look at.
type Query struct {
	config.Subject

	Prompt    int  // estimated tokens of the prompt
	Generates bool // the answer has tokens that count
	Choices   int  // answers asked for; 0 = 1
	MaxTokens int  // that each of them may have; 0 = the request names no bound
}

// Config configures a Limiter.
type Config struct {
	Limits   []config.Limit
	Prices   config.Prices
	Memory   *Memory                           // what this process counts; keep one over reloads; nil = a new one
	OnRefuse func(limit string, enforced bool) // called for each refusal with the limit's name; nil = nobody asks
}

// Limiter applies all limits of a configuration. It is safe for concurrent use and needs no closing: a reload makes a new one
// over the same Memory and Redis, and what the old one counted stays.
type Limiter struct {
	rules    []*rule
	prices   config.Prices
	memory   *Memory
	shared   *Redis
	onRefuse func(string, bool)
	reads    bool // some limit counts tokens
	calls    sync.Pool
}

// call is the scratch space of one Reserve.
type call struct {
	asks   []ask
	bytes  []byte // the keys, one after the other
	ends   []int
	strict int // bound on output tokens for a request that names none, set by a strict rule; 0 = none
}

// New makes a limiter. Without shared the buckets live in cfg.Memory. Its error names the limit that cannot be applied.
func New(cfg Config, shared *Redis) (*Limiter, error) {
	l := &Limiter{memory: cfg.Memory, shared: shared, onRefuse: cfg.OnRefuse, prices: cfg.Prices}
	if l.memory == nil {
		l.memory = NewMemory(0, nil)
	}
	if l.onRefuse == nil {
		l.onRefuse = func(string, bool) {}
	}
	names := make(map[string]bool, len(cfg.Limits))
	for _, c := range cfg.Limits {
		if names[c.Name] {
			return nil, fmt.Errorf("two limits are named %q", c.Name)
		}
		names[c.Name] = true
		r, err := newRule(c, l.prices.Currency)
		if err != nil {
			return nil, err
		}
		l.rules = append(l.rules, r)
		for i := range r.shapes {
			l.reads = l.reads || r.shapes[i].measure.isTokens() || r.shapes[i].measure == cost
		}
	}
	l.calls.New = func() any { return new(call) }
	return l, nil
}

// ReadsPrompt says whether Reserve wants to know Query.Prompt.
func (l *Limiter) ReadsPrompt() bool { return l.reads }

// Reserve takes what the request is expected to need from every bucket that q falls into, or from none. It returns the request's
// place, nil if no limit matches, which the caller settles when the request ends. When it refuses it returns both: a place that
// holds nothing, for the headers, and the failure.
func (l *Limiter) Reserve(ctx context.Context, q *Query) (*Reservation, *failure.Error) {
	if len(l.rules) == 0 {
		return nil, nil
	}
	c := l.calls.Get().(*call) //nolint:errcheck // nothing else is put there
	defer l.calls.Put(c)
	now := l.memory.now()
	l.fill(c, q, now, true)
	if len(c.asks) == 0 {
		return nil, nil
	}
	r := &Reservation{limiter: l, model: q.Model, choices: max(1, q.Choices), MaxTokens: c.strict}
	ok, fail := l.take(ctx, c, q, r, now)
	if fail != nil {
		return nil, fail
	}
	l.countDry(c)
	r.look(c.asks)
	if ok {
		r.hold(c.asks)
		if l.shared != nil && !r.shared {
			l.fill(c, q, now, true)
			r.owe(c.asks)
		}
		if r.shared { // so that this gateway's share is not full when it has to count alone
			l.fill(c, q, now, false)
			l.memory.shadow(c.asks)
		}
		return r, nil
	}
	a := tightest(c.asks)
	l.onRefuse(a.rule.name, true)
	return r, a.refusal()
}

// countDry counts what limits that refuse nobody would have refused.
func (l *Limiter) countDry(c *call) {
	told := "" // one call a limit: its asks stand together
	for i := range c.asks {
		if a := &c.asks[i]; a.soft && !a.taken && !a.fits() && a.rule.name != told {
			told = a.rule.name
			l.onRefuse(told, false)
		}
	}
}

// take asks the shared store, and the own one where there is none or it does not answer.
func (l *Limiter) take(ctx context.Context, c *call, q *Query, r *Reservation, now time.Time) (ok bool, fail *failure.Error) {
	if l.shared == nil {
		return l.memory.take(c.asks), nil
	}
	r.id = l.shared.newID()
	ok, err := l.shared.take(ctx, r.id, c.asks)
	if err == nil {
		r.shared = true
		return ok, nil
	}
	for i := range c.asks {
		if rule := c.asks[i].rule; !rule.mayRunFree && rule.cfg.Enforce {
			l.onRefuse(rule.name, true)
			return false, failure.New(failure.LimitsAway, "Requests cannot be counted at the moment. Please try again.").After(time.Second).Because(err)
		}
	}
	l.fill(c, q, now, false)
	return l.memory.take(c.asks), nil
}

// fill collects the buckets that q falls into: the whole ones, or the share of them that this gateway may grant alone.
func (l *Limiter) fill(c *call, q *Query, now time.Time, whole bool) {
	c.asks, c.bytes, c.ends, c.strict = c.asks[:0], c.bytes[:0], c.ends[:0], 0
	for _, r := range l.rules {
		if r.cfg.Match.Covers(&q.Subject) {
			l.add(c, r, q, now, whole)
		}
	}
	c.place()
}

// place gives the asks their keys: only when all are written do the bytes stay where they are.
func (c *call) place() {
	start := 0
	for i, end := range c.ends {
		c.asks[i].key = c.bytes[start:end:end]
		start = end
	}
}

// add appends the buckets of one rule.
func (l *Limiter) add(c *call, r *rule, q *Query, now time.Time, whole bool) {
	use := Use{Input: q.Prompt}
	if q.Generates && l.reads {
		use.Output = l.output(c, r, q)
	}
	price := l.prices.Of(q.Model)
	for i := range r.shapes {
		s := &r.shapes[i]
		p := s.periodAt(now)
		a := ask{rate: s.rateOf(whole), shape: s, rule: r, soft: !r.cfg.Enforce}
		a.amount = s.measure.amount(use, price)
		a.need = a.units(a.amount)
		switch {
		case s.measure == concurrency:
			a.mode, a.keeps = places, keptTotals
		case s.measure.settles() || r.cfg.Cached == config.CachedNothing: // what may come back is leased
			a.mode = leased
		}
		if p != nil {
			a.until, a.keeps = p.end.Sub(now), p.end.Sub(now)+time.Hour
		}
		if s.whole.per == config.Total {
			a.until, a.keeps = never, keptTotals
		}
		start := len(c.bytes)
		c.bytes = r.appendTag(c.bytes, q)
		a.tag = len(c.bytes) - start
		c.bytes = s.appendBound(c.bytes, r.name, a.rate, p)
		c.asks, c.ends = append(c.asks, a), append(c.ends, len(c.bytes))
	}
}

// output returns the tokens that a rule sets aside for the answers of q.
func (l *Limiter) output(c *call, r *rule, q *Query) int {
	switch {
	case !r.strict:
		return all(q.Choices, l.memory.outputs.expect(q.Model, q.MaxTokens))
	case q.MaxTokens > 0:
		return all(q.Choices, q.MaxTokens)
	case c.strict == 0 || r.cfg.MaxOutput < c.strict:
		c.strict = r.cfg.MaxOutput
	}
	return all(q.Choices, r.cfg.MaxOutput)
}

// all is what that many answers need, or as much as can be counted: callers choose both factors.
func all(choices, each int) int {
	choices = max(1, choices)
	if each > mostUnits/choices {
		return mostUnits
	}
	return choices * each
}

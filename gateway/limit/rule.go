package limit

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// rule is one limit of the configuration, ready to be applied.
type rule struct {
	name       string
	cfg        config.Limit
	shapes     []shape
	strict     bool // reserves all that an answer may use
	mayRunFree bool // while the shared store is away
}

// shape is one bound of a rule: as configured, and the share of it that counts while the shared store is away.
type shape struct {
	measure      measure
	whole, share *rate
	policy       string // its name in headers
	words        string // for the caller
	zone         *time.Location
	period       atomic.Pointer[period] // of the last request, for bounds of the calendar
}

func newRule(c config.Limit, currency string) (*rule, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("reading limit %q: %w", c.Name, err)
	}
	r := &rule{name: c.Name, cfg: c, strict: c.Reserve == config.ReserveStrict, mayRunFree: c.RedisDown != config.RedisRefuse}
	for _, list := range []struct {
		measure measure
		rates   []config.Rate
	}{{requests, c.Requests}, {tokens, c.Tokens}, {inputTokens, c.InputTokens}, {outputTokens, c.OutputTokens}, {cost, rates(c.Cost)}} {
		for _, cr := range list.rates {
			whole, err := newRate(cr.N, cr.Per)
			if err != nil {
				return nil, fmt.Errorf("reading limit %q: %w", c.Name, err)
			}
			if err := r.add(list.measure, whole, zone, currency); err != nil {
				return nil, err
			}
		}
	}
	if c.Concurrency > 0 {
		return r, r.add(concurrency, newPlaces(int64(c.Concurrency)), zone, currency)
	}
	return r, nil
}

func rates(spends []config.Spend) []config.Rate {
	list := make([]config.Rate, len(spends))
	for i, s := range spends {
		list[i] = config.Rate(s)
	}
	return list
}

func (r *rule) add(m measure, whole *rate, zone *time.Location, currency string) error {
	for i := range r.shapes {
		if s := &r.shapes[i]; s.measure == m && s.whole.size == whole.size && s.whole.per == whole.per {
			return nil
		}
	}
	share, err := whole.share()
	if err != nil {
		return fmt.Errorf("reading limit %q: %w", r.name, err)
	}
	r.shapes = append(r.shapes, shape{
		measure: m, whole: whole, share: share, zone: zone,
		policy: policyName(r.name, m, whole), words: m.describe(whole.size, whole.per, currency),
	})
	return nil
}

func policyName(limit string, m measure, r *rate) string {
	if m == concurrency {
		return limit + ":concurrency"
	}
	return limit + ":" + m.word() + "/" + unit(r.per, "s", "min", "h", "day", "month")
}

// periodAt returns the period around now of a bound of the calendar, nil for others.
func (s *shape) periodAt(now time.Time) *period {
	if !config.Calendar(s.whole.per) {
		return nil
	}
	if p := s.period.Load(); p != nil && p.holds(now) {
		return p
	}
	p := periodAt(s.whole.per, now, s.zone)
	s.period.Store(p)
	return p
}

// rateOf returns the rate that counts: the whole one, or this gateway's share of it.
func (s *shape) rateOf(whole bool) *rate {
	if whole {
		return s.whole
	}
	return s.share
}

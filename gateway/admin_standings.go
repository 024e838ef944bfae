package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
)

// mostStandings is how many buckets one answer tells of.
const mostStandings = 200

// adminLimit is a limit and how it stands for whom the call names.
type adminLimit struct {
	Name    string       `json:"name"`
	Enforce bool         `json:"enforce"`
	By      []config.By  `json:"by"`
	Needs   []string     `json:"needs,omitempty"` // what the call has to name to be told how the limit stands
	Alone   bool         `json:"alone,omitempty"` // Redis is away: this gateway's own count of its share
	Keys    []adminStand `json:"keys"`
}

// adminStand is how a limit stands for one value of each of what it tells apart.
type adminStand struct {
	Key    map[string]string `json:"key"`
	Bounds []adminBound      `json:"bounds"`
}

// adminBound is one bound of a limit. Of cost the numbers are money.
type adminBound struct {
	Of     string      `json:"of"`
	Per    string      `json:"per,omitempty"` // none for requests at a time
	Size   json.Number `json:"size"`
	Used   json.Number `json:"used"`
	Left   json.Number `json:"left"`
	Resets *float64    `json:"resets_in_seconds,omitempty"` // until nothing is used; none where nobody knows, or never
}

// tellLimits tells how much of each limit, or of one, is used and left for the values in the query, such as consumer=dify&user=anna or
// header:X-Team=red. A limit by consumer alone is told for every consumer where none is named.
func (g *Gateway) tellLimits(c *console.Call) (any, *failure.Error) {
	s := g.state.Load()
	all, fail := c.Query(append([]string{"limit"}, toldApartBy(s.cfg.Limits)...)...)
	if fail != nil {
		return nil, fail
	}
	if name := all.Get("limit"); all.Has("limit") && !slices.ContainsFunc(s.cfg.Limits, func(l config.Limit) bool { return l.Name == name }) {
		return nil, failure.Bad("limit", "There is no limit %q.", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), reportPatience)
	defer cancel()
	limits, left, cut := []adminLimit{}, mostStandings, false
	for i := range s.cfg.Limits {
		l := &s.cfg.Limits[i]
		if all.Has("limit") && l.Name != all.Get("limit") {
			continue
		}
		told := adminLimit{Name: l.Name, Enforce: l.Enforce, By: append([]config.By{}, l.By...), Keys: []adminStand{}}
		var keys []map[string]string
		keys, told.Needs = keysOf(l, all, s.cfg.Consumers)
		if len(keys) > left {
			keys, cut = keys[:left], true
		}
		left -= len(keys)
		for _, key := range keys {
			if fail := told.add(ctx, s.limits, key); fail != nil {
				return nil, fail
			}
		}
		limits = append(limits, told)
	}
	return map[string]any{"limits": limits, "truncated": cut}, nil
}

// toldApartBy are the names of all that some limit tells apart by.
func toldApartBy(limits []config.Limit) []string {
	names := map[string]bool{}
	for i := range limits {
		for _, by := range limits[i].By {
			names[by.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// keysOf are the buckets of a limit that the query names, or the names of what it lacks.
func keysOf(l *config.Limit, q url.Values, consumers []config.Consumer) (keys []map[string]string, needs []string) {
	key := map[string]string{}
	for _, by := range l.By {
		name := by.String()
		if !q.Has(name) {
			needs = append(needs, name)
		}
		key[name] = q.Get(name)
	}
	if len(needs) == 0 {
		return []map[string]string{key}, nil
	}
	if len(l.By) > 1 || l.By[0].Kind != config.ByConsumer {
		return nil, needs
	}
	match := config.Match{Consumers: l.Match.Consumers}
	for i := range consumers {
		if name := consumers[i].Name; match.Covers(&config.Subject{Consumer: name}) {
			keys = append(keys, map[string]string{"consumer": name})
		}
	}
	return keys, nil
}

// add tells how the limit stands for one bucket.
func (a *adminLimit) add(ctx context.Context, limits *limit.Limiter, key map[string]string) *failure.Error {
	q, fail := limitQuery(key)
	if fail != nil {
		return fail
	}
	all, alone, err := limits.Standings(ctx, a.Name, q)
	if err != nil {
		return failure.New(failure.Internal, "The limit cannot be told.").Because(fmt.Errorf("limit %q: %w", a.Name, err))
	}
	a.Alone = a.Alone || alone
	stand := adminStand{Key: key}
	for i := range all {
		stand.Bounds = append(stand.Bounds, boundOf(&all[i]))
	}
	a.Keys = append(a.Keys, stand)
	return nil
}

func boundOf(s *limit.Standing) adminBound {
	number := func(n int64) json.Number {
		if s.Of == "cost" {
			return json.Number(config.Spend{N: n}.Amount())
		}
		return json.Number(fmt.Sprint(n))
	}
	b := adminBound{Of: s.Of, Size: number(s.Size), Used: number(s.Used), Left: number(s.Left)}
	if s.Per != 0 {
		_, b.Per, _ = strings.Cut(config.Rate{N: 1, Per: s.Per}.String(), "/")
	}
	if s.Resets >= 0 {
		seconds := s.Resets.Round(time.Millisecond).Seconds()
		b.Resets = &seconds
	}
	return b
}

package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/cache"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/guard"
	"github.com/warmlane/warmlane/gateway/identity"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/observe"
	"github.com/warmlane/warmlane/gateway/route"
	"github.com/warmlane/warmlane/gateway/usage"
)

// state is everything that a configuration makes. It is not changed; a request sees one state from its beginning to its end.
type state struct {
	cfg       *config.Config
	keys      *identity.Keys
	table     *route.Table
	limits    *limit.Limiter
	guard     *guard.Guard // nil without rules
	pools     map[string]*pool
	providers map[string]*outside
	redis     *redis // nil: none
	answers   *cache.Cache
	usage     *usage.Book
	started   time.Time

	// Gateway.mu guards what follows.

	users   int           // requests that have not ended
	retired bool          // another state is in force
	gone    chan struct{} // closed when it is retired and its last request has ended
}

// build makes a state. Whatever the configuration has left as it was is the same thing as in old, the present state: pools, providers,
// connections. old is nil at the start.
func (g *Gateway) build(cfg *config.Config, old *state) (*state, error) {
	s := &state{
		cfg: cfg, table: route.New(cfg), started: time.Now(), gone: make(chan struct{}),
		pools: make(map[string]*pool, len(cfg.Pools)), providers: make(map[string]*outside, len(cfg.Providers)),
	}
	if old == nil {
		old = &state{cfg: &config.Config{}}
	}
	var errs []error
	var err error
	if sameConsumers(cfg, old.cfg) && old.keys != nil {
		s.keys = old.keys
	} else if s.keys, err = identity.New(cfg.Consumers, g.log); err != nil {
		errs = append(errs, fmt.Errorf("consumers: %w", err))
	}
	if s.guard, err = guard.New(cfg.Guard, g.metrics.GuardFound); err != nil {
		errs = append(errs, fmt.Errorf("guard: %w", err))
	}
	for _, pc := range cfg.Pools {
		p := old.pools[pc.Name]
		if p == nil || !reflect.DeepEqual(p.cfg, pc) {
			if p, err = newPool(pc, p, g.log); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		s.pools[pc.Name] = p
	}
	for _, pc := range cfg.Providers {
		p := old.providers[pc.Name]
		if p == nil || !reflect.DeepEqual(p.cfg, pc) {
			if p, err = newOutside(pc, p, g.log); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		s.providers[pc.Name] = p
	}
	if len(errs) == 0 {
		s.redis, err = g.openRedis(cfg.Redis, old.redis)
		errs = append(errs, err)
		s.answers, err = g.openAnswers(cfg, old)
		errs = append(errs, err)
		s.usage, err = g.openUsage(cfg, old)
		errs = append(errs, err)
	}
	s.limits, err = limit.New(limit.Config{Limits: cfg.Limits, Prices: cfg.Prices, Memory: g.buckets, OnRefuse: g.metrics.LimitRefused}, s.redis.store())
	if err != nil {
		errs = append(errs, fmt.Errorf("limits: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		shared := old.parts()
		for p := range s.parts() {
			if _, kept := shared[p]; !kept {
				p.Close()
			}
		}
		return nil, err
	}
	return s, nil
}

// sameConsumers says whether the callers and the files with the keys of their tokens are the same.
func sameConsumers(a, b *config.Config) bool {
	if !reflect.DeepEqual(a.Consumers, b.Consumers) {
		return false
	}
	for i := range a.Consumers {
		if !a.SameFile(b, a.Consumers[i].JWT.JWKS) {
			return false
		}
	}
	return true
}

// labels are the values that metrics may be labelled with.
func (s *state) labels() (models, pools, limits []string) {
	for _, m := range s.table.Models() {
		models = append(models, m.Name)
	}
	for _, p := range s.cfg.Pools {
		pools = append(pools, p.Name)
	}
	for _, p := range s.cfg.Providers {
		pools = append(pools, p.Name)
	}
	for _, l := range s.cfg.Limits {
		limits = append(limits, l.Name)
	}
	return models, pools, limits
}

// identify finds the caller by the head of a request. ip is nil where only the head is known.
func (s *state) identify(h *fasthttp.RequestHeader, ip func() netip.Addr) (identity.Consumer, *failure.Error) {
	if s.keys.Open() {
		return identity.Consumer{}, nil
	}
	call := identity.Call{
		Authorization: h.Peek("Authorization"), APIKey: h.Peek("Api-Key"), XAPIKey: h.Peek("X-Api-Key"),
		Path: string(pathOf(h)), Now: time.Now(), Early: ip == nil,
	}
	if ip != nil {
		call.IP = ip()
	}
	return s.keys.Identify(&call)
}

// models lists what the caller may use, with the context length where an engine tells it.
func (s *state) models(c identity.Consumer, now time.Time) []api.Model {
	list := []api.Model{}
	for _, m := range s.public() {
		if c.Allows(m.Name) {
			list = append(list, s.card(m, now))
		}
	}
	return list
}

// listed returns the pools whose engines list a model as an adapter.
func (s *state) listed(model string) []string {
	var pools []string
	for _, pc := range s.cfg.Pools {
		if s.pools[pc.Name].lists(model) {
			pools = append(pools, pc.Name)
		}
	}
	return pools
}

// public are the models that the configuration names, then the adapters that requests find besides.
func (s *state) public() []route.Model {
	named := s.table.Models()
	all := slices.Clone(named)
	for _, pc := range s.cfg.Pools {
		for _, name := range s.pools[pc.Name].poller.Adapters() {
			if slices.ContainsFunc(named, func(m route.Model) bool { return m.Name == name }) {
				continue
			}
			r, fail := s.table.Find(route.Query{Subject: config.Subject{Model: name}, Listed: s.listed})
			if fail == nil && r.Targets[0].Pool == pc.Name {
				all = append(all, route.Model{Name: name, Pool: pc.Name})
			}
		}
	}
	return all
}

func (s *state) model(c identity.Consumer, id string, now time.Time) (api.Model, bool) {
	id, _ = s.table.Split(id, s.listed)
	for _, m := range s.public() {
		if m.Name == id && c.Allows(id) {
			return s.card(m, now), true
		}
	}
	return api.Model{}, false
}

func (s *state) card(m route.Model, now time.Time) api.Model {
	card := api.Model{ID: m.Name, Created: s.started.Unix(), OwnedBy: "warmlane"}
	p := s.pools[m.Pool]
	if p == nil {
		return card
	}
	if p.lists(m.Name) {
		card.Parent = p.served()
	}
	for _, e := range p.Status(now) {
		if n := e.Load.MaxModelLen; n > 0 && (card.MaxModelLen == 0 || n < card.MaxModelLen) {
			card.MaxModelLen = n
		}
	}
	return card
}

// canServe says whether any request has somewhere to go.
func (s *state) canServe(now time.Time) bool {
	if len(s.providers) > 0 {
		return true
	}
	for _, p := range s.pools {
		for _, e := range p.Status(now) {
			if e.Admin == balancer.Enabled && e.State != balancer.Down && e.State != balancer.Ejected {
				return true
			}
		}
	}
	return false
}

// gauges describes every endpoint for the metrics.
func (g *Gateway) gauges(now time.Time) []observe.EndpointGauge {
	s := g.state.Load()
	var all []observe.EndpointGauge
	for _, pc := range s.cfg.Pools {
		for _, e := range g.status(s.pools[pc.Name], now) {
			all = append(all, gauge(pc.Name, &e))
		}
	}
	return all
}

// learned describes every pool as a whole for the metrics.
func (s *state) learned() []observe.PoolGauge {
	all := make([]observe.PoolGauge, 0, len(s.pools))
	for name, p := range s.pools {
		l := p.Learned()
		all = append(all, observe.PoolGauge{Pool: name, Answer: l.Answer, Prompt: l.Prompt, Uncached: l.Uncached, IndexBytes: l.IndexBytes})
	}
	return all
}

func gauge(pool string, e *balancer.EndpointStatus) observe.EndpointGauge {
	v := observe.EndpointGauge{
		Pool: pool, URL: e.URL, State: stateWord(e), Reason: e.Reason,
		InFlight: e.InFlight, Decoding: e.Decoding, Prefill: e.Pending, Context: e.Context,
		StepBase: e.Step, StepToken: e.PerContext, PrefillRate: e.Rate, FirstFloor: e.Floor, Trust: e.Trust,
		Blocks: e.IndexBlocks, BlockBudget: e.IndexBudget, Ejections: e.Ejections, Sent: e.Sent,
		Foreign: e.Foreign, Endings: endings(e), Running: nan, Waiting: nan, KVUse: nan, ScrapeAge: -1,
	}
	if e.HasLoad {
		v.Running, v.Waiting, v.KVUse, v.ScrapeAge = e.Load.Running, e.Load.Waiting, e.Load.KVUse, e.LoadAge
	}
	return v
}

// stateWord is what the operator wants where he wants something, else what the balancer found.
func stateWord(e *balancer.EndpointStatus) string {
	if e.Admin != balancer.Enabled {
		return e.Admin.String()
	}
	return e.State.String()
}

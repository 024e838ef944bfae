package gateway

import (
	"math"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
)

var nan = math.NaN()

// registerAdmin puts what the pools tell and take under /admin/v1/.
func (g *Gateway) registerAdmin(mux *console.Mux) {
	mux.Handle("GET", "/admin/v1/pools", func(*console.Call) (any, *failure.Error) {
		s, now := g.state.Load(), time.Now()
		pools := make([]adminPool, 0, len(s.pools))
		for _, pc := range s.cfg.Pools {
			pools = append(pools, g.describe(s.pools[pc.Name], now))
		}
		return map[string]any{"pools": pools}, nil
	})
	mux.Handle("GET", "/admin/v1/pools/{name}", func(c *console.Call) (any, *failure.Error) {
		p := g.state.Load().pools[c.Param("name")]
		if p == nil {
			return nil, failure.Newf(failure.PathNotFound, "There is no pool %q.", c.Param("name"))
		}
		return g.describe(p, time.Now()), nil
	})
	mux.Handle("GET", "/admin/v1/endpoints", func(*console.Call) (any, *failure.Error) {
		s, now := g.state.Load(), time.Now()
		endpoints := []adminEndpoint{}
		for _, pc := range s.cfg.Pools {
			for _, e := range g.describe(s.pools[pc.Name], now).Endpoints {
				e.Pool = pc.Name
				endpoints = append(endpoints, e)
			}
		}
		return map[string]any{"endpoints": endpoints}, nil
	})
	mux.Handle("POST", "/admin/v1/endpoints/state", g.setEndpoint)
	mux.Handle("GET", "/admin/v1/limits", g.tellLimits)
	mux.Handle("POST", "/admin/v1/limits/top-up", g.topUp)
	mux.Handle("GET", "/admin/v1/usage", g.reportUsage)
	mux.Handle("GET", "/admin/v1/providers", g.listProviders)
	mux.Handle("GET", "/admin/v1/config", func(*console.Call) (any, *failure.Error) { return g.describeConfig(), nil })
	mux.Handle("POST", "/admin/v1/reload", g.reloadNow)
	mux.Handle("DELETE", "/admin/v1/cache", g.dropAnswers)
	mux.Handle("DELETE", "/admin/v1/cache/{rule}", g.dropAnswers)
}

// setEndpoint lets an operator drain, disable or enable an endpoint, or all ranks of an engine by its URL. What he sets stays over
// reloads and is lost at a restart.
func (g *Gateway) setEndpoint(c *console.Call) (any, *failure.Error) {
	var want struct {
		Pool  string `json:"pool"`
		URL   string `json:"url"`
		State string `json:"state"`
	}
	if fail := c.Decode(&want); fail != nil {
		return nil, fail
	}
	g.turning.Lock() // a pool that takes this one's place takes over the state before or after, not in between
	defer g.turning.Unlock()
	p := g.state.Load().pools[want.Pool]
	if p == nil {
		return nil, failure.Bad("pool", "There is no pool %q.", want.Pool)
	}
	for _, s := range []balancer.AdminState{balancer.Enabled, balancer.Draining, balancer.Disabled} {
		if s.String() != want.State {
			continue
		}
		urls := p.named(want.URL)
		if len(urls) == 0 {
			return nil, failure.Bad("url", "The pool %q has no endpoint %q.", want.Pool, want.URL)
		}
		for _, url := range urls {
			if err := p.SetAdmin(url, s); err != nil {
				return nil, failure.New(failure.Internal, "The endpoint is gone.").Because(err)
			}
			for _, before := range g.replacedBy(p) {
				_ = before.SetAdmin(url, s) // requests that wait there must not go to it either
				before.nudge()
			}
			g.log.Info("endpoint state set by the operator", "pool", want.Pool, "endpoint", url, "state", want.State)
		}
		p.nudge() // for those who wait in its queue
		return g.describe(p, time.Now()), nil
	}
	return nil, failure.Bad("state", "The state %q is none of enabled, draining, disabled.", want.State)
}

// adminPool is a pool as the admin API shows it. Times are seconds; what is not known is null.
type adminPool struct {
	Name      string          `json:"name"`
	Policy    string          `json:"policy"`
	Engine    string          `json:"engine"`
	Queue     adminQueue      `json:"queue"`
	Endpoints []adminEndpoint `json:"endpoints"`
}

type adminEndpoint struct {
	Pool   string `json:"pool,omitempty"`
	URL    string `json:"url"`
	Admin  string `json:"admin"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Out is how much longer a pause or a time out lasts.
	Out *float64 `json:"out_for_seconds,omitempty"`

	InFlight int    `json:"in_flight"`
	Decoding int    `json:"decoding"`
	Pending  int    `json:"pending_prefill_tokens"`
	Context  int    `json:"context_tokens"`
	Sent     uint64 `json:"requests"`

	Measured   bool     `json:"measured"`
	Step       *float64 `json:"step_seconds"`
	PerContext *float64 `json:"step_seconds_per_context_token"`
	Rate       *float64 `json:"prefill_tokens_per_second"`
	Floor      *float64 `json:"first_token_floor_seconds"`
	Trust      *float64 `json:"index_trust"`

	IndexBlocks int `json:"index_blocks"`
	IndexBudget int `json:"index_budget_blocks"`

	Foreign float64  `json:"foreign_requests"`
	Running *float64 `json:"scraped_running"`
	Waiting *float64 `json:"scraped_waiting"`
	KVUse   *float64 `json:"scraped_kv_use"`
	Age     *float64 `json:"scrape_age_seconds"`

	Failures  map[string]uint64 `json:"endings"`
	Ejections uint64            `json:"ejections"`
}

func (g *Gateway) describe(p *pool, now time.Time) adminPool {
	d := adminPool{Name: p.Name(), Policy: p.PolicyName(), Engine: p.cfg.Engine, Queue: describeQueue(p.Queue(now))}
	for _, e := range g.status(p, now) {
		d.Endpoints = append(d.Endpoints, describeEndpoint(&e, now))
	}
	return d
}

func describeEndpoint(e *balancer.EndpointStatus, now time.Time) adminEndpoint {
	d := adminEndpoint{
		URL: e.URL, Admin: e.Admin.String(), State: e.State.String(), Reason: e.Reason,
		InFlight: e.InFlight, Decoding: e.Decoding, Pending: e.Pending, Context: e.Context, Sent: e.Sent,
		Measured: e.Measured, Step: finite(e.Step), PerContext: finite(e.PerContext), Rate: finite(e.Rate), Floor: finite(e.Floor),
		Trust: finite(e.Trust), IndexBlocks: e.IndexBlocks, IndexBudget: e.IndexBudget,
		Foreign: e.Foreign, Failures: endings(e), Ejections: e.Ejections,
	}
	if !e.Until.IsZero() {
		left := max(0, e.Until.Sub(now).Seconds())
		d.Out = &left
	}
	if e.HasLoad {
		age := e.LoadAge.Seconds()
		d.Running, d.Waiting, d.KVUse, d.Age = finite(e.Load.Running), finite(e.Load.Waiting), finite(e.Load.KVUse), &age
	}
	return d
}

// endings are the attempts that ended, by the name of their cause.
func endings(e *balancer.EndpointStatus) map[string]uint64 {
	by := map[string]uint64{}
	for c, n := range e.Failures {
		if n > 0 {
			by[balancer.Cause(c).String()] = n
		}
	}
	return by
}

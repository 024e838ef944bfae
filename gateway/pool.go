package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/upstream"
	"github.com/warmlane/warmlane/scraper"
	"github.com/warmlane/warmlane/tokenize"
)

// pool is a balancer pool with what it takes to reach its endpoints.
type pool struct {
	*balancer.Pool
	cfg     config.Pool
	servers []*upstream.Server // by endpoint index
	tokens  *tokenize.Estimator
	poller  *scraper.Poller
	spoken  atomic.Pointer[spoken] // nil until a generation has been answered
	wake    chan struct{}          // a lease has ended badly: look for due probes now
	budget  *upstream.Budget       // of retries
	hedging *hedging               // nil: no request is sent twice

	outs outs

	life             context.Context // of the work for it; set by start
	end, stopPolling context.CancelFunc
	told             balancer.Cursor // up to which the pool after it knows what it did
}

// newPool makes a pool. It reaches the endpoints that old, which may be nil, has too by the same servers.
func newPool(cfg config.Pool, old *pool, log *slog.Logger) (*pool, error) {
	policy, err := policies.New(cfg.Policy.Name, policyParams(&cfg))
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w", cfg.Name, err)
	}
	bc := balancer.PoolConfig{
		Name: cfg.Name, Policy: policy, DefaultKVTokens: cfg.KVTokens,
		ProbeHealthEvery: cfg.Health.Interval.Std(), ProbeIdle: cfg.ProbeIdle, Seed: uint64(time.Now().UnixNano()),
	}
	bc.EjectAfter, bc.EjectFor, bc.EjectMax = cfg.Health.EjectAfter, cfg.Health.EjectFor.Std(), cfg.Health.EjectMax.Std()
	bc.Queue = balancer.QueueConfig{Max: cfg.Queue.Max, Wait: cfg.Queue.Wait.Std(), Late: cfg.Queue.Late.Std(), Shed: cfg.Queue.Shed.Std()}
	p := &pool{cfg: cfg, tokens: tokenize.NewEstimator(), wake: make(chan struct{}, 1), budget: new(upstream.Budget), hedging: newHedging(cfg.Hedge)}
	name, value := credential(cfg.Auth, cfg.APIKey.Reveal())
	trust, client, err := trusted(&cfg.TLS)
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w", cfg.Name, err)
	}
	for _, e := range cfg.Endpoints {
		for rank := range e.DataParallel {
			ec := balancer.EndpointConfig{URL: e.URL, MaxConcurrency: e.MaxConcurrency, Weight: e.Weight}
			uc := upstream.Config{URL: e.URL, Connect: cfg.Timeouts.Connect.Std(), Header: name, Value: value, TLS: trust}
			if e.DataParallel > 1 {
				ec.URL = scraper.RankURL(e.URL, rank)
				uc.Lines = fmt.Sprintf("%s: %d\r\n", headerRank, rank)
			}
			s, err := old.server(uc)
			if err != nil {
				return nil, fmt.Errorf("pool %q: %w", cfg.Name, err)
			}
			bc.Endpoints = append(bc.Endpoints, ec)
			p.servers = append(p.servers, s)
		}
	}
	if p.Pool, err = balancer.NewPool(bc); err != nil {
		return nil, err
	}
	if p.poller, err = scraper.New(scraper.Config{
		Engine: cfg.Engine, Path: cfg.Metrics.Path, Port: cfg.Metrics.Port, Interval: cfg.Metrics.Interval.Std(),
		Generic: cfg.Metrics.Names, Header: scraper.Header{Name: name, Value: value}, TLS: client,
	}, p.Pool, log); err != nil {
		return nil, err
	}
	return p, nil
}

// policyParams are the policy's parameters, with the bonus for conversations where callers name them.
func policyParams(cfg *config.Pool) map[string]any {
	const bonus = "session_bonus"
	if _, given := cfg.Policy.Params[bonus]; given || cfg.Policy.Name != "warm" || len(cfg.Session.Headers) == 0 {
		return cfg.Policy.Params
	}
	params := map[string]any{bonus: cfg.Session.Bonus.Std().Seconds()}
	maps.Copy(params, cfg.Policy.Params)
	return params
}

// trusted is what a pool says about TLS, for its requests and for its scrapes; nil for what it leaves to the system.
func trusted(t *config.ClientTLS) (*upstream.TLS, *tls.Config, error) {
	if t.Empty() {
		return nil, nil, nil
	}
	trust := &upstream.TLS{ServerName: t.ServerName, Insecure: t.Insecure}
	trust.CA, trust.Cert, trust.Key = t.PEM()
	client, err := trust.Client()
	return trust, client, err
}

// credential is the header that carries the pool's key.
func credential(a config.Auth, key string) (name, value string) {
	if key == "" {
		return "", ""
	}
	switch a.Scheme {
	case config.AuthBare:
		return "Authorization", key
	case config.AuthHeader:
		return a.Header, key
	default:
		return "Authorization", "Bearer " + key
	}
}

// lists says whether an engine of the pool lists the model as an adapter.
func (p *pool) lists(model string) bool {
	_, found := slices.BinarySearch(p.poller.Adapters(), model)
	return found
}

// serverAt is the server of the endpoint with that URL, nil if the pool has none.
func (p *pool) serverAt(url string) *upstream.Server {
	for i, e := range p.Endpoints() {
		if e.URL() == url {
			return p.servers[i]
		}
	}
	return nil
}

// named are the endpoints that an operator means by a URL: one, or all ranks of an engine.
func (p *pool) named(url string) []string {
	url = strings.TrimRight(url, "/")
	var urls []string
	for _, e := range p.Endpoints() {
		engine, _, ranked := strings.Cut(e.URL(), "#")
		if e.URL() == url || ranked && engine == url {
			urls = append(urls, e.URL())
		}
	}
	return urls
}

// server is the server with that configuration: the pool's own, if it has one, with its idle connections.
func (p *pool) server(cfg upstream.Config) (*upstream.Server, error) {
	if p != nil {
		for _, s := range p.servers {
			if reflect.DeepEqual(s.Config(), cfg) {
				return s, nil
			}
		}
	}
	return upstream.NewServer(cfg)
}

// Close ends the work for the pool.
func (p *pool) Close() {
	if p.end != nil {
		p.end()
	}
}

// nudge lets the prober look at once: an endpoint has just failed.
func (p *pool) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Package scraper reads the engines behind a pool and tells the balancer what they say of themselves: their load, the size of their KV
// memory, when they started, which models they serve and how long a context may be. It only reads; health probes are made elsewhere.
//
// An engine whose data-parallel ranks are endpoints of their own (see RankURL) is read once for all of them, each by its own rows; where
// the engine is one endpoint, its ranks are summed up.
//
// Guarantees: an engine is asked by one goroutine, never twice at once; a page that cannot be had or read is reported as unobserved,
// never as idle; one slow or dead endpoint delays no other; when Run returns, nothing runs on.
//
// Cost: one GET a second for each engine, which costs a vLLM 8 ms of processor time and this process about 0.2 ms; one more GET a minute
// for the model list; two buffers of about the page's size and one idle connection for each engine.
package scraper

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/scraper/engines"
)

// Config says how the engines of one pool are read. The zero Config finds out everything by itself.
type Config struct {
	// Engine is one of engines.Names(). Empty means auto: told from what each endpoint exposes, so that a pool may mix families.
	Engine string
	// Generic names the metrics of an engine of no known family, keyed by engines.Signals(). For Engine "generic" only, of which nothing is
	// read without them.
	Generic map[string]string
	// Path is the path of the metrics page below the endpoint's base URL; empty means the family's own.
	Path string
	// Port is the port of the metrics page when it differs from the endpoint's, else 0. On a port of its own the page lies at Path alone,
	// without the base path of the endpoint's URL.
	Port int
	// Interval is the mean time between two readings of an endpoint; 0 means 1 s. Single ones vary by a tenth of it.
	Interval time.Duration
	// Timeout bounds each request; 0 means 2 s.
	Timeout time.Duration
	// Header is the engine's credential, sent with every request. An empty Name sends none.
	Header Header
	// TLS is for https endpoints; nil means the system's authorities.
	TLS *tls.Config
}

// Header is one request header.
type Header struct{ Name, Value string }

// Defaults of Config.
const (
	defaultInterval = time.Second
	defaultTimeout  = 2 * time.Second
)

// Pool is what the scraper reports to.
type Pool interface {
	Name() string
	Endpoints() []*balancer.Endpoint
	Observe(e *balancer.Endpoint, l balancer.Load, now time.Time)
	Unobserved(e *balancer.Endpoint, now time.Time)
}

var _ Pool = (*balancer.Pool)(nil)

// Poller reads all endpoints of one pool.
type Poller struct {
	client   *http.Client
	watches  []*watch
	adapters atomic.Pointer[[]string]
	mu       sync.Mutex // held while adapters is made anew
}

// New makes a Poller for a pool. It does nothing until Run. The error says what in cfg or in an endpoint's URL cannot be used.
func New(cfg Config, pool Pool, log *slog.Logger) (*Poller, error) {
	table, err := cfg.table()
	if err != nil {
		return nil, fmt.Errorf("reading engines of pool %q: %w", pool.Name(), err)
	}
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	p := &Poller{client: newClient(cfg.TLS)}
	if cfg.Engine == generic && table == nil {
		return p, nil
	}
	engines := map[string]*watch{} // those with ranks, by URL
	for _, e := range pool.Endpoints() {
		base, rank, err := splitRank(e.URL())
		if err != nil {
			return nil, fmt.Errorf("reading engines of pool %q: %w", pool.Name(), err)
		}
		w := engines[base.String()]
		if w == nil || rank < 0 {
			w = newWatch(cfg, table, p, pool, base, log)
			p.watches = append(p.watches, w)
		}
		if rank >= 0 {
			engines[base.String()] = w
		}
		w.members = append(w.members, &member{endpoint: e, rank: rank})
		w.ranks = max(w.ranks, rank+1)
	}
	return p, nil
}

// generic is the Engine whose metrics are named by Config.Generic.
const generic = "generic"

// table is the one that the configuration names; nil for auto, and for a generic engine without names.
func (cfg *Config) table() (*engines.Table, error) {
	switch cfg.Engine {
	case "", engines.Auto:
		return nil, nil
	case generic:
		if len(cfg.Generic) == 0 {
			return nil, nil
		}
		return engines.Generic(cfg.Generic)
	default:
		return engines.Lookup(cfg.Engine)
	}
}

// Run reads until ctx ends and returns when the last reading has been given up. It is to be called once.
func (p *Poller) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, w := range p.watches {
		running.Go(func() { w.run(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	p.client.CloseIdleConnections()
}

// Family is the engine family of an endpoint of the pool, such as "vllm": the configured one, or the one it was told from its page. It is
// empty while not known.
func (p *Poller) Family(e *balancer.Endpoint) string {
	for _, w := range p.watches {
		reads := slices.ContainsFunc(w.members, func(m *member) bool { return m.endpoint == e })
		if t := w.known.Load(); reads && t != nil {
			return t.Family
		}
	}
	return ""
}

// Adapters are the LoRA adapters that engines of the pool list and answer to by name, each once. Engines that answer to any name are left
// out: a listed one may have to be asked for in another way. The caller must not change the list.
func (p *Poller) Adapters() []string {
	if list := p.adapters.Load(); list != nil {
		return *list
	}
	return nil
}

// gatherAdapters makes the list anew after an engine has told its models.
func (p *Poller) gatherAdapters() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, w := range p.watches {
		if told := w.adapters.Load(); told != nil {
			list = append(list, *told...)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	p.adapters.Store(&list)
}

package balancer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/warmlane/warmlane/balancer/affinity"
)

// PoolConfig makes a pool. Zero values mean the default named at each field.
type PoolConfig struct {
	// Name is the pool's name in configuration, logs and metrics.
	Name string
	// Policy chooses; required.
	Policy Policy
	// Endpoints are the replicas; at least one, with distinct URLs.
	Endpoints []EndpointConfig
	// Seed makes the pool's random choices repeatable. 0 is a seed like any other.
	Seed uint64
	// EjectAfter is the number of failures of distinct requests that eject an endpoint; 3.
	EjectAfter int
	// EjectFor is the first time out of an ejected endpoint, doubled each time up to EjectMax; 2 s and 60 s.
	EjectFor, EjectMax time.Duration
	// DefaultKVTokens is the budget of the prefix index for an endpoint whose engine does not tell its own; 250,000.
	DefaultKVTokens int
	// ProbeIdle asks for a tiny generation on endpoints that have been idle for 5 s in a pool that has traffic, so
	// that their speed stays known. Without it learned differences fade in silence.
	ProbeIdle bool
	// ProbeHealthEvery is the interval of health probes on endpoints in service; 0 leaves them out.
	ProbeHealthEvery time.Duration
	// BlockTokens is the believed length of one block of the prompt chain in tokens; 64.
	BlockTokens int
}

// EndpointConfig names one replica.
type EndpointConfig struct {
	// URL is the base URL, and the endpoint's identity over reloads.
	URL string
	// MaxConcurrency caps our requests in flight there; 0 means no cap.
	MaxConcurrency int
	// Weight is the endpoint's share for policies that honour one; 0 means 1. Speed is learned, not configured.
	Weight float64
}

const maxEndpoints = 1 << 15

// Pool is a set of endpoints that serve the same model. All methods may be called from any goroutine.
type Pool struct {
	cfg       PoolConfig
	endpoints []*Endpoint
	byURL     map[string]*Endpoint

	mu    sync.Mutex // guards all below and the state of the endpoints; held for microseconds, never over I/O
	rand  *rand.Rand
	index *affinity.Index
	last  int
}

// NewPool makes a pool with all endpoints in service and nothing learned.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("making pool %q: %w", cfg.Name, err)
	}
	p := &Pool{
		cfg:   cfg,
		byURL: make(map[string]*Endpoint, len(cfg.Endpoints)),
		rand:  rand.New(rand.NewPCG(cfg.Seed, 0x9e3779b97f4a7c15)), //nolint:gosec // a choice, not a secret
		index: affinity.New(len(cfg.Endpoints)),
		last:  -1,
	}
	for i, ec := range cfg.Endpoints {
		if p.byURL[ec.URL] != nil {
			return nil, fmt.Errorf("making pool %q: endpoint %s is listed twice", cfg.Name, ec.URL)
		}
		e := newEndpoint(i, ec)
		p.endpoints = append(p.endpoints, e)
		p.byURL[ec.URL] = e
	}
	return p, nil
}

func (c *PoolConfig) complete() error {
	switch {
	case c.Policy == nil:
		return fmt.Errorf("no policy")
	case len(c.Endpoints) == 0:
		return fmt.Errorf("no endpoints")
	case len(c.Endpoints) > maxEndpoints:
		return fmt.Errorf("%d endpoints, at most %d", len(c.Endpoints), maxEndpoints)
	}
	setDefault(&c.EjectAfter, 3)
	setDefault(&c.EjectFor, 2*time.Second)
	setDefault(&c.EjectMax, 60*time.Second)
	setDefault(&c.DefaultKVTokens, 250_000)
	setDefault(&c.BlockTokens, 64)
	return nil
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Name is the pool's name.
func (p *Pool) Name() string { return p.cfg.Name }

// PolicyName is the name of the pool's policy.
func (p *Pool) PolicyName() string { return p.cfg.Policy.Name() }

// Endpoints are the pool's endpoints in configured order. The slice must not be changed.
func (p *Pool) Endpoints() []*Endpoint { return p.endpoints }

// Adopt takes over what old has learned about endpoints with the same URL: speeds, index, health and admin state.
// Leases of old stay with old; its load is not taken over. Call it before p serves.
func (p *Pool) Adopt(old *Pool) {}

// Choose picks an endpoint for r by the pool's policy, charges r to it and returns the lease, which must be ended.
// The error is [ErrNoEndpoint], [*Unavailable] or [*Saturated].
func (p *Pool) Choose(r *Request, now time.Time) (*Lease, error) {
	return nil, ErrNoEndpoint
}

// Observe takes in a successful scrape of e.
func (p *Pool) Observe(e *Endpoint, l Load, now time.Time) {}

// Unobserved notes a scrape of e that failed. A scrape that was refused is no evidence against an endpoint that
// answers requests; what was known only grows stale.
func (p *Pool) Unobserved(e *Endpoint, now time.Time) {}

// Due returns the probes to be made now. Each must be answered by [Pool.Probed].
func (p *Pool) Due(now time.Time) []Probe { return nil }

// Wake is when to call [Pool.Due] again, unless something happens before; at most one second after now.
func (p *Pool) Wake(now time.Time) time.Time { return now.Add(time.Second) }

// Probed tells how a probe of [Pool.Due] ended; err is nil when it succeeded. dead is true when the endpoint's port
// has refused for so long that its open streams must be ended.
func (p *Pool) Probed(pr Probe, err error, now time.Time) (dead bool) { return false }

// ProbeLease begins the generation of a ProbeGenerate probe: a lease that is not chosen but pinned to the endpoint,
// by which the learner sees it. It must be ended like any other.
func (p *Pool) ProbeLease(pr Probe, r *Request, now time.Time) *Lease { return nil }

// SetAdmin sets what the operator wants of the endpoint with that URL.
func (p *Pool) SetAdmin(url string, s AdminState) error { return nil }

// Status describes every endpoint at the moment.
func (p *Pool) Status(now time.Time) []EndpointStatus { return nil }

// TTFTEstimate is the predicted time from dispatch to the first token of l, as it stood at its choice.
func (p *Pool) TTFTEstimate(l *Lease) time.Duration { return 0 }

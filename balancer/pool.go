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
	// Queue is where requests wait while no endpoint has room.
	Queue QueueConfig
	// BlockTokens is the length of a block of the prompt chain in tokens that is believed before prompts have shown it; 64.
	BlockTokens int
}

// EndpointConfig names one replica.
type EndpointConfig struct {
	// URL is the base URL, and the endpoint's identity over reloads.
	URL string
	// MaxConcurrency caps our requests in flight there, those of a pool that was adopted included; 0 means no cap.
	MaxConcurrency int
	// Weight is the endpoint's share for policies that honour one; 0 means 1. Speed is learned, not configured.
	Weight float64
}

const maxEndpoints = affinity.MaxEndpoints

// Pool is a set of endpoints that serve the same model. All methods may be called from any goroutine.
type Pool struct {
	cfg       PoolConfig
	endpoints []*Endpoint
	byURL     map[string]*Endpoint

	samples bool

	mu       sync.Mutex // guards all below and the state of the endpoints; held for microseconds, never over I/O
	rand     *rand.Rand
	index    *affinity.Index
	learner  *learner
	sessions []sessionPlace
	queue    queue
	share    *sharing  // nil until the first Export or Merge
	last     int       // index of the endpoint chosen last
	began    time.Time // the first time seen
	traffic  time.Time // of the last choice
	serial   uint64    // of requests without blocks that failed

	longestContext int     // context of any endpoint, in tokens; the largest int where one is not known
	blockTokens    float64 // length of a block of prompt in tokens, learned

	newcomers []*Endpoint // that a reload has added; they start slowly with the first choice

	// What follows is the working space of one choice.
	usable         []int32
	census         census
	match          affinity.Match
	view           View
	least, holders shortlist
}

// NewPool makes a pool with all endpoints in service and nothing learned.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("making pool %q: %w", cfg.Name, err)
	}
	p := &Pool{
		cfg:   cfg,
		byURL: make(map[string]*Endpoint, len(cfg.Endpoints)),
		rand:  rand.New(rand.NewPCG(cfg.Seed, 0x9e3779b97f4a7c15)),
		index: affinity.New(len(cfg.Endpoints)), learner: newLearner(),
		last: -1, queue: queue{QueueConfig: cfg.Queue}, blockTokens: float64(cfg.BlockTokens),
	}
	if s, ok := cfg.Policy.(Sampler); ok {
		p.samples = s.Samples()
	}
	all := make([]Endpoint, len(cfg.Endpoints)) // side by side, for the passes over all of them
	for i, ec := range cfg.Endpoints {
		if p.byURL[ec.URL] != nil {
			return nil, fmt.Errorf("making pool %q: endpoint %s is listed twice", cfg.Name, ec.URL)
		}
		e := &all[i]
		e.init(i, ec)
		p.endpoints = append(p.endpoints, e)
		p.byURL[ec.URL] = e
		p.setBudget(e)
	}
	p.measureContexts()
	return p, nil
}

func (c *PoolConfig) complete() error {
	switch {
	case c.Policy == nil:
		return fmt.Errorf("no policy")
	case len(c.Endpoints) == 0:
		return fmt.Errorf("no endpoints")
	case c.Queue.Max < 0 || c.Queue.Late < 0 || c.Queue.Shed < 0:
		return fmt.Errorf("a negative bound of the queue")
	case len(c.Endpoints) > maxEndpoints:
		return fmt.Errorf("%d endpoints, at most %d", len(c.Endpoints), maxEndpoints)
	}
	setDefault(&c.EjectAfter, 3)
	setDefault(&c.EjectFor, 2*time.Second)
	setDefault(&c.EjectMax, 60*time.Second)
	setDefault(&c.DefaultKVTokens, 250_000)
	setDefault(&c.BlockTokens, 64)
	setDefault(&c.Queue.Wait, 10*time.Second)
	if c.Queue.Max == 0 {
		c.Queue.Late = 0
	}
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

// SetAdmin sets what the operator wants of the endpoint with that URL. Those who wait learn of it by the next [Pool.Due].
func (p *Pool) SetAdmin(url string, s AdminState) error {
	e := p.byURL[url]
	if e == nil {
		return fmt.Errorf("pool %q has no endpoint %s", p.cfg.Name, url)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e.admin = s
	return nil
}

// TTFTEstimate is the predicted time from dispatch to the first token of l, as it stood at its choice: the prefill
// sent there before it and not yet answered, its own, and the floor.
func (p *Pool) TTFTEstimate(l *Lease) time.Duration { return l.estimate }

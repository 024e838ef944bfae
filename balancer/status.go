package balancer

import (
	"math"
	"time"
)

// State is the health of an endpoint.
type State uint8

const (
	// Serving endpoints take requests.
	Serving State = iota
	// Warming endpoints have returned a moment ago and take few requests at once.
	Warming
	// Paused endpoints have refused for want of capacity.
	Paused
	// Ejected endpoints have failed too often and wait for their time and a probe.
	Ejected
	// Down endpoints refuse connections.
	Down
)

// String is the state as the admin API and metrics write it.
func (s State) String() string {
	switch s {
	case Serving:
		return "serving"
	case Warming:
		return "warming"
	case Paused:
		return "paused"
	case Ejected:
		return "ejected"
	default:
		return "down"
	}
}

// EndpointStatus describes one endpoint. Times are seconds, unknown values NaN.
type EndpointStatus struct {
	URL   string
	State State
	// Reason tells in words why the state is not Serving.
	Reason string
	// Until is the end of a pause or a time out, zero when there is none.
	Until time.Time
	Admin AdminState

	// InFlight, Decoding, Pending and Context are our own n, d, A and X.
	InFlight, Decoding int
	Pending, Context   int
	// Peers are the requests that other gateways tell of.
	Peers int
	// Foreign is the faded number of requests that others have there.
	Foreign float64
	Sent    uint64

	// Step, PerContext, Rate and Floor are the learned W, b, r and al. Measured tells that they are the endpoint's
	// own and not the pool's belief.
	Step, PerContext, Rate, Floor float64
	Measured                      bool
	// Trust is q, the share of predicted cache hits that came true.
	Trust float64

	// IndexBlocks and IndexBudget are blocks held in the prefix index and their limit.
	IndexBlocks, IndexBudget int

	// Load is the last scrape, LoadAge its age; HasLoad is false when there is none or it is stale.
	Load    Load
	LoadAge time.Duration
	HasLoad bool

	// Failures counts ended leases by cause, Ejections how often the endpoint was taken out.
	Failures  [NumCauses]uint64
	Ejections uint64
	// Failing is the decayed number of recent failures.
	Failing float64
}

// NumCauses is the number of causes, for arrays indexed by [Cause].
const NumCauses = int(causes)

// Status describes every endpoint at the moment.
func (p *Pool) Status(now time.Time) []EndpointStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetSilent(now)
	p.learner.fit(p.endpoints, !p.cfg.ProbeIdle, now)
	all := make([]EndpointStatus, len(p.endpoints))
	for i, e := range p.endpoints {
		all[i] = p.statusOf(e, now)
	}
	return all
}

// States appends the state of each endpoint at the moment: what of Status may be looked at often.
func (p *Pool) States(dst []State, now time.Time) []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints {
		dst = append(dst, e.health.state(now))
	}
	return dst
}

func (p *Pool) statusOf(e *Endpoint, now time.Time) EndpointStatus {
	h, s := &e.health, &e.speed
	foreign, _ := e.others(now)
	st := EndpointStatus{
		URL: e.cfg.URL, State: h.state(now), Admin: e.admin,
		InFlight: e.count.inFlight, Decoding: e.count.decoding, Pending: e.count.pending, Context: e.count.context,
		Peers: p.load(e, &counts{}).inFlight - e.count.inFlight, Foreign: foreign, Sent: e.sent,
		Step: s.step, PerContext: s.perCtx, Rate: 1 / s.perTok, Floor: s.floor, Measured: s.measured(),
		Trust:       e.trust.all,
		IndexBlocks: p.index.Held(e.index), IndexBudget: p.index.Budget(e.index),
		Load: e.scraped.load, HasLoad: e.scraped.fresh(now),
		Failures: h.byCause, Ejections: h.ejections, Failing: h.failingNow(now),
	}
	if !e.scraped.at.IsZero() {
		st.LoadAge = now.Sub(e.scraped.at)
	}
	if math.IsInf(st.Rate, 0) {
		st.Rate = math.NaN()
	}
	switch st.State {
	case Paused:
		st.Reason, st.Until = "refused for want of capacity", h.pausedUntil
	case Ejected:
		st.Reason, st.Until = h.reason, h.until
	case Down:
		st.Reason = "refuses connections"
	case Warming:
		st.Reason = "came back a moment ago"
	case Serving:
	}
	return st
}

// PoolStatus is what a pool has learned as a whole and what its index takes.
type PoolStatus struct {
	// Answer is o, the expected length of an answer in tokens.
	Answer float64
	// Prompt is the usual length of a prompt, Uncached of its part that was not cached where it went; 0 before the first.
	Prompt, Uncached float64
	// Growth is how much a token of context lengthens a step, relative to a step without context.
	Growth float64
	// IndexBlocks and IndexHoldings count the prefix index, IndexBytes is the memory it takes.
	IndexBlocks, IndexHoldings, IndexBytes int
}

// Learned describes the pool as a whole.
func (p *Pool) Learned() PoolStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PoolStatus{
		Answer: p.learner.answer, Growth: p.learner.growth, Prompt: p.learner.prompt, Uncached: p.learner.uncached,
	}
	s.IndexBlocks, s.IndexHoldings, s.IndexBytes = p.index.Size()
	return s
}

package balancer

import "time"

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

package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the gateway's own Prometheus metrics.
type Metrics struct{}

// NewMetrics registers all metrics with reg, the Go runtime's and the process' among them. Call it once a registry.
func NewMetrics(reg prometheus.Registerer) *Metrics { return &Metrics{} }

// Serve tells which values the labels model, pool and limit may take; every other value is counted as "other".
// Call it at start and after each reload; what was counted stays.
func (m *Metrics) Serve(models, pools, limits []string) {}

// Began counts a request as in flight, until Record.
func (m *Metrics) Began() {}

// Record counts a finished request.
func (m *Metrics) Record(r *Record) {}

// Lane returns the metrics of one model on one pool, for the events of a stream. Keep it for the length of a request.
func (m *Metrics) Lane(model, pool string) *Lane { return &Lane{} }

// LimitRefused counts a request that the limit refused.
func (m *Metrics) LimitRefused(limit string) {}

// RedisUp tells whether the shared store answers.
func (m *Metrics) RedisUp(up bool) {}

// Endpoints registers a source that is read at each scrape.
func (m *Metrics) Endpoints(read func() []EndpointGauge) {}

// Lane holds the resolved metrics of one model on one pool.
type Lane struct{}

// InterToken observes the time between two events of a stream.
func (l *Lane) InterToken(d time.Duration) {}

package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// QueueGauge is what the metrics show of one pool's queue.
type QueueGauge struct {
	Pool        string
	Length, Max int
	Oldest      time.Duration // how long the request that joined first has waited
	Overloaded  bool          // nobody waits longer than queue.shed

	// Bound, Expired, Left and Refused count the requests that joined, by how their stay ended.
	Bound, Expired, Left, Refused uint64
}

// Queues registers read as the source of the queue metrics. It is called at each scrape, by one goroutine or several, and
// tells the queues of that moment. It panics when called twice.
func (m *Metrics) Queues(read func() []QueueGauge) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("warmlane_queue_"+name, help, append([]string{"pool"}, labels...), nil)
	}
	m.reg.MustRegister(&queueCollector{
		read:     read,
		length:   desc("length", "Requests that wait for an endpoint of the pool."),
		most:     desc("max", "Requests that may wait at once."),
		oldest:   desc("oldest_seconds", "How long the request that joined the queue first has waited."),
		over:     desc("overloaded", "1 while nobody waits longer than queue.shed, because the queue has not been empty for long."),
		outcomes: desc("outcomes_total", "Requests that joined the queue: bound to an endpoint, expired, left by their client, refused.", "outcome"),
	})
}

// queueCollector turns the balancer's own numbers into metrics at the moment of a scrape.
type queueCollector struct {
	read                                 func() []QueueGauge
	length, most, oldest, over, outcomes *prometheus.Desc
}

var _ prometheus.Collector = (*queueCollector)(nil)

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.length, c.most, c.oldest, c.over, c.outcomes} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	for _, q := range c.read() {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, q.Pool)
		}
		gauge(c.length, float64(q.Length))
		gauge(c.most, float64(q.Max))
		gauge(c.oldest, q.Oldest.Seconds())
		gauge(c.over, bit(q.Overloaded))
		for outcome, n := range map[string]uint64{"bound": q.Bound, "expired": q.Expired, "left": q.Left, "refused": q.Refused} {
			ch <- prometheus.MustNewConstMetric(c.outcomes, prometheus.CounterValue, float64(n), q.Pool, outcome)
		}
	}
}

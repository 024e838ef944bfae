package observe

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warmlane/warmlane/balancer"
)

// EndpointGauge is what the metrics show of one endpoint.
type EndpointGauge struct {
	Pool   string
	Status balancer.EndpointStatus
}

// Endpoints registers read as the source of the endpoint metrics. It is called at each scrape, by one goroutine or several,
// and tells the endpoints of that moment. It panics when called twice.
func (m *Metrics) Endpoints(read func() []EndpointGauge) {
	m.reg.MustRegister(newEndpointCollector(read))
}

// endpointCollector turns the balancer's own numbers into metrics at the moment of a scrape, so that they cost nothing between.
type endpointCollector struct {
	read                   func() []EndpointGauge
	numbers                []number
	state, admin, failures *prometheus.Desc
}

// number is one metric of an endpoint; NaN is left out.
type number struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(s *balancer.EndpointStatus) float64
}

var _ prometheus.Collector = (*endpointCollector)(nil)

func endpointDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("warmlane_endpoint_"+name, help, append([]string{"pool", "endpoint"}, labels...), nil)
}

func newEndpointCollector(read func() []EndpointGauge) *endpointCollector {
	c := &endpointCollector{
		read:     read,
		state:    endpointDesc("state", "1 for the health that the endpoint has, 0 for the others.", "state"),
		admin:    endpointDesc("admin_state", "1 for what the operator wants of the endpoint, 0 for the others.", "state"),
		failures: endpointDesc("attempts_ended_total", "Attempts that ended, by cause.", "cause"),
	}
	c.counted()
	c.learned()
	c.scraped()
	return c
}

func (c *endpointCollector) gauge(name, help string, value func(s *balancer.EndpointStatus) float64) {
	c.numbers = append(c.numbers, number{endpointDesc(name, help), prometheus.GaugeValue, value})
}

func (c *endpointCollector) counter(name, help string, value func(s *balancer.EndpointStatus) float64) {
	c.numbers = append(c.numbers, number{endpointDesc(name, help), prometheus.CounterValue, value})
}

// counted are the numbers that this gateway counts itself.
func (c *endpointCollector) counted() {
	c.gauge("requests", "Requests of this gateway in flight there.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.InFlight) })
	c.gauge("decoding_requests", "Of these, requests that have begun to answer.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.Decoding) })
	c.gauge("pending_prompt_tokens", "Uncached prompt tokens sent there and not yet answered by a first token.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.Pending) })
	c.gauge("context_tokens", "Context tokens of the requests in flight there.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.Context) })
	c.counter("sent_total", "Requests sent there.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.Sent) })
	c.counter("ejections_total", "Times that the endpoint was taken out.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.Ejections) })
	c.gauge("recent_failures", "Recent failures, decaying.",
		func(s *balancer.EndpointStatus) float64 { return s.Failing })
	c.gauge("index_blocks", "Prompt blocks that the endpoint is believed to hold.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.IndexBlocks) })
	c.gauge("index_budget_blocks", "Prompt blocks that the index keeps for the endpoint at most.",
		func(s *balancer.EndpointStatus) float64 { return float64(s.IndexBudget) })
}

// learned are the numbers that the balancer infers from first tokens and inter-token times.
func (c *endpointCollector) learned() {
	c.gauge("step_seconds", "Learned base time of one decoding step (W).",
		func(s *balancer.EndpointStatus) float64 { return s.Step })
	c.gauge("step_seconds_per_context_token", "Learned share of a context token in a decoding step (b).",
		func(s *balancer.EndpointStatus) float64 { return s.PerContext })
	c.gauge("prefill_tokens_per_second", "Learned prefill speed (r).",
		func(s *balancer.EndpointStatus) float64 { return s.Rate })
	c.gauge("first_token_floor_seconds", "Learned least time to a first token (al).",
		func(s *balancer.EndpointStatus) float64 { return s.Floor })
	c.gauge("index_trust", "Share of predicted cache hits that came true (q).",
		func(s *balancer.EndpointStatus) float64 { return s.Trust })
	c.gauge("foreign_requests", "Requests of others there, inferred from the engine's metrics.",
		func(s *balancer.EndpointStatus) float64 { return s.Foreign })
}

// scraped are the engine's own numbers.
func (c *endpointCollector) scraped() {
	fresh := func(value func(l *balancer.Load) float64) func(s *balancer.EndpointStatus) float64 {
		return func(s *balancer.EndpointStatus) float64 {
			if !s.HasLoad {
				return math.NaN()
			}
			return value(&s.Load)
		}
	}
	c.gauge("engine_running_requests", "Running requests as the engine tells.",
		fresh(func(l *balancer.Load) float64 { return l.Running }))
	c.gauge("engine_waiting_requests", "Waiting requests as the engine tells.",
		fresh(func(l *balancer.Load) float64 { return l.Waiting }))
	c.gauge("engine_kv_use", "Used part of the KV memory as the engine tells, 0 to 1.",
		fresh(func(l *balancer.Load) float64 { return l.KVUse }))
	c.gauge("scrape_age_seconds", "Time since the engine's numbers were read; missing when they are stale.",
		func(s *balancer.EndpointStatus) float64 {
			if !s.HasLoad {
				return math.NaN()
			}
			return s.LoadAge.Seconds()
		})
}

// Describe implements prometheus.Collector.
func (c *endpointCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, n := range c.numbers {
		ch <- n.desc
	}
	ch <- c.state
	ch <- c.admin
	ch <- c.failures
}

// Collect implements prometheus.Collector.
func (c *endpointCollector) Collect(ch chan<- prometheus.Metric) {
	for _, e := range c.read() {
		s := &e.Status
		for _, n := range c.numbers {
			if v := n.value(s); !math.IsNaN(v) {
				ch <- prometheus.MustNewConstMetric(n.desc, n.kind, v, e.Pool, s.URL)
			}
		}
		for st := balancer.Serving; st <= balancer.Down; st++ {
			ch <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, is(st == s.State), e.Pool, s.URL, st.String())
		}
		for a := balancer.Enabled; a <= balancer.Disabled; a++ {
			ch <- prometheus.MustNewConstMetric(c.admin, prometheus.GaugeValue, is(a == s.Admin), e.Pool, s.URL, a.String())
		}
		for cause, n := range s.Failures {
			ch <- prometheus.MustNewConstMetric(c.failures, prometheus.CounterValue, float64(n), e.Pool, s.URL, balancer.Cause(cause).String())
		}
	}
}

func is(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

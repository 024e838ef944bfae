package observe

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EndpointGauge is what the metrics show of one endpoint. Floats that are not known are NaN and do not show.
type EndpointGauge struct {
	Pool, URL   string
	State       string            // serving, warming, paused, ejected, down; or draining, disabled by an operator
	Reason      string            // why it is not serving, "" when it is
	InFlight    int               // n: leases in flight
	Decoding    int               // d: of these, answering
	Prefill     int               // A: uncached prompt tokens sent and not yet answered by a first token
	Context     int               // X: context tokens in flight
	Sent        uint64            // requests sent there
	Endings     map[string]uint64 // attempts that ended, by cause
	StepBase    float64           // W, seconds
	StepToken   float64           // b, seconds per context token
	PrefillRate float64           // r, tokens per second
	FirstFloor  float64           // al, seconds
	Trust       float64           // q: share of predicted cache hits that came true
	Blocks      int               // blocks in the affinity index
	BlockBudget int               // blocks that the index keeps at most
	Foreign     float64           // requests of others there, guessed from the last scrape
	Running     float64           // as scraped
	Waiting     float64           // as scraped
	KVUse       float64           // as scraped, 0 to 1
	ScrapeAge   time.Duration     // of the last good scrape; -1 = there is none, or it is stale
	Ejections   uint64            // times that the endpoint was taken out
}

// Endpoints registers read as the source of the endpoint metrics. It is called at each scrape, by one goroutine or several,
// and tells the endpoints of that moment. It panics when called twice.
func (m *Metrics) Endpoints(read func() []EndpointGauge) {
	m.reg.MustRegister(newEndpointCollector(read))
}

// endpointCollector turns the balancer's own numbers into metrics at the moment of a scrape, so that they cost nothing between.
type endpointCollector struct {
	read           func() []EndpointGauge
	numbers        []number
	state, endings *prometheus.Desc
	reason         *prometheus.Desc
}

// number is one metric of an endpoint.
type number struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(e *EndpointGauge) float64
}

var _ prometheus.Collector = (*endpointCollector)(nil)

// endpointStates are the states that show as 0 while an endpoint has another.
func endpointStates() []string {
	return []string{"serving", "warming", "paused", "ejected", "down", "draining", "disabled"}
}

func endpointDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("warmlane_endpoint_"+name, help, append([]string{"pool", "endpoint"}, labels...), nil)
}

func newEndpointCollector(read func() []EndpointGauge) *endpointCollector {
	c := &endpointCollector{
		read:    read,
		state:   endpointDesc("state", "1 for the state that the endpoint has, 0 for the others.", "state"),
		reason:  endpointDesc("reason", "1 for why the endpoint is not serving; missing while it is.", "reason"),
		endings: endpointDesc("attempts_ended_total", "Attempts that ended, by cause.", "cause"),
	}
	c.counted()
	c.learned()
	c.scraped()
	return c
}

func (c *endpointCollector) gauge(name, help string, value func(e *EndpointGauge) float64) {
	c.numbers = append(c.numbers, number{endpointDesc(name, help), prometheus.GaugeValue, value})
}

func (c *endpointCollector) counter(name, help string, value func(e *EndpointGauge) float64) {
	c.numbers = append(c.numbers, number{endpointDesc(name, help), prometheus.CounterValue, value})
}

// counted are the numbers that this gateway counts itself.
func (c *endpointCollector) counted() {
	c.gauge("requests", "Requests of this gateway in flight there.",
		func(e *EndpointGauge) float64 { return float64(e.InFlight) })
	c.gauge("decoding_requests", "Of these, requests that have begun to answer.",
		func(e *EndpointGauge) float64 { return float64(e.Decoding) })
	c.gauge("pending_prompt_tokens", "Uncached prompt tokens sent there and not yet answered by a first token.",
		func(e *EndpointGauge) float64 { return float64(e.Prefill) })
	c.gauge("context_tokens", "Context tokens of the requests in flight there.",
		func(e *EndpointGauge) float64 { return float64(e.Context) })
	c.counter("sent_total", "Requests sent there.",
		func(e *EndpointGauge) float64 { return float64(e.Sent) })
	c.counter("ejections_total", "Times that the endpoint was taken out.",
		func(e *EndpointGauge) float64 { return float64(e.Ejections) })
	c.gauge("index_blocks", "Prompt blocks that the endpoint is believed to hold.",
		func(e *EndpointGauge) float64 { return float64(e.Blocks) })
	c.gauge("index_budget_blocks", "Prompt blocks that the index keeps for the endpoint at most.",
		func(e *EndpointGauge) float64 { return float64(e.BlockBudget) })
}

// learned are the numbers that the balancer infers from first tokens and inter-token times.
func (c *endpointCollector) learned() {
	c.gauge("step_seconds", "Learned base time of one decoding step (W).",
		func(e *EndpointGauge) float64 { return e.StepBase })
	c.gauge("step_seconds_per_context_token", "Learned share of a context token in a decoding step (b).",
		func(e *EndpointGauge) float64 { return e.StepToken })
	c.gauge("prefill_tokens_per_second", "Learned prefill speed (r).",
		func(e *EndpointGauge) float64 { return e.PrefillRate })
	c.gauge("first_token_floor_seconds", "Learned least time to a first token (al).",
		func(e *EndpointGauge) float64 { return e.FirstFloor })
	c.gauge("index_trust", "Share of predicted cache hits that came true (q).",
		func(e *EndpointGauge) float64 { return e.Trust })
}

// scraped are the engine's own numbers.
func (c *endpointCollector) scraped() {
	c.gauge("foreign_requests", "Requests of others there, guessed from the engine's numbers and fading with their age.",
		func(e *EndpointGauge) float64 { return e.Foreign })
	c.gauge("engine_running_requests", "Running requests as the engine tells.",
		func(e *EndpointGauge) float64 { return e.Running })
	c.gauge("engine_waiting_requests", "Waiting requests as the engine tells.",
		func(e *EndpointGauge) float64 { return e.Waiting })
	c.gauge("engine_kv_use", "Used part of the KV memory as the engine tells, 0 to 1.",
		func(e *EndpointGauge) float64 { return e.KVUse })
	c.gauge("scrape_age_seconds", "Time since the engine's numbers were read; missing when they are stale.",
		func(e *EndpointGauge) float64 {
			if e.ScrapeAge < 0 {
				return math.NaN()
			}
			return e.ScrapeAge.Seconds()
		})
}

// Describe implements prometheus.Collector.
func (c *endpointCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, n := range c.numbers {
		ch <- n.desc
	}
	ch <- c.state
	ch <- c.reason
	ch <- c.endings
}

// Collect implements prometheus.Collector.
func (c *endpointCollector) Collect(ch chan<- prometheus.Metric) {
	for _, e := range c.read() {
		for _, n := range c.numbers {
			if v := n.value(&e); !math.IsNaN(v) {
				ch <- prometheus.MustNewConstMetric(n.desc, n.kind, v, e.Pool, e.URL)
			}
		}
		states := endpointStates()
		if !slices.Contains(states, e.State) {
			states = append(states, e.State)
		}
		for _, s := range states {
			ch <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, bit(s == e.State), e.Pool, e.URL, s)
		}
		if e.Reason != "" {
			ch <- prometheus.MustNewConstMetric(c.reason, prometheus.GaugeValue, 1, e.Pool, e.URL, e.Reason)
		}
		for cause, n := range e.Endings {
			ch <- prometheus.MustNewConstMetric(c.endings, prometheus.CounterValue, float64(n), e.Pool, e.URL, cause)
		}
	}
}

func bit(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

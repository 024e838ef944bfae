package observe

import "github.com/prometheus/client_golang/prometheus"

// PoolGauge is what the metrics show of one pool as a whole. Lengths are tokens, 0 before the first prompt.
type PoolGauge struct {
	Pool       string
	Answer     float64 // o: expected length of an answer
	Prompt     float64 // usual length of a prompt
	Uncached   float64 // usual length of its part that is not cached where it goes
	IndexBytes int     // memory of the prefix index
}

// Pools registers read as the source of the pool metrics. It is called at each scrape, by one goroutine or several, and tells
// the pools of that moment. It panics when called twice.
func (m *Metrics) Pools(read func() []PoolGauge) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("warmlane_pool_"+name, help, []string{"pool"}, nil)
	}
	m.reg.MustRegister(&poolCollector{
		read:     read,
		answer:   desc("answer_tokens", "Expected length of an answer (o)."),
		prompt:   desc("prompt_tokens", "Usual length of a prompt."),
		uncached: desc("uncached_tokens", "Usual length of the part of a prompt that is not cached where it is sent."),
		index:    desc("index_bytes", "Memory of the index of prompt blocks."),
	})
}

// poolCollector turns the balancer's own numbers into metrics at the moment of a scrape.
type poolCollector struct {
	read                            func() []PoolGauge
	answer, prompt, uncached, index *prometheus.Desc
}

var _ prometheus.Collector = (*poolCollector)(nil)

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.answer, c.prompt, c.uncached, c.index} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.read() {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, p.Pool)
		}
		gauge(c.answer, p.Answer)
		gauge(c.prompt, p.Prompt)
		gauge(c.uncached, p.Uncached)
		gauge(c.index, float64(p.IndexBytes))
	}
}

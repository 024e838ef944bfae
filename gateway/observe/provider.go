package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ProviderGauge is what the metrics show of a provider as a whole.
type ProviderGauge struct {
	Provider  string
	Up        bool          // requests are sent there; false: it is left alone, but for the request that tries whether it is back
	Rests     time.Duration // until one tries
	Ejections uint64        // how often it was taken out
}

// Providers registers read as the source of the metrics of providers as a whole. It is called at each scrape, by one goroutine or several,
// and tells the providers of that moment. It panics when called twice.
func (m *Metrics) Providers(read func() []ProviderGauge) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("warmlane_provider_"+name, help, []string{"provider"}, nil)
	}
	m.reg.MustRegister(&providerCollector{
		read:      read,
		up:        desc("up", "1 while requests are sent to the provider, 0 while it is left alone because it cannot be reached or only fails."),
		rests:     desc("rest_seconds", "Time until a request tries whether the provider is back."),
		ejections: desc("ejections_total", "How often the provider was taken out."),
	})
}

// providerCollector turns the providers' own numbers into metrics at the moment of a scrape.
type providerCollector struct {
	read                 func() []ProviderGauge
	up, rests, ejections *prometheus.Desc
}

var _ prometheus.Collector = (*providerCollector)(nil)

// Describe implements prometheus.Collector.
func (c *providerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.rests, c.ejections} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *providerCollector) Collect(ch chan<- prometheus.Metric) {
	for _, p := range c.read() {
		ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, bit(p.Up), p.Provider)
		ch <- prometheus.MustNewConstMetric(c.rests, prometheus.GaugeValue, p.Rests.Seconds(), p.Provider)
		ch <- prometheus.MustNewConstMetric(c.ejections, prometheus.CounterValue, float64(p.Ejections), p.Provider)
	}
}

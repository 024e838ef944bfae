package observe

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// KeyGauge is what the metrics show of one of a provider's keys, which is named by its place in the configuration.
type KeyGauge struct {
	Provider string
	Key      int           // from 1
	Rests    time.Duration // until it is used again; 0 = it is in use

	// Sent counts the requests sent with it; Limited and Refused those of them that were refused.
	Sent, Limited, Refused uint64
}

// ProviderKeys registers read as the source of the metrics of providers' keys. It is called at each scrape, by one goroutine or
// several, and tells the keys of that moment. It panics when called twice.
func (m *Metrics) ProviderKeys(read func() []KeyGauge) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("warmlane_provider_key_"+name, help, append([]string{"provider", "key"}, labels...), nil)
	}
	m.reg.MustRegister(&keyCollector{
		read:     read,
		up:       desc("up", "1 while the provider's key is in use, 0 while it rests after a refusal. Keys are numbered as in the file."),
		rests:    desc("rest_seconds", "Time until the key is used again."),
		sent:     desc("requests_total", "Requests sent with the key."),
		refusals: desc("refusals_total", "Requests refused for the key: limited (rate or quota used up for now), refused (the key or its account).", "reason"),
	})
}

// keyCollector turns the providers' own numbers into metrics at the moment of a scrape.
type keyCollector struct {
	read                      func() []KeyGauge
	up, rests, sent, refusals *prometheus.Desc
}

var _ prometheus.Collector = (*keyCollector)(nil)

// Describe implements prometheus.Collector.
func (c *keyCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.rests, c.sent, c.refusals} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *keyCollector) Collect(ch chan<- prometheus.Metric) {
	for _, k := range c.read() {
		tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{k.Provider, strconv.Itoa(k.Key)}, labels...)...)
		}
		tell(c.up, prometheus.GaugeValue, bit(k.Rests == 0))
		tell(c.rests, prometheus.GaugeValue, k.Rests.Seconds())
		tell(c.sent, prometheus.CounterValue, float64(k.Sent))
		tell(c.refusals, prometheus.CounterValue, float64(k.Limited), "limited")
		tell(c.refusals, prometheus.CounterValue, float64(k.Refused), "refused")
	}
}

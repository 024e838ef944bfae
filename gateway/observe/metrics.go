package observe

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Metrics are the gateway's own Prometheus metrics, all named warmlane_*. They are safe for concurrent use.
type Metrics struct {
	reg prometheus.Registerer

	requests, failures, retries, denied, tokens, predictions, bytes, refusals, turnedAway *prometheus.CounterVec
	queue, ttft, interToken, duration, embedding                                          *prometheus.HistogramVec
	inFlight, reloadOK, reloadAt, usageAt                                                 prometheus.Gauge
	redisUp, build                                                                        *prometheus.GaugeVec
	passedOn, hedges                                                                      *prometheus.CounterVec
	guarded, recalled, costs                                                              *prometheus.CounterVec

	bytesIn, bytesOut prometheus.Counter
	failed            map[string]prometheus.Counter // by failure label; not changed after NewMetrics
	failedOther       prometheus.Counter
	known             atomic.Pointer[labels]

	mu    sync.RWMutex // guards lanes
	lanes map[laneKey]*Lane
}

// Bounds of the histograms, in seconds.
var (
	waitBounds = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
	stepBounds = []float64{.0025, .005, .01, .015, .02, .025, .03, .04, .05, .075, .1, .15, .25, .5, 1, 2.5}
	fullBounds = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600}
)

// NewMetrics registers all metrics with reg, the Go runtime's and the process' among them. It panics when reg has them
// already: call it once a registry.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{reg: reg, lanes: make(map[laneKey]*Lane), failed: make(map[string]prometheus.Counter)}
	m.known.Store(newLabels(nil, nil, nil))
	m.define()
	reg.MustRegister(
		m.passedOn, m.hedges,
		m.requests, m.failures, m.retries, m.denied, m.tokens, m.predictions, m.bytes, m.refusals, m.turnedAway, m.guarded, m.recalled, m.embedding, m.costs,
		m.queue, m.ttft, m.interToken, m.duration, m.inFlight, m.reloadOK, m.reloadAt, m.usageAt, m.redisUp, m.build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.bytesIn, m.bytesOut = m.bytes.WithLabelValues("in"), m.bytes.WithLabelValues("out")
	m.failedOther = m.failures.WithLabelValues(other)
	for _, k := range failure.Kinds() {
		m.failed[k.String()] = m.failures.WithLabelValues(k.String())
	}
	return m
}

func (m *Metrics) define() {
	m.requests = counters("requests_total", "Requests that ended, by the HTTP status sent (none: the client left before).", "model", "pool", "status")
	m.failures = counters("failures_total", "Requests that failed, by the failure that ended them.", "failure")
	m.retries = counters("retries_total", "Attempts after the first of their request.", "model", "pool")
	m.denied = counters("retries_denied_total", "Retries that did not take place because the pool's retry budget was used up.", "pool")
	m.passedOn = counters("passed_on_total", "Requests that a route passed on from this target to its next one, by the failure.", "pool", "failure")
	m.hedges = counters("hedges_total", "Requests whose first event was late in a pool that hedges, by what came of it: the second attempt won, lost (to the first) or failed (as the first did); "+
		"none was made for want of budget (no_budget) or of an endpoint with room (no_room).", "pool", "outcome")
	m.tokens = counters("tokens_total", "Tokens as the engines counted them: prompt, of these cached, output.", "model", "pool", "kind")
	m.costs = counters("cost_total", "What requests cost by the configured prices, in their currency.", "model", "pool")
	m.predictions = counters("predicted_tokens_total", "Tokens predicted before dispatch beside the engines' count, where both are known.", "model", "pool", "of", "kind")
	m.bytes = counters("bytes_total", "Bytes of request bodies (in) and of answers (out).", "direction")
	m.refusals = counters("limit_refusals_total", "Requests that a limit refused (enforced=true) or would have refused (enforced=false).", "limit", "enforced")
	m.turnedAway = counters("connections_refused_total", "Connections of clients that a bound refused: all (max_connections) or address (max_connections_per_ip).", "bound")
	m.recalled = counters("cache_requests_total", "Requests that a rule of the answer cache covers, by rule and result: hit, similar (answered as a similar one was), join (answered with an equal one under way), miss or bypass.", "rule", "result")
	m.guarded = counters("guard_matches_total", "What content rules found, by rule, side (input, output) and action.", "rule", "side", "action")
	m.queue = histograms("queue_seconds", "Time that requests waited in the queue of their pool.", waitBounds)
	m.ttft = histograms("ttft_seconds", "Time from the head of a streamed request to the first event of its answer.", waitBounds)
	m.interToken = histograms("inter_token_seconds", "Time between two events of a stream.", stepBounds)
	m.duration = histograms("request_seconds", "Time from the head of a request to its end, for requests that were sent to an engine.", fullBounds)
	m.embedding = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "warmlane", Name: "cache_embedding_seconds", Buckets: waitBounds,
		Help: "Time that requests waited for an embedding to find a similar one, by rule of the answer cache and result: ok, late, busy or failed.",
	}, []string{"rule", "result"})
	m.inFlight = gauge("requests_in_flight", "Requests that are being served.")
	m.reloadOK = gauge("config_reload_success", "1 if the configuration was right when it was last read, 0 if it was not and an earlier one is in force.")
	m.reloadAt = gauge("config_last_success_timestamp_seconds", "When the configuration in force was read, in Unix time.")
	m.usageAt = gauge("usage_saved_timestamp_seconds", "When all that had been counted for GET /admin/v1/usage was last saved, in Unix time.")
	m.redisUp = gauges("redis_up", "1 while the shared store of limits answers, 0 while each gateway keeps them by itself.")
	m.build = gauges("build_info", "1; the label tells the version.", "version")
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "warmlane", Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "warmlane", Name: name, Help: help})
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "warmlane", Name: name, Help: help}, labels)
}

func histograms(name, help string, bounds []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Namespace: "warmlane", Name: name, Help: help, Buckets: bounds}, []string{"model", "pool"})
}

// Serve tells which values the labels model, pool (providers among them) and limit may take; every other value is counted as
// "other". A model may be a pattern, which then stands for all models that it matches. Call it at start and after each
// reload; what was counted stays, but for pools and limits that are gone: their series vanish.
func (m *Metrics) Serve(models, pools, limits []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := newLabels(models, pools, limits)
	old := m.known.Swap(known)
	for name := range old.pools {
		if !known.pools[name] {
			m.forgetPool(name)
		}
	}
	for name := range old.limits {
		if !known.limits[name] {
			m.refusals.DeletePartialMatch(prometheus.Labels{"limit": name})
		}
	}
	for _, name := range pools {
		m.denied.WithLabelValues(name) // so that it shows as 0
	}
	for _, name := range limits {
		m.refusals.WithLabelValues(name, "true") // so that it shows as 0
	}
}

// forgetPool drops the series of a pool; m.mu is held.
func (m *Metrics) forgetPool(name string) {
	for key := range m.lanes {
		if key.pool == name {
			delete(m.lanes, key)
		}
	}
	of := prometheus.Labels{"pool": name}
	for _, v := range []*prometheus.CounterVec{m.requests, m.retries, m.denied, m.passedOn, m.hedges, m.tokens, m.costs, m.predictions} {
		v.DeletePartialMatch(of)
	}
	for _, v := range []*prometheus.HistogramVec{m.queue, m.ttft, m.interToken, m.duration} {
		v.DeletePartialMatch(of)
	}
}

// Build tells the version of this program.
func (m *Metrics) Build(version string) { m.build.WithLabelValues(version).Set(1) }

// Began counts a request as in flight, until its Record.
func (m *Metrics) Began() { m.inFlight.Inc() }

// Record counts a request that has ended, and that Began counted before.
func (m *Metrics) Record(r *Record) {
	m.inFlight.Dec()
	m.Lane(r.Model, r.Pool).record(r)
	m.bytesIn.Add(float64(max(0, r.BytesIn)))
	m.bytesOut.Add(float64(max(0, r.BytesOut)))
	if r.Failure == "" {
		return
	}
	if c := m.failed[r.Failure]; c != nil {
		c.Inc()
	} else {
		m.failedOther.Inc()
	}
}

// Lane returns the metrics of one model on one pool, for the events of a stream. Keep it for the length of a request, not
// longer: a reload may change its labels.
func (m *Metrics) Lane(model, pool string) *Lane {
	known := m.known.Load()
	key := laneKey{known.model(model), known.pool(pool)}
	m.mu.RLock()
	l := m.lanes[key]
	m.mu.RUnlock()
	if l != nil {
		return l
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known = m.known.Load() // a reload may have come between
	key = laneKey{known.model(model), known.pool(pool)}
	if l = m.lanes[key]; l == nil {
		l = newLane(key, m)
		m.lanes[key] = l
	}
	return l
}

// ConnectionRefused counts a connection that the bound, all or address, refused.
func (m *Metrics) ConnectionRefused(bound string) { m.turnedAway.WithLabelValues(bound).Inc() }

// LimitRefused counts a request that the limit refused, or would have refused if it were enforced.
func (m *Metrics) LimitRefused(limit string, enforced bool) {
	m.refusals.WithLabelValues(m.known.Load().limit(limit), strconv.FormatBool(enforced)).Inc()
}

// RetryDenied counts a retry that the pool's budget did not allow.
func (m *Metrics) RetryDenied(pool string) {
	m.denied.WithLabelValues(m.known.Load().pool(pool)).Inc()
}

// PassedOn counts a request that went on from a pool or provider to the route's next target.
func (m *Metrics) PassedOn(pool, failure string) {
	m.passedOn.WithLabelValues(m.known.Load().pool(pool), failure).Inc()
}

// Hedged counts a request whose first event was late in a pool that hedges, by what came of a second attempt.
func (m *Metrics) Hedged(pool, outcome string) {
	m.hedges.WithLabelValues(m.known.Load().pool(pool), outcome).Inc()
}

// Recalled counts a request that a rule of the answer cache covers.
func (m *Metrics) Recalled(rule, result string) { m.recalled.WithLabelValues(rule, result).Inc() }

// Embedded counts an embedding by which a rule of the answer cache looks for similar questions.
func (m *Metrics) Embedded(rule, result string, took time.Duration) {
	m.embedding.WithLabelValues(rule, result).Observe(took.Seconds())
}

// GuardFound counts n matches of a content rule.
func (m *Metrics) GuardFound(rule, side, action string, n int) {
	m.guarded.WithLabelValues(rule, side, action).Add(float64(n))
}

// Reloaded tells whether the configuration could be used when it was read at that time.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	m.reloadOK.Set(bit(ok))
	if ok {
		m.reloadAt.Set(float64(at.UnixMilli()) / 1000)
	}
}

// UsageSaved tells when all counts of usage were saved.
func (m *Metrics) UsageSaved(at time.Time) { m.usageAt.Set(float64(at.UnixMilli()) / 1000) }

// NoRedis makes the metric of RedisUp vanish.
func (m *Metrics) NoRedis() { m.redisUp.Reset() }

// RedisUp tells whether the shared store answers. Without a call the metric does not show.
func (m *Metrics) RedisUp(up bool) {
	m.redisUp.WithLabelValues().Set(bit(up))
}

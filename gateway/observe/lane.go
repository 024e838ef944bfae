package observe

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// laneKey names a lane by its labels.
type laneKey struct{ model, pool string }

// Lane holds the metrics of one model on one pool, looked up once. It is safe for concurrent use.
type Lane struct {
	key      laneKey
	requests *prometheus.CounterVec
	costs    *prometheus.CounterVec // only models with a price show there

	retries                           prometheus.Counter
	queue, ttft, interToken, duration prometheus.Observer
	prompt, cached, output            prometheus.Counter
	promptPredicted, promptActual     prometheus.Counter
	cachedPredicted, cachedActual     prometheus.Counter

	mu       sync.RWMutex // guards statuses
	statuses map[int]prometheus.Counter
}

func newLane(key laneKey, m *Metrics) *Lane {
	model, pool := key.model, key.pool
	return &Lane{
		key: key, requests: m.requests, costs: m.costs, statuses: make(map[int]prometheus.Counter),
		retries:         m.retries.WithLabelValues(model, pool),
		queue:           m.queue.WithLabelValues(model, pool),
		ttft:            m.ttft.WithLabelValues(model, pool),
		interToken:      m.interToken.WithLabelValues(model, pool),
		duration:        m.duration.WithLabelValues(model, pool),
		prompt:          m.tokens.WithLabelValues(model, pool, "prompt"),
		cached:          m.tokens.WithLabelValues(model, pool, "cached"),
		output:          m.tokens.WithLabelValues(model, pool, "output"),
		promptPredicted: m.predictions.WithLabelValues(model, pool, "prompt", "predicted"),
		promptActual:    m.predictions.WithLabelValues(model, pool, "prompt", "actual"),
		cachedPredicted: m.predictions.WithLabelValues(model, pool, "cached", "predicted"),
		cachedActual:    m.predictions.WithLabelValues(model, pool, "cached", "actual"),
	}
}

// InterToken observes the time between two events of a stream.
func (l *Lane) InterToken(d time.Duration) { l.interToken.Observe(d.Seconds()) }

func (l *Lane) record(r *Record) {
	l.status(r.Status).Inc()
	if r.Tries > 0 || r.Queue > 0 {
		l.queue.Observe(r.Queue.Seconds())
	}
	if r.Tries == 0 {
		return // refused here: its time says nothing about engines
	}
	l.retries.Add(float64(r.Tries - 1))
	l.duration.Observe(r.Total.Seconds())
	if r.Stream && r.TTFT >= 0 {
		l.ttft.Observe(r.TTFT.Seconds())
	}
	add(l.prompt, r.PromptTokens)
	add(l.cached, r.CachedTokens)
	add(l.output, r.OutputTokens)
	if r.Cost > 0 {
		l.costs.WithLabelValues(l.key.model, l.key.pool).Add(float64(r.Cost) / 1e6)
	}
	compare(l.promptPredicted, l.promptActual, r.PredictedPrompt, r.PromptTokens)
	compare(l.cachedPredicted, l.cachedActual, r.PredictedCached, r.CachedTokens)
}

// status returns the counter of requests that ended with an HTTP status.
func (l *Lane) status(code int) prometheus.Counter {
	l.mu.RLock()
	c := l.statuses[code]
	l.mu.RUnlock()
	if c != nil {
		return c
	}
	label := none
	if code >= 100 && code <= 599 {
		label = strconv.Itoa(code)
	}
	c = l.requests.WithLabelValues(l.key.model, l.key.pool, label)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.statuses) < 600 { // engines choose the codes: even odd ones do not make the map grow for ever
		l.statuses[code] = c
	}
	return c
}

// add counts tokens if their number is known.
func add(c prometheus.Counter, n int) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// compare counts a prediction and what came true where both are known.
func compare(predicted, actual prometheus.Counter, p, a int) {
	if p >= 0 && a >= 0 {
		predicted.Add(float64(p))
		actual.Add(float64(a))
	}
}

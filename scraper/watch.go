package scraper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/scraper/engines"
)

// How often what changes seldom is asked for.
const (
	modelsEvery  = time.Minute      // the model list: adapters come and go
	modelsRetry  = 10 * time.Second // after a list that could not be had
	blindAfter   = 5                // answers without metrics after which an engine is taken to show none
	blindSlower  = 10               // by which factor such an engine is asked less often
	metricsTypes = "text/plain;version=0.0.4"
	modelsTypes  = "application/json"
)

// watch reads one endpoint. Its run owns everything in it but known.
type watch struct {
	cfg      Config
	pool     Pool
	endpoint *balancer.Endpoint
	base     *url.URL
	log      *slog.Logger
	source   source
	reader   *engines.Reader

	fixed     bool // the table is configured
	known     atomic.Pointer[engines.Table]
	candidate int // which of engines.Paths() is tried while the family is not known

	models    models
	modelsDue time.Time
	birth     birth
	started   time.Time

	readable bool // metrics were read at least once
	blind    int  // answers without metrics in a row
	state    state
}

// newWatch prepares the reading of one endpoint; table is nil for auto.
func newWatch(cfg Config, table *engines.Table, p *Poller, pool Pool, e *balancer.Endpoint, log *slog.Logger) (*watch, error) {
	base, err := url.Parse(e.URL())
	if err != nil {
		return nil, fmt.Errorf("endpoint URL: %w", withoutURL(err))
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("endpoint URL %q is neither http nor https", base.Redacted())
	}
	w := &watch{
		cfg: cfg, pool: pool, endpoint: e, base: base,
		log:    log.With("pool", pool.Name(), "endpoint", base.Redacted()),
		source: source{client: p.client, header: cfg.Header, timeout: cfg.Timeout},
		reader: engines.NewReader(),
		fixed:  table != nil,
	}
	w.known.Store(table)
	return w, nil
}

// run reads the endpoint until ctx ends. The first reading comes soon, but not at the same moment for all endpoints.
func (w *watch) run(ctx context.Context) {
	timer := time.NewTimer(rand.N(w.cfg.Interval/4 + 1))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		w.read(ctx)
		timer.Reset(w.pause())
	}
}

// pause is the time to the next reading: the interval, a tenth more or less, and longer where there is nothing to read.
func (w *watch) pause() time.Duration {
	interval := w.cfg.Interval
	if w.blind >= blindAfter {
		interval *= blindSlower
	}
	return interval*9/10 + rand.N(interval/5+1)
}

// read makes one reading and reports it. One that ctx ended is not reported: it says nothing about the engine.
func (w *watch) read(ctx context.Context) {
	fresh := w.readModels(ctx)
	sample, err := w.readMetrics(ctx)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	w.note(err)
	switch {
	case err == nil:
		w.observe(sample, now)
	case fresh && !w.readable: // an engine without metrics still tells its models
		w.pool.Observe(w.endpoint, load(nothing(), w.models, w.checksModel(), time.Time{}, w.cfg.Interval), now)
	default:
		w.pool.Unobserved(w.endpoint, now)
	}
}

// observe reports a sample.
func (w *watch) observe(sample engines.Sample, now time.Time) {
	w.readable = true
	started := w.birth.next(sample, now)
	if !started.Equal(w.started) {
		w.started, w.modelsDue = started, time.Time{} // another process may serve other models
	}
	w.pool.Observe(w.endpoint, load(sample, w.models, w.checksModel(), started, w.cfg.Interval), now)
}

// readMetrics fetches and reads the metrics page.
func (w *watch) readMetrics(ctx context.Context) (engines.Sample, error) {
	text, err := w.source.get(ctx, metricsURL(w.base, w.cfg.Port, w.path()), metricsTypes)
	if err != nil {
		return engines.Sample{}, err
	}
	if table := w.known.Load(); table != nil {
		s, err := w.reader.Read(table, text)
		if w.fixed || !errors.Is(err, engines.ErrForeign) {
			return s, err
		}
	}
	table := engines.Detect(text)
	w.known.Store(table)
	if table == nil {
		return engines.Sample{}, engines.ErrForeign
	}
	return w.reader.Read(table, text)
}

// path is where the metrics page is looked for.
func (w *watch) path() string {
	switch {
	case w.cfg.Path != "":
		return w.cfg.Path
	case w.fixed:
		return w.known.Load().Path
	default:
		paths := engines.Paths()
		return paths[w.candidate%len(paths)]
	}
}

// note takes in how a reading ended: it decides how soon and where the next one is made, and logs what is new.
func (w *watch) note(err error) {
	state := stateOf(err)
	switch state {
	case blind:
		w.blind++
		if !w.fixed && (w.known.Load() == nil || w.blind > 1) {
			w.candidate++
		}
	default:
		w.blind = 0
	}
	if state == w.state {
		return
	}
	w.state = state
	if state == readable {
		w.log.Info("engine metrics readable", "engine", w.known.Load().Family)
	} else {
		w.log.Warn("engine metrics unreadable", "state", string(state), "err", err)
	}
}

// state is what the last reading found. Errors of one state differ in details that are not worth a line each.
type state string

const (
	readable    state = "readable"
	unreachable state = "unreachable" // nobody there, or not in time
	failing     state = "failing"     // an answer with a 5xx, as of an engine that starts or dies
	blind       state = "no metrics"  // an answer that is no page of a known engine
)

// stateOf sorts the outcome of a reading.
func stateOf(err error) state {
	var status statusError
	var lost *transportError
	switch {
	case err == nil:
		return readable
	case errors.As(err, &lost):
		return unreachable
	case errors.As(err, &status) && status >= 500:
		return failing
	default:
		return blind
	}
}

// readModels fetches the model list when it is due and tells whether it came. The old list stays when it did not.
func (w *watch) readModels(ctx context.Context) bool {
	now := time.Now()
	if now.Before(w.modelsDue) {
		return false
	}
	w.modelsDue = now.Add(modelsRetry)
	body, err := w.source.get(ctx, w.base.JoinPath(modelsPath).String(), modelsTypes)
	if err != nil {
		return false
	}
	list, err := readModels(body)
	if err != nil {
		return false
	}
	w.models, w.modelsDue = list, now.Add(modelsEvery)
	return true
}

// checksModel reports whether the engine is known to refuse models that it does not list.
func (w *watch) checksModel() bool {
	table := w.known.Load()
	return table != nil && table.ChecksModel
}

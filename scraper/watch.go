package scraper

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

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

// watch reads one engine. Its run owns everything in it but known and adapters.
type watch struct {
	cfg     Config
	pool    Pool
	poller  *Poller
	members []*member // the engine's endpoints: itself, or its ranks
	ranks   int       // how many ranks the members need, 0 when the engine is the only one
	base    *url.URL
	log     *slog.Logger
	source  source
	reader  *engines.Reader

	fixed     bool // the table is configured
	known     atomic.Pointer[engines.Table]
	candidate int // which of engines.Paths() is tried while the family is not known

	models    models
	modelsDue time.Time
	adapters  atomic.Pointer[[]string] // that the engine answers to by name

	readable bool // metrics were read at least once
	blind    int  // answers without metrics in a row
	state    state
}

// newWatch prepares the reading of one engine; table is nil for auto.
func newWatch(cfg Config, table *engines.Table, p *Poller, pool Pool, base *url.URL, log *slog.Logger) *watch {
	w := &watch{
		cfg: cfg, pool: pool, poller: p, base: base,
		log:    log.With("pool", pool.Name(), "endpoint", base.Redacted()),
		source: source{client: p.client, header: cfg.Header, timeout: cfg.Timeout},
		reader: engines.NewReader(),
		fixed:  table != nil,
	}
	w.known.Store(table)
	return w
}

// run reads the engine until ctx ends. The first reading comes soon, but not at the same moment for all engines.
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
	samples, err := w.readMetrics(ctx)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	w.note(err)
	if fresh {
		w.tellAdapters()
	}
	for _, m := range w.members {
		switch {
		case err == nil:
			w.observe(m, samples[max(0, m.rank)], now)
		case fresh && !w.readable: // an engine without metrics still tells its models
			w.pool.Observe(m.endpoint, load(nothing(), w.models, w.checksModel(), time.Time{}, w.cfg.Interval), now)
		default:
			w.pool.Unobserved(m.endpoint, now)
		}
	}
}

// observe reports the sample of one member.
func (w *watch) observe(m *member, sample engines.Sample, now time.Time) {
	w.readable = true
	started := m.birth.next(sample, now)
	if !started.Equal(m.started) {
		m.started, w.modelsDue = started, time.Time{} // another process may serve other models
	}
	w.pool.Observe(m.endpoint, load(sample, w.models, w.checksModel(), started, w.cfg.Interval), now)
}

// readMetrics fetches and reads the metrics page: a sample of the whole engine, or one of each rank.
func (w *watch) readMetrics(ctx context.Context) ([]engines.Sample, error) {
	text, err := w.source.get(ctx, metricsURL(w.base, w.cfg.Port, w.path()), metricsTypes)
	if err != nil {
		return nil, err
	}
	if table := w.known.Load(); table != nil {
		samples, err := w.readPage(table, text)
		if w.fixed || !errors.Is(err, engines.ErrForeign) {
			return samples, err
		}
	}
	table := engines.Detect(text)
	w.known.Store(table)
	if table == nil {
		return nil, engines.ErrForeign
	}
	return w.readPage(table, text)
}

func (w *watch) readPage(table *engines.Table, text []byte) ([]engines.Sample, error) {
	if w.ranks > 0 {
		return w.reader.ReadRanks(table, text, w.ranks)
	}
	sample, err := w.reader.Read(table, text)
	return []engines.Sample{sample}, err
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

// tellAdapters publishes the adapters of the list, once the family is known to answer to them by name.
func (w *watch) tellAdapters() {
	var list []string
	if w.checksModel() {
		list = w.models.adapters
	}
	if old := w.adapters.Load(); old == nil || !slices.Equal(*old, list) {
		w.adapters.Store(&list)
		w.poller.gatherAdapters()
	}
}

// checksModel reports whether the engine is known to refuse models that it does not list.
func (w *watch) checksModel() bool {
	table := w.known.Load()
	return table != nil && table.ChecksModel
}

// Package gateway is the front end: it takes OpenAI-compatible requests in, decides with the balancer where each goes, relays the
// answer byte for byte, and settles what the request held, whatever its end. handler.go shows the way of a request.
//
// It guarantees that nothing is sent to a client before an engine's first event has come (so a failure up to there is repeated
// elsewhere), that an incomplete answer never looks complete, that a client's leaving ends the engine's work at once, and that
// no credential of a caller reaches an engine.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/observe"
)

// Options are what a Gateway is given besides its configuration.
type Options struct {
	// Log takes the access lines and the events of the process. nil: a handler on stderr as the configuration says.
	Log slog.Handler
	// Version is told in the metrics.
	Version string
	// Listener and AdminListener are used in place of the configured addresses; nil: listen there.
	Listener, AdminListener net.Listener
	// Source is where the configuration was read, and is read again on Reload and when its files change; nil: there is no other one.
	Source *config.Source
	// Phases is told of the phases of the gateway's life; nil: nobody is.
	Phases Phases
	// TimeScale stretches the times in the trace file: 10 for engines that run ten times faster than real ones. 0 means 1.
	TimeScale float64
}

// Gateway is one running front end.
type Gateway struct {
	log     *slog.Logger
	access  *observe.AccessLog
	metrics *observe.Metrics
	traces  *observe.TraceFile // nil: none is written
	level   slog.LevelVar      // of the log, where the gateway has made its handler
	state   atomic.Pointer[state]
	origins *origins
	buckets *limit.Memory // of limits without Redis, kept over reloads

	source     *config.Source // nil: there is nothing to reload
	phases     Phases
	reloads    reloads
	shownRedis atomic.Pointer[redis]
	work       context.Context // of everything in the background
	stopWork   context.CancelFunc
	background sync.WaitGroup

	turning sync.Mutex // held while one state takes the place of another; guards the two below
	running bool       // requests are served and reloads taken
	holders holders

	listener, adminListener net.Listener
	server, admin           *fasthttp.Server

	bodies   *bodies
	draining atomic.Bool // SIGTERM was seen: /readyz says 503 and every answer closes its connection
	closing  atomic.Bool // no new work any more
	builders sync.Pool
	watcher  watcher

	mu       sync.Mutex // guards the fields below
	open     map[*exchange]struct{}
	replaced map[*pool]struct{} // by others of their names, and with requests that have not ended
}

// New builds a gateway and opens its listeners; requests are served once Run is called.
func New(cfg *config.Config, opts Options) (*Gateway, error) {
	registry := prometheus.NewRegistry()
	g := &Gateway{
		metrics: observe.NewMetrics(registry), source: opts.Source, phases: opts.Phases,
		origins: newOrigins(), buckets: limit.NewMemory(0, nil), bodies: newBodies(), open: map[*exchange]struct{}{},
		holders: holders{}, replaced: map[*pool]struct{}{},
	}
	g.work, g.stopWork = context.WithCancel(context.Background())
	g.level.Set(observe.Level(cfg.Observe.Log.Level))
	if opts.Log == nil {
		opts.Log = observe.NewHandler(os.Stderr, cfg.Observe.Log.Format, &g.level)
	}
	g.log, g.access = slog.New(opts.Log), observe.NewAccessLog(opts.Log)
	g.metrics.Build(opts.Version)
	if err := g.openTrace(cfg, opts); err != nil {
		return nil, errors.Join(err, g.closeStores())
	}
	s, err := g.build(cfg, nil)
	if err != nil {
		return nil, errors.Join(err, g.closeStores())
	}
	g.state.Store(s)
	g.holders.take(s)
	g.metrics.Serve(s.labels())
	g.showRedis(s.redis)
	g.reloads.last.at, g.reloads.loaded = s.started, s.started
	g.metrics.Reloaded(true, s.started)
	g.metrics.Queues(func() []observe.QueueGauge { return g.state.Load().queues(time.Now()) })
	g.metrics.Pools(func() []observe.PoolGauge { return g.state.Load().learned() })
	g.metrics.Endpoints(func() []observe.EndpointGauge { return g.gauges(time.Now()) })
	g.metrics.Providers(func() []observe.ProviderGauge { return g.state.Load().providerGauges(time.Now()) })
	g.metrics.ProviderKeys(func() []observe.KeyGauge { return g.state.Load().keyGauges(time.Now()) })
	mux := console.New(console.Config{
		Token: func() string { return g.state.Load().cfg.Server.AdminToken.Reveal() }, Ready: g.ready, Metrics: observe.ServeMetrics(registry), Log: g.log,
	})
	g.registerAdmin(mux)
	g.server, g.admin = g.newServer(cfg), newAdminServer(mux)
	if err := g.listen(cfg, opts); err != nil {
		return nil, errors.Join(err, g.closeStores())
	}
	return g, nil
}

func (g *Gateway) listen(cfg *config.Config, opts Options) (err error) {
	g.listener, g.adminListener = opts.Listener, opts.AdminListener
	if g.listener == nil {
		if g.listener, err = net.Listen("tcp", cfg.Server.Listen); err != nil {
			return fmt.Errorf("application listener: %w", err)
		}
	}
	g.listener = g.newEntrance(newSteady(g.listener, g.log), cfg.Server.TLS.Enabled())
	if cfg.Server.TLS.Enabled() {
		cert, err := openCertificate(func() config.TLS { return g.state.Load().cfg.Server.TLS }, g.log)
		if err != nil {
			return errors.Join(fmt.Errorf("server.tls: %w", err), g.listener.Close())
		}
		g.listener = tls.NewListener(g.listener, cert.config())
	}
	if g.adminListener == nil && cfg.Server.Admin != "" {
		if g.adminListener, err = net.Listen("tcp", cfg.Server.Admin); err != nil {
			return errors.Join(fmt.Errorf("admin listener: %w", err), g.listener.Close())
		}
	}
	if g.adminListener != nil {
		g.adminListener = newSteady(g.adminListener, g.log)
	}
	return nil
}

// Addr is where applications connect.
func (g *Gateway) Addr() net.Addr { return g.listener.Addr() }

// AdminAddr is where the admin API listens, nil without an admin listener.
func (g *Gateway) AdminAddr() net.Addr {
	if g.adminListener == nil {
		return nil
	}
	return g.adminListener.Addr()
}

// Run serves until ctx ends, then drains: readiness fails and answers close their connections during lame_duck, then no new work is
// taken and streams may finish within drain, then what is left ends with an explicit error. It returns when all is closed.
func (g *Gateway) Run(ctx context.Context) error {
	g.startWork()
	listeners := []net.Listener{g.listener}
	served := make(chan error, 2)
	go func() { served <- g.server.Serve(g.listener) }()
	if g.adminListener != nil {
		listeners = append(listeners, g.adminListener)
		go func() { served <- g.admin.Serve(g.adminListener) }()
	}
	serving := len(listeners)
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		serving--
	}
	g.drain(g.stopTurning().cfg)
	g.stopWork()
	g.background.Wait()
	if g.adminListener != nil {
		err = errors.Join(err, g.admin.Shutdown())
	}
	for _, l := range listeners {
		_ = l.Close() // a server that was told to stop before it began would go on for ever
	}
	for range serving {
		err = errors.Join(err, <-served)
	}
	return errors.Join(err, g.closeStores())
}

// startWork starts the work in the background; from here on the configuration may be reloaded.
func (g *Gateway) startWork() {
	g.turning.Lock()
	defer g.turning.Unlock()
	s := g.state.Load()
	for _, p := range s.pools {
		g.start(p)
	}
	g.background.Go(func() { g.pulse(g.work) })
	if g.source != nil {
		g.background.Go(func() { g.follow(g.work) })
	}
	g.running = true
	g.log.Info("serving", "listen", g.listener.Addr().String(), "pools", len(s.pools), "models", len(s.table.Models()))
	g.warnOpen(s)
	if g.phases != nil {
		g.phases.Serving()
	}
}

// stopTurning lets no other state come any more and returns the last one.
func (g *Gateway) stopTurning() *state {
	g.turning.Lock()
	defer g.turning.Unlock()
	g.running = false
	return g.state.Load()
}

func (g *Gateway) warnOpen(s *state) {
	if s.keys.Open() {
		g.log.Warn("no consumers are configured: everybody who reaches the listener may use the API")
	}
}

// closeStores closes what is left when nothing runs any more.
func (g *Gateway) closeStores() error {
	g.stopWork()
	if s := g.state.Load(); s != nil {
		g.holders.drop(s)
	}
	if g.traces != nil {
		return g.traces.Close()
	}
	return nil
}

// lastWords is how long the errors that end the last requests may take to leave.
const lastWords = 2 * time.Second

// drain goes from serving to silence.
func (g *Gateway) drain(cfg *config.Config) {
	g.draining.Store(true)
	g.log.Info("draining", "lame_duck", cfg.Server.LameDuck.String(), "drain", cfg.Server.Drain.String())
	if g.phases != nil {
		g.phases.Stopping(cfg.Server.LameDuck.Std() + cfg.Server.Drain.Std() + lastWords)
	}
	pause(cfg.Server.LameDuck.Std())
	g.closing.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Server.Drain.Std())
	defer cancel()
	err := g.server.ShutdownWithContext(ctx)
	if err == nil {
		return
	}
	n := g.stopAll()
	g.log.Warn("drain time is over", "requests_ended", n)
	g.awaitClosed(lastWords)
}

// awaitClosed waits until the last connection is closed: what was written to it has left by then.
func (g *Gateway) awaitClosed(most time.Duration) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); g.busy() && time.Now().Before(end); {
		<-tick.C
	}
}

func (g *Gateway) busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open) > 0 || g.server.GetOpenConnectionsCount() > 0
}

func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// enter takes a request in, and shows it the state that it keeps to its end.
func (g *Gateway) enter(x *exchange) {
	g.mu.Lock()
	x.state = g.state.Load()
	x.state.users++
	g.open[x] = struct{}{}
	g.mu.Unlock()
}

func (g *Gateway) leave(x *exchange) {
	g.mu.Lock()
	delete(g.open, x)
	s := x.state
	if s.users--; s.users == 0 && s.retired {
		close(s.gone)
	}
	g.mu.Unlock()
}

// stopAll ends what is still on its way.
func (g *Gateway) stopAll() int {
	g.mu.Lock()
	open := make([]*exchange, 0, len(g.open))
	for x := range g.open {
		open = append(open, x)
	}
	g.mu.Unlock()
	for _, x := range open {
		x.cancel(failure.GatewayStopping)
	}
	return len(open)
}

// ready says whether new traffic is welcome.
func (g *Gateway) ready() bool { return !g.draining.Load() }

// serves says whether requests can be answered.
func (g *Gateway) serves() bool { return !g.closing.Load() }

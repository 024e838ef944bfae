package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// lookEvery is how often the files of the configuration are looked at. One that has changed is read when it is the same at the next look.
const lookEvery = time.Second

var (
	errNoFile   = errors.New("there is no configuration file to read again: the gateway was started without one")
	errStopping = errors.New("the gateway is not serving: it starts or stops at the moment")
)

// reloads is what is known of the readings of the configuration.
type reloads struct {
	mu     sync.Mutex // guards last
	last   reading
	loaded time.Time // when the configuration in force was read; guarded by mu
	count  int       // of changes of the configuration in force; guarded by mu
}

// reading is one reading of the configuration: its faults if it was wrong, else what of it waits for a restart.
type reading struct {
	at      time.Time
	trigger string
	err     error
	kept    []string
}

// Reload reads the configuration again and puts it into force: new requests see it, those on their way end under the one that they
// began with. A configuration with a fault changes nothing. trigger tells the log who asked.
func (g *Gateway) Reload(trigger string) error {
	g.turning.Lock()
	defer g.turning.Unlock()
	switch {
	case g.source == nil:
		g.log.Warn("nothing to reload", "trigger", trigger, "err", errNoFile)
		return errNoFile
	case !g.running:
		return errStopping
	}
	if g.phases != nil {
		g.phases.Reloading()
		defer g.phases.Serving()
	}
	r := reading{at: time.Now(), trigger: trigger}
	r.kept, r.err = g.reload()
	g.reloads.note(r)
	g.metrics.Reloaded(r.err == nil, r.at)
	g.tell(&r)
	return r.err
}

func (g *Gateway) reload() (kept []string, err error) {
	cfg, err := g.source.Load()
	if err != nil {
		return nil, err
	}
	old := g.state.Load()
	kept = keepFixed(cfg, old.cfg)
	s, err := g.build(cfg, old)
	if err != nil {
		return nil, err
	}
	g.swap(s)
	return kept, nil
}

// tell logs what came of a reading: a line for each fault.
func (g *Gateway) tell(r *reading) {
	faults, _ := config.AsFaults(r.err)
	for _, f := range faults {
		g.log.Error("configuration is wrong, the one in force stays", "trigger", r.trigger, "fault", f.String())
	}
	switch {
	case r.err == nil:
		s := g.state.Load()
		g.log.Info("configuration reloaded", "trigger", r.trigger, "pools", len(s.pools), "models", len(s.table.Models()),
			"took_ms", time.Since(r.at).Milliseconds())
		for _, key := range r.kept {
			g.log.Warn("a change of this key waits for a restart", "key", key)
		}
		g.warnOpen(s)
	case len(faults) == 0:
		g.log.Error("configuration cannot be used, the one in force stays", "trigger", r.trigger, "err", r.err)
	}
}

func (rs *reloads) note(r reading) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.last = r
	if r.err == nil {
		rs.loaded = r.at
		rs.count++
	}
}

// keepFixed puts back what only a restart can change, and returns the keys of what would have changed.
func keepFixed(cfg, old *config.Config) (kept []string) {
	is, was := &cfg.Server, &old.Server
	kept = fixed(kept, "server.listen", &is.Listen, was.Listen)
	kept = fixed(kept, "server.admin", &is.Admin, was.Admin)
	kept = fixed(kept, "server.read_timeout.header", &is.ReadTimeout.Header, was.ReadTimeout.Header)
	kept = fixed(kept, "server.max_header", &is.MaxHeader, was.MaxHeader)
	kept = fixed(kept, "observe.log.format", &cfg.Observe.Log.Format, old.Observe.Log.Format)
	kept = fixed(kept, "observe.trace_file", &cfg.Observe.TraceFile, old.Observe.TraceFile)
	kept = fixed(kept, "usage", &cfg.Usage, old.Usage)
	if is.TLS.Enabled() != was.TLS.Enabled() {
		kept = fixed(kept, "server.tls", &is.TLS, was.TLS)
	}
	return kept
}

func fixed[T comparable](kept []string, key string, is *T, was T) []string {
	if *is == was {
		return kept
	}
	*is = was
	return append(kept, key)
}

// follow reloads when the files of the configuration have changed, until ctx ends.
func (g *Gateway) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if g.source.Settled() {
			_ = g.Reload("file change") // tells the log itself
		}
	}
}

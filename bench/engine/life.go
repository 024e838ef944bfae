package engine

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// life is one run of the engine's process, from a start to a death: a core, the goroutine that steps it, an HTTP
// server and its connections.
type life struct {
	s       *Server
	started time.Time
	conns   connSet
	dead    chan struct{} // closed by kill
	wake    chan struct{} // tells the stepping goroutine that there is something new
	wg      sync.WaitGroup

	rejected   atomic.Uint64 // requests that the queue limit refused
	lengthEnds atomic.Uint64 // sequences that ended at their limit

	mu       sync.Mutex // guards the rest
	killed   bool
	vanished bool         // the port closed, the rest stays
	ln       net.Listener // nil until the port opens
	core     *Core
	clock    clock
	frozen   chan struct{} // not nil while the life hangs; closed when that ends
	calls    map[*call]struct{}
	gauges   Counters // as of the last step: what /metrics shows
}

func newLife(s *Server) *life {
	now := time.Now()
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	l := &life{
		s: s, started: now,
		dead: make(chan struct{}), wake: make(chan struct{}, 1),
		clock: clock{start: now, scale: s.cfg.TimeScale}, calls: make(map[*call]struct{}),
		core: New(CoreConfig{
			Preset: s.preset, Blocks: s.cfg.Blocks, MaxSeqs: s.cfg.MaxSeqs, MaxBatchedTokens: s.cfg.MaxBatchedTokens,
			Ingest: s.cfg.Ingest, Slow: slow, Noise: s.cfg.Noise, Seed: mix(s.cfg.Seed) + uint64(s.cfg.Replica),
		}),
	}
	l.wg.Go(l.run)
	return l
}

// serve accepts connections on ln until the life ends.
func (l *life) serve(ln net.Listener) {
	l.mu.Lock()
	if l.killed {
		l.mu.Unlock()
		ln.Close()
		return
	}
	l.ln = ln
	l.mu.Unlock()
	server := &fasthttp.Server{
		Handler: l.handle, Name: "uvicorn",
		IdleTimeout: l.s.cfg.KeepAlive, MaxRequestBodySize: 256 << 20, ReadBufferSize: 64 << 10,
		NoDefaultContentType: true, Logger: quiet{},
	}
	l.wg.Go(func() {
		if err := server.Serve(&tracked{Listener: ln, set: &l.conns}); err != nil && !l.isDead() {
			l.s.cfg.Log.Debug("simulated engine stopped accepting", "listen", l.s.addr, "err", err)
		}
	})
}

// quiet drops what fasthttp says about broken connections: breaking them is what faults are for.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func (l *life) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

// kill closes the port, resets all connections and waits until everything has ended. It may be called twice.
func (l *life) kill() {
	l.mu.Lock()
	if l.killed {
		l.mu.Unlock()
		return
	}
	l.killed = true
	ln := l.ln
	l.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
	l.conns.reset() // before anybody hears of the death and closes in good order
	close(l.dead)
	l.wg.Wait()
	l.conns.wait()
}

// vanish closes the port and stops the clock: what is open stays open, without a byte.
func (l *life) vanish() {
	l.hang()
	l.mu.Lock()
	l.vanished = true
	ln := l.ln
	l.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
}

// closed reports whether the port is closed for good.
func (l *life) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.killed || l.vanished
}

func (l *life) hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen == nil {
		l.frozen = make(chan struct{})
		l.clock.freeze()
	}
}

func (l *life) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen != nil {
		l.clock.thaw()
		close(l.frozen)
		l.frozen = nil
		l.signal()
	}
}

// awaitThaw holds a request for as long as the life hangs; it reports false when the client or the life went first.
func (l *life) awaitThaw(gone <-chan struct{}) bool {
	l.mu.Lock()
	frozen := l.frozen
	l.mu.Unlock()
	if frozen == nil {
		return true
	}
	select {
	case <-frozen:
		return true
	case <-gone:
	case <-l.dead:
	}
	return false
}

// run steps the core at its deadlines. It is the life's own goroutine and ends with it.
func (l *life) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.mu.Lock()
		l.advance()
		wait, next := time.Hour, l.core.Next()
		if next != Never && l.frozen == nil {
			wait = l.clock.until(next)
		}
		l.mu.Unlock()
		if wait <= 0 && !l.isDead() {
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.dead:
			return
		}
	}
}

// advance does what is due and hands the tokens to their calls. The caller holds l.mu.
func (l *life) advance() {
	steps := l.core.stats.Steps
	for _, event := range l.core.Advance(l.clock.now()) {
		event.Request.Tag.(*sequence).deliver(event)
	}
	if l.core.stats.Steps != steps || !l.core.busy {
		l.gauges = l.core.Counters()
	}
}

// signal wakes the stepping goroutine.
func (l *life) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// submit takes a call into the engine, or refuses it. When it is refused the call is not registered.
func (l *life) submit(c *call) *problem {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit := l.s.cfg.MaxQueuedReqs; limit > 0 {
		if n := l.core.Counters(); n.Running+n.Waiting+len(c.seqs) > limit {
			l.rejected.Add(1)
			return busy()
		}
	}
	l.advance()
	now := l.clock.now()
	for i := range c.seqs {
		if err := l.core.Submit(&c.seqs[i].req, now); err != nil {
			l.abort(c)
			return internalError(err.Error())
		}
	}
	l.calls[c] = struct{}{}
	l.advance()
	l.signal()
	return nil
}

// leave ends a call, finished or not: what still runs is aborted.
func (l *life) leave(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, c)
	l.abort(c)
	if !l.core.busy {
		l.gauges = l.core.Counters()
	}
}

func (l *life) abort(c *call) {
	for i := range c.seqs {
		l.core.Abort(&c.seqs[i].req)
	}
}

// cut makes every running stream end as if it were complete.
func (l *life) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		l.abort(c)
		c.mu.Lock()
		c.cut = true
		c.mu.Unlock()
		c.signal()
	}
}

// now returns the simulated time.
func (l *life) now() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.now()
}

package engine

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Server is one simulated replica on its own port. All methods may be called from any goroutine.
type Server struct {
	cfg     Config
	preset  Preset
	addr    string
	lag     lagMeter
	lexicon lexicon

	change sync.Mutex // held while the replica starts or dies

	mu     sync.Mutex // guards the rest
	life   *life      // the present run of the process, or the last one
	mode   Fault      // how new requests are treated; zero: served
	slow   float64
	closed bool

	stop chan struct{}
	wg   sync.WaitGroup // the goroutine that works off cfg.Faults, and late starts
}

// Start opens a replica and returns once its port accepts connections (with a StartDelay: at once).
func Start(cfg Config) (*Server, error) {
	cfg, preset, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("starting a simulated engine: %w", err)
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("starting a simulated engine: %w", err)
	}
	s := &Server{cfg: cfg, preset: preset, addr: ln.Addr().String(), slow: cfg.Slow, stop: make(chan struct{})}
	if cfg.StartDelay > 0 {
		ln.Close()
		ln = nil
	}
	s.life = newLife(s)
	s.open(s.life, ln)
	if len(cfg.Faults) > 0 {
		s.wg.Go(s.runFaults)
	}
	return s, nil
}

// open lets l accept connections, after the start delay if there is one.
func (s *Server) open(l *life, ln net.Listener) {
	if ln != nil {
		l.serve(ln)
		return
	}
	s.wg.Go(func() {
		if !s.sleep(s.cfg.StartDelay, l.dead) {
			return
		}
		ln, err := s.listenAgain()
		if err != nil {
			s.cfg.Log.Error("simulated engine cannot open its port", "listen", s.addr, "err", err)
			return
		}
		l.serve(ln)
	})
}

// portPatience is how long a replica waits for its port.
const portPatience = 10 * time.Second

// listenAgain opens the replica's port. While nobody listened there, the system may have given it to a connection of some client: that
// ends.
func (s *Server) listenAgain() (net.Listener, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		ln, err := net.Listen("tcp", s.addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > portPatience {
			return ln, err
		}
	}
}

// sleep waits for a simulated duration; it reports false when the server or the life ended before.
func (s *Server) sleep(d time.Duration, dead <-chan struct{}) bool {
	timer := time.NewTimer(time.Duration(float64(d) / s.cfg.TimeScale))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
	case <-dead:
	}
	return false
}

// URL returns the base URL, without a trailing slash. It stays the same over restarts.
func (s *Server) URL() string { return "http://" + s.addr }

// Close ends the replica: the port closes, connections are reset, all goroutines end. It may be called twice.
func (s *Server) Close() error {
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	first, l := !s.closed, s.life
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.stop)
	}
	l.kill()
	s.wg.Wait()
	return nil
}

// Kill imitates kill -9: the port closes and every open connection is reset. Restart brings the replica back.
func (s *Server) Kill() {
	s.change.Lock()
	defer s.change.Unlock()
	s.current().kill()
}

// Restart starts the replica again on the same port, with an empty cache and counters at zero; a living one is killed
// first.
func (s *Server) Restart() error {
	s.change.Lock()
	defer s.change.Unlock()
	s.current().kill()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errors.New("restarting a simulated engine: it is closed")
	}
	var ln net.Listener
	if s.cfg.StartDelay <= 0 {
		var err error
		if ln, err = s.listenAgain(); err != nil {
			return fmt.Errorf("restarting a simulated engine: %w", err)
		}
	}
	l := newLife(s)
	s.mu.Lock()
	s.life, s.mode = l, Fault{}
	s.mu.Unlock()
	s.open(l, ln)
	return nil
}

func (s *Server) current() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// SetSlow changes the factor on the duration of the steps; it outlives restarts.
func (s *Server) SetSlow(factor float64) {
	s.mu.Lock()
	s.slow = factor
	l := s.life
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.core.SetSlow(factor)
}

// Counters returns the engine's figures since its last start.
func (s *Server) Counters() Counters {
	l := s.current()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.Counters()
}

// Stats returns the engine's counters and histograms since its last start.
func (s *Server) Stats() Stats {
	l := s.current()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.Stats()
}

// Lag returns how late events were since the first start.
func (s *Server) Lag() Lag { return s.lag.read() }

package gateway

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// shortestPause and longestPause bound the wait before connections are accepted again, which doubles.
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// steady is a listener that waits where the process has no descriptors or memory left for another connection. The server would end at that,
// though its clients' next connections only have to wait until others end.
type steady struct {
	net.Listener
	log    *slog.Logger
	closed chan struct{}
	close  func() error
}

func newSteady(l net.Listener, log *slog.Logger) *steady {
	s := &steady{Listener: l, log: log, closed: make(chan struct{})}
	s.close = sync.OnceValue(func() error {
		close(s.closed)
		return l.Close()
	})
	return s
}

// Accept waits for the next connection. One goroutine calls it.
func (s *steady) Accept() (net.Conn, error) {
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		c, err := s.Listener.Accept()
		switch {
		case err == nil && pause > shortestPause:
			s.log.Info("connections are accepted again", "listen", s.Addr().String())
			return c, nil
		case err == nil || !scarcity(err):
			return c, err
		case pause == shortestPause:
			s.log.Warn("connections cannot be accepted", "listen", s.Addr().String(), "err", err)
		}
		select {
		case <-time.After(pause):
		case <-s.closed:
			return nil, net.ErrClosed
		}
	}
}

// Close ends Accept, also while it waits.
func (s *steady) Close() error { return s.close() }

// scarcity says whether err passes by itself: the process or the system is short of something, or the client has left.
func scarcity(err error) bool {
	return slices.ContainsFunc([]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED},
		func(passing error) bool { return errors.Is(err, passing) })
}

package engine

import (
	"net"
	"sync"
)

// connSet knows the open connections of a life, so that they can be reset.
type connSet struct {
	mu    sync.Mutex // guards the rest
	conns map[*trackedConn]struct{}
	over  bool // reset was called: later connections are reset at once
	empty sync.Cond
}

// tracked is a listener whose connections are in a set.
type tracked struct {
	net.Listener
	set *connSet
}

// trackedConn leaves the set when the HTTP server has closed it, that is, when no handler uses it any more.
type trackedConn struct {
	*net.TCPConn
	set *connSet
}

func (t *tracked) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &trackedConn{TCPConn: conn.(*net.TCPConn), set: t.set}
	t.set.add(c)
	return c, nil
}

func (c *trackedConn) Close() error {
	err := c.TCPConn.Close()
	c.set.remove(c)
	return err
}

func (s *connSet) add(c *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[*trackedConn]struct{})
		s.empty.L = &s.mu
	}
	s.conns[c] = struct{}{}
	if s.over {
		c.abort()
	}
}

func (s *connSet) remove(c *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 {
		s.empty.Broadcast()
	}
}

// reset sends a reset on every connection, now and from now on.
func (s *connSet) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for c := range s.conns {
		c.abort()
	}
}

// wait returns when the HTTP server has let go of all connections.
func (s *connSet) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		s.empty.Wait()
	}
}

// abort closes the socket so that the peer gets a reset; it stays in the set.
func (c *trackedConn) abort() {
	_ = c.SetLinger(0)
	_ = c.TCPConn.Close()
}

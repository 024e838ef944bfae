package gateway

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often new watches begin: a request is watched at the latest after twice that time, and most that take less have
// no generation to stop. One timer for all costs less than one a request.
const watchEvery = 10 * time.Millisecond

// watch looks for a client's leaving while its connection is otherwise left alone: one goroutine parked in the runtime's poller,
// woken by the peer's FIN or RST. It consumes no byte, so pipelined requests stay whole.
type watch struct {
	conn   net.Conn
	raw    syscall.RawConn
	events int16
	gone   func()
	done   chan struct{} // closed when a watch that had begun has ended

	mu             sync.Mutex // guards the fields below
	begun, stopped bool
}

// newWatch prepares to call gone once when the peer leaves; begin starts looking. With halfClose a peer that only shut its sending side
// is still there. It returns nil where the transport has no descriptor to look at.
func newWatch(c net.Conn, halfClose bool, gone func()) *watch {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	w := &watch{conn: c, raw: raw, events: unix.POLLHUP | unix.POLLERR, gone: gone}
	if !halfClose {
		w.events |= unix.POLLRDHUP
	}
	return w
}

// begin starts to look, unless stop came before. Only the first call counts.
func (w *watch) begin() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.begun {
		return
	}
	w.begun, w.done = true, make(chan struct{})
	// The deadline for reading the request is still armed and would end the watch.
	_ = w.conn.SetReadDeadline(time.Time{})
	go w.run()
}

// run is owned by the watch; stop waits for it.
func (w *watch) run() {
	defer close(w.done)
	left := false
	err := w.raw.Read(func(fd uintptr) bool {
		if w.isStopped() {
			return true
		}
		left = peerLeft(fd, w.events)
		return left
	})
	if w.isStopped() {
		return
	}
	if left || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		w.gone()
	}
}

func (w *watch) isStopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

func peerLeft(fd uintptr, events int16) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(p, 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n > 0 && p[0].Revents&(events|unix.POLLHUP|unix.POLLERR) != 0
	}
}

// stop ends the watch and leaves the connection to its server again.
func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.stopped = true
	begun := w.begun
	w.mu.Unlock()
	if !begun {
		return
	}
	_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	<-w.done
	_ = w.conn.SetReadDeadline(time.Time{})
}

// watcher begins the watches of requests that have been on their way for a while. It rests while there are none.
type watcher struct {
	mu           sync.Mutex // guards the fields below
	young, older []*watch   // of requests that came since the last tick, and in the time before it
	ticking      bool
}

// add has w begin after watchEvery at least and twice that time at most.
func (s *watcher) add(w *watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.young = append(s.young, w)
	if !s.ticking {
		s.ticking = true
		time.AfterFunc(watchEvery, s.tick)
	}
}

func (s *watcher) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.older {
		w.begin()
	}
	clear(s.older)
	s.older, s.young = slices.DeleteFunc(s.young, (*watch).isStopped), s.older[:0]
	if s.ticking = len(s.older) > 0; s.ticking {
		time.AfterFunc(watchEvery, s.tick)
	}
}

package gateway

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch looks for a client's leaving while its connection is otherwise left alone: one goroutine parked in the runtime's poller,
// woken by the peer's FIN or RST. It consumes no byte, so pipelined requests stay whole.
type watch struct {
	conn    net.Conn
	stopped atomic.Bool
	done    chan struct{}
}

// startWatch calls gone once when the peer leaves, unless stop came first. With halfClose a peer that only shut its sending side is
// still there. It returns nil where the transport has no descriptor to look at.
func startWatch(c net.Conn, halfClose bool, gone func()) *watch {
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
	// The deadline for reading the request is still armed and would wake the watch.
	_ = c.SetReadDeadline(time.Time{})
	w := &watch{conn: c, done: make(chan struct{})}
	events := int16(unix.POLLHUP | unix.POLLERR)
	if !halfClose {
		events |= unix.POLLRDHUP
	}
	go w.run(raw, events, gone)
	return w
}

// run is owned by the watch; stop waits for it.
func (w *watch) run(raw syscall.RawConn, events int16, gone func()) {
	defer close(w.done)
	left := false
	err := raw.Read(func(fd uintptr) bool {
		if w.stopped.Load() {
			return true
		}
		left = peerLeft(fd, events)
		return left
	})
	if w.stopped.Load() {
		return
	}
	if left || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		gone()
	}
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
	w.stopped.Store(true)
	_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	<-w.done
	_ = w.conn.SetReadDeadline(time.Time{})
}

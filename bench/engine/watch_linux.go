package engine

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch sees that the client of a request left while the handler is busy. The HTTP server does not read from the
// connection meanwhile; a goroutine is parked on it in the runtime's poller and asks the kernel, at each edge, whether
// the peer has closed. It reads no byte and needs no timer.
type watch struct {
	conn    *trackedConn
	stopped atomic.Bool
	done    chan struct{}
}

// startWatch calls gone, once, when the client leaves before stop.
func startWatch(c net.Conn, gone func()) *watch {
	conn, ok := c.(*trackedConn)
	if !ok {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	_ = conn.SetReadDeadline(time.Time{}) // the server's idle limit would wake us
	w := &watch{conn: conn, done: make(chan struct{})}
	go w.run(raw, gone)
	return w
}

// run is owned by the request; stop ends it.
func (w *watch) run(raw syscall.RawConn, gone func()) {
	defer close(w.done)
	left := false
	_ = raw.Read(func(fd uintptr) bool {
		if w.stopped.Load() {
			return true
		}
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		left = err == nil && n > 0 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		return left
	})
	if left && !w.stopped.Load() {
		gone()
	}
}

// stop ends the watch and gives the connection back to the HTTP server.
func (w *watch) stop() {
	if w == nil || w.stopped.Swap(true) {
		return
	}
	_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	<-w.done
	_ = w.conn.SetReadDeadline(time.Time{})
}

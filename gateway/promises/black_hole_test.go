package promises_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// blackHole is the URL of a port whose connections come to nothing: its backlog is full, so that the kernel drops what knocks.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port)
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return "http://" + address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this kernel takes every connection, however full the backlog is")
	return ""
}

// Promise: a replica whose packets vanish costs a request the connect time-out of 1 s, is out after at most 3 failures, and then no
// request is sent there, only a dial each second. No client sees a failure.
func TestPromise_BlackHole(t *testing.T) {
	well := func(c *call) bool { return c.serve() }
	g := open(t, pool, blackHole(t), startEngine(t, well).url, startEngine(t, well).url)
	n := count(1000, 5000)
	var mu sync.Mutex
	var waits times
	var failed, met atomic.Int64
	var all sync.WaitGroup
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		if i < 3 {
			<-time.After(1500 * time.Millisecond / 3) // the first ones alone: what comes while they hang shares their fate
		}
		all.Go(func() {
			sent := time.Now()
			r, err := once(g.address, chat, plainChat, "X-Warmlane-Explain: 1")
			if err != nil || !r.served(false) {
				failed.Add(1)
			}
			if r.tries() > 1 {
				met.Add(1)
				mu.Lock()
				waits = append(waits, time.Since(sent))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	none(t, "failures seen by clients, one replica is a black hole", int(failed.Load()), n)
	t.Logf("FIGURE requests that a black hole held up: %d of %d (promised 3), %v", met.Load(), n, waits)
	if met.Load() > 3 {
		t.Errorf("%d requests were sent into a black hole, want at most 3", met.Load())
	}
	if met.Load() > 0 {
		hold(t, "the longest of them", waits.at(1), 1500*time.Millisecond)
	}
}

package promises_test

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Promise: a client that leaves closes the engine's connection, so that the engine aborts: always, and p99 <= 50 ms, in every phase of
// a request. Half of the clients leave with a FIN, half with an RST.
func TestPromise_ClientLeaves(t *testing.T) {
	for _, phase := range []struct {
		name, body string
		begin      func(*call) // what the engine does before it falls silent
		reads      bool        // the client waits for the first event
		tries      int
	}{
		{"before the head, stream", streamChat, func(*call) {}, false, count(40, 1000)},
		{"before the head, plain", plainChat, func(*call) {}, false, count(40, 1000)},
		{"head but no event", streamChat, func(c *call) { c.write(streamHead + chunk(": ping\n\n")) }, false, count(40, 1000)},
		{"silent in mid stream", streamChat, func(c *call) { c.write(streamHead + chunk(delta)) }, true, count(40, 1000)},
		{"blocked in a write", streamChat, fill, false, count(6, 1000)},
	} {
		t.Run(phase.name, func(t *testing.T) {
			begun, closed := make(chan struct{}, 1), make(chan time.Time, 1)
			e := startEngine(t, func(c *call) bool {
				phase.begin(c)
				begun <- struct{}{}
				closed <- c.gone()
				return false
			})
			g := open(t, pool, e.url)
			var waits times
			for i := range phase.tries {
				c := narrow(t, g.address)
				if err := c.send(chat, phase.body); err != nil {
					t.Fatal(err)
				}
				<-begun
				if phase.reads {
					for line := ""; !strings.HasPrefix(line, "data:"); {
						var err error
						if line, err = c.br.ReadString('\n'); err != nil {
							t.Fatal(err)
						}
					}
				}
				left := time.Now()
				if i%2 == 1 {
					_ = c.conn.SetLinger(0)
				}
				_ = c.conn.Close()
				select {
				case at := <-closed:
					waits = append(waits, at.Sub(left))
				case <-time.After(patience):
					t.Fatalf("try %d: the engine's connection stays open", i)
				}
			}
			t.Logf("%d tries: %v", len(waits), waits)
			none(t, "engine connections left open, "+phase.name, phase.tries-len(waits), phase.tries)
			hold(t, "client leaves, "+phase.name+", p99", waits.at(0.99), 50*time.Millisecond)
		})
	}
}

// fill streams until nobody takes any more: the client does not read, so the gateway is stuck in a write.
func fill(c *call) {
	c.write(streamHead)
	text := chunk(strings.Replace(delta, "hi", strings.Repeat("hi", 16<<10), 1))
	for n, rest := 0, text; ; {
		_ = c.conn.SetWriteDeadline(time.Now().Add(25 * time.Millisecond))
		var err error
		if n, err = io.WriteString(c.conn, rest); err != nil {
			if n == 0 {
				return
			}
			rest = rest[n:]
			continue
		}
		rest = text
	}
}

// narrow is a client whose socket takes little, so that it is soon full.
func narrow(t *testing.T, address string) *client {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := wrap(conn)
	t.Cleanup(func() { _ = conn.Close() })
	return c
}

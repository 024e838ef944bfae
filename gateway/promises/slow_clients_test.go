package promises_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	slowRatio = 1.10 // the promise: the others' p99 beside slow clients, over their p99 without
	slowCut   = time.Second
)

// Promise: 1,000 clients that dribble their request or do not read their answer leave the p99 of others within 10 %, and each is cut at
// its deadline.
func TestPromise_SlowClients(t *testing.T) {
	slow, requests, deadline := count(40, 1000), count(400, 20_000), 2*time.Second
	if held() {
		deadline = 15 * time.Second
	}
	e := startEngine(t, func(c *call) bool {
		if c.id != "greedy" {
			return c.serve()
		}
		_ = c.conn.SetWriteBuffer(64 << 10) // what the engine's kernel keeps is none of the gateway's
		for ok := c.write(streamHead); ok; {
			ok = c.write(chunk(strings.Repeat(delta, 100)))
		}
		return false
	})
	g := open(t, fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s, read_timeout: {header: %[1]v, body: %[1]v}, write_timeout: %[1]v}
observe: {log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, probe_idle: false, health: {interval: 1h}}]
`, deadline), e.url)

	p99 := func() time.Duration {
		var mu sync.Mutex
		var took times
		crowd(requests, 8, g.address, func(_ int, w *worker) {
			before := time.Now()
			r, err := w.do(chat, plainChat)
			d := time.Since(before)
			if err != nil || !r.served(false) {
				t.Errorf("a quick client got %d, %v", r.status, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
		})
		return took.at(0.99)
	}

	limit := 10 * slowRatio
	if held() {
		limit = slowRatio
	}
	var ratio float64
	var late [3]times // by kind
	quiet(func() {
		alone := p99()
		var all sync.WaitGroup
		var mu sync.Mutex
		late = [3]times{}
		for i := range slow {
			all.Go(func() {
				took, err := beSlow(g.address, i%3, deadline)
				if err != nil {
					t.Errorf("slow client %d: %v", i, err)
				}
				mu.Lock()
				defer mu.Unlock()
				late[i%3] = append(late[i%3], took-deadline)
			})
		}
		<-time.After(deadline / 5) // until all are connected and those that do not read are full
		beside := p99()
		all.Wait()
		alone = max(alone, p99()) // what shares the machine comes and goes
		ratio = float64(beside) / float64(alone)
		t.Logf("p99 alone %v, beside %d slow clients %v", alone, slow, beside)
	}, func() bool { return ratio <= limit })
	t.Logf("FIGURE p99 of others beside %d slow clients: %.2f times their own (promised %.2f, held to %.2f here)", slow, ratio, slowRatio, limit)
	if ratio > limit {
		t.Errorf("the others' p99 is %.2f times their own", ratio)
	}
	for kind, name := range []string{"headers", "body", "reading"} {
		early := 0
		for _, d := range late[kind] {
			if d < -deadline/2 { // a write's deadline is set anew at most once in half its time
				early++
			}
		}
		t.Logf("slow in %s: cut after the deadline %v", name, late[kind])
		none(t, "slow in "+name+", cut before their time", early, len(late[kind]))
		hold(t, "slow in "+name+", longest beyond their deadline", late[kind].at(1), slowCut)
	}
}

// beSlow is a slow client of one of three kinds, and returns how long it was let: in its headers, in its body, or reading nothing.
func beSlow(address string, kind int, deadline time.Duration) (time.Duration, error) {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	c, err := d.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	head := "POST " + chat + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	text := head + "X: "
	switch kind {
	case 1:
		text = head + "Content-Length: 1000\r\n\r\n{"
	case 2:
		text = fmt.Sprintf("%sX-Request-Id: greedy\r\nContent-Length: %d\r\n\r\n%s", head, len(streamChat), streamChat)
	}
	begun := time.Now()
	_, err = io.WriteString(c, text)
	over := begun.Add(5*deadline + patience)
	if kind == 2 {
		_ = c.SetReadDeadline(over)
		return awaitReset(c.(*net.TCPConn), begun)
	}
	for tick := begun; err == nil && tick.Before(over); {
		tick = tick.Add(deadline / 20)
		_ = c.SetReadDeadline(tick)
		if _, err := io.ReadAll(c); !errors.Is(err, os.ErrDeadlineExceeded) { // the answer and the end
			return time.Since(begun), nil
		}
		_, err = io.WriteString(c, " ")
	}
	return time.Since(begun), err
}

// awaitReset waits for the end of a connection without reading from it.
func awaitReset(c *net.TCPConn, begun time.Time) (time.Duration, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0 && p[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	})
	return time.Since(begun), err
}

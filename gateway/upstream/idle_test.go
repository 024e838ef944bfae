package upstream

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func pipe(t *testing.T) (c *conn, closed func() bool) {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return &conn{Conn: near, tcp: near}, func() bool {
		_ = far.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := far.Read(make([]byte, 1))
		return !isTimeout(err)
	}
}

func TestIdle_LastInFirstOutUntilTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &idle{keep: 4 * time.Second}
		old, oldClosed := pipe(t)
		young, youngClosed := pipe(t)
		i.put(old, time.Now())
		time.Sleep(3 * time.Second)
		i.put(young, time.Now())
		if c := i.get(time.Now()); c != young {
			t.Error("the connection used last does not come first")
		}
		i.put(young, time.Now())
		time.Sleep(2 * time.Second) // the first is idle for 5 s, the second for 2 s
		synctest.Wait()
		if !oldClosed() || youngClosed() {
			t.Errorf("closed: idle for 5 s %v, for 2 s %v; want only the former", oldClosed(), youngClosed())
		}
		if c := i.get(time.Now()); c != young {
			t.Error("the young connection is gone")
		}
		if c := i.get(time.Now()); c != nil {
			t.Error("a closed connection is handed out")
		}
	})
}

// What one stale connection says of the others: those idle for as long are stale too, younger ones are not. One that was hardly idle
// was closed for itself and says nothing.
func TestIdle_DropsOnlyWhatIsAsOld(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, f := range []struct {
		age  time.Duration // of the stale one
		left int           // of connections idle for 4, 2 and 1 s
	}{{100 * time.Millisecond, 3}, {5 * time.Second, 3}, {3 * time.Second, 2}, {time.Second, 0}} {
		i := &idle{keep: time.Minute}
		var closed []func() bool
		for _, age := range []time.Duration{4, 2, 1} {
			c, gone := pipe(t)
			i.put(c, now.Add(-age*time.Second))
			closed = append(closed, gone)
		}
		i.dropAsOld(f.age, now)
		left := 0
		for _, gone := range closed {
			if !gone() {
				left++
			}
		}
		if left != f.left || len(i.conns) != f.left {
			t.Errorf("a stale one idle for %v left %d (%d listed), want %d", f.age, left, len(i.conns), f.left)
		}
		i.dropAll(true)
		i.timer.Stop()
	}
}

func TestIdle_KeepsNothingAfterClose(t *testing.T) {
	i := &idle{keep: time.Minute}
	i.dropAll(true)
	c, closed := pipe(t)
	i.put(c, time.Now())
	if !closed() {
		t.Error("a connection that came back after Close stays open")
	}
}

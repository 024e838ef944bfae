package promises_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/cputime"
)

const (
	eventsEach = 51                    // events of a stream
	eventPause = 10 * time.Millisecond // between two of them that come one by one
	// aloneCPU and burstCPU are the promise: CPU of the whole gateway an event. The first is all that a stream costs over its events, the
	// second what it costs beyond a plain answer.
	aloneCPU, burstCPU = 35 * time.Microsecond, 5 * time.Microsecond
)

// Promise: an event that comes alone costs at most 35 us of CPU, one of a burst 5 us. The gateway is a process of its own, as it is
// shipped, with its default policy.
func TestPromise_EventCPU(t *testing.T) {
	burst := strings.Repeat(chunk(delta), eventsEach-1) + chunk(finish) + chunk(done) + lastChunk
	e := startEngine(t, func(c *call) bool {
		switch {
		case !c.stream:
			return c.write(wholePlain())
		case strings.HasPrefix(c.id, "burst"):
			return c.write(streamHead + burst)
		default:
			return c.oneByOne()
		}
	})
	m := newManager(t, build(t), fmt.Sprintf("server: {lame_duck: 0s}\npools: [{name: m, engine: generic, endpoints: [%q]}]\n", e.url))
	pid := m.start().Process.Pid
	run := func(name, body string, rate float64, n int) time.Duration {
		steady(t, m.addresses[0], name, body, rate, n/5) // connections are made
		before := cpuOf(t, pid)
		steady(t, m.addresses[0], name, body, rate, n)
		return (cpuOf(t, pid) - before) / time.Duration(n)
	}
	var alone, together time.Duration
	quiet(func() {
		plain := run("plain", plainChat, 200, count(100, 1000))
		alone = run("alone", streamChat, 100, count(50, 500)) / eventsEach
		together = max(0, run("burst", streamChat, 200, count(100, 1000))-plain) / eventsEach
		t.Logf("a plain request %v, an event alone %v, of a burst %v", plain, alone, together)
	}, func() bool { return alone <= ceiling(aloneCPU) && together <= ceiling(burstCPU) })
	hold(t, "CPU of an event that comes alone", alone, aloneCPU)
	hold(t, "CPU of an event of a burst", together, burstCPU)
}

// oneByOne streams events with a pause after each.
func (c *call) oneByOne() bool {
	if !c.write(streamHead + chunk(delta)) {
		return false
	}
	tick := time.NewTicker(eventPause)
	defer tick.Stop()
	for range eventsEach - 2 {
		<-tick.C
		if !c.write(chunk(delta)) {
			return false
		}
	}
	<-tick.C
	return c.write(chunk(finish) + chunk(done) + lastChunk)
}

// steady sends n requests at a rate a second, each of which must be answered whole.
func steady(t *testing.T, address, name, body string, rate float64, n int) {
	t.Helper()
	start := time.Now()
	var failed atomic.Int64
	crowd(n, 128, address, func(i int, w *worker) {
		<-time.After(time.Until(start.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		r, err := w.do(chat, body, "X-Request-Id: "+name+strconv.Itoa(i))
		if err != nil || r.status != 200 || r.cut != nil {
			failed.Add(1)
		}
	})
	if k := failed.Load(); k > 0 {
		t.Fatalf("%d of %d %s requests failed", k, n, name)
	}
}

func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	used, err := cputime.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	return used
}

package promises_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: retries cannot multiply an outage. Every engine of a pool takes each request and dies of it: what reaches the engines is at
// most a fifth more than the requests of the last 10 s, and 20 at once where they are few. Nothing is ever tried again after its first
// event.
func TestPromise_RetryBudget(t *testing.T) {
	var hits atomic.Int64
	stubborn := strings.Replace(pool, "interval: 1h", "interval: 1h, eject_after: 1000000", 1)
	for name, die := range map[string]func(c *call){
		"before the first event": func(c *call) { c.reset() },
		"after the first event":  func(c *call) { c.write(streamHead + chunk(delta)) },
	} {
		t.Run(name, func(t *testing.T) {
			hits.Store(0)
			var urls []string
			for range 4 {
				urls = append(urls, startEngine(t, func(c *call) bool {
					hits.Add(1)
					die(c)
					return false
				}).url)
			}
			g := open(t, stubborn, urls...)
			n := count(400, 10_000)
			start := time.Now()
			crowd(n, 16, g.address, func(_ int, w *worker) { _, _ = w.do(chat, streamChat) })
			took := time.Since(start)
			extra := int(hits.Load()) - n
			if name == "after the first event" {
				none(t, "retries after the first event", extra, n)
				return
			}
			// What draws on the budget are retries. Beside them each engine sees one request twice: the connection of its health probe
			// was kept, and one that breaks at once when it is used again counts as closed before, and is replaced.
			retries := metric(t, g, `warmlane_retries_total{model="m",pool="m"}`)
			most := max(20, n/5) // a run within one window
			if took > 10*time.Second {
				most += 20 * int(took/(10*time.Second)) // each window has its own 20 at least
			}
			t.Logf("FIGURE retries while every engine dies: %d of %d requests in %v (promised at most %d), and %d replaced connections",
				retries, n, took.Round(time.Millisecond), most, extra-retries)
			if retries > most {
				t.Errorf("%d retries, more than %d", retries, most)
			}
			if retries == 0 {
				t.Error("nothing was tried again: nothing is shown")
			}
		})
	}
}

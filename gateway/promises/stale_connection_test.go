package promises_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: a pooled connection that the engine closes while it is idle costs no request: 0 of 5,000. There is one engine only, so that
// no other endpoint can hide a failure; it closes each connection after 10 to 30 ms without a request, and clients pause about as long.
func TestPromise_StaleConnection(t *testing.T) {
	e := startIdling(t, func() time.Duration { return 10*time.Millisecond + rand.N(20*time.Millisecond) }, (*call).serve)
	g := open(t, pool, e.url)
	n := count(800, 5000)
	var failed atomic.Int64
	crowd(n, 40, g.address, func(i int, w *worker) {
		<-time.After(rand.N(40 * time.Millisecond))
		body := plainChat
		if i%2 == 0 {
			body = streamChat
		}
		if r, err := w.do(chat, body); err != nil || !r.served(i%2 == 0) {
			if failed.Add(1) < 5 {
				t.Logf("request %d: %v %v, %d %s", i, err, r.cut, r.status, r.body)
			}
		}
	})
	t.Logf("%d requests over %d connections", n, e.connections())
	none(t, "requests lost to closed idle connections", int(failed.Load()), n)
	if e.connections() < n/20 {
		t.Errorf("only %d connections for %d requests: hardly any went stale", e.connections(), n)
	}
}

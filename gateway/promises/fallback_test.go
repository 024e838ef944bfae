package promises_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: while a pool refuses (503, or the same inside a 200 stream), the route's next target answers every request, event streams
// whole, without a wait for the pool; when the pool takes requests again, they return to it by themselves.
func TestPromise_Fallback(t *testing.T) {
	var busy atomic.Bool
	primary := func(c *call) bool {
		switch {
		case !busy.Load():
			return c.serve()
		case c.stream && c.id[len(c.id)-1]%2 == 0:
			return c.write(streamHead + chunk(`data: {"error": {"message": "The engine is currently busy and cannot accept new requests.", "type": "Service Unavailable", "code": 503}}`+"\n\n") + chunk(done) + lastChunk)
		default:
			return c.write("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		}
	}
	spare := startEngine(t, func(c *call) bool { return c.serve() })
	g := open(t, pool+fmt.Sprintf(`
providers: [{name: out, base_url: "%s/v1", keys: [k]}]
routes: [{models: [m], targets: [{pool: m}, {provider: out, model: big}]}]
`, spare.url), startEngine(t, primary).url, startEngine(t, primary).url)

	send := func(n int) (at map[string]int, slow times, failed int) {
		at = map[string]int{}
		var mu sync.Mutex
		crowd(n, 16, g.address, func(i int, w *worker) {
			body := plainChat
			if i%2 == 0 {
				body = streamChat
			}
			sent := time.Now()
			r, err := w.do(chat, body, fmt.Sprintf("X-Request-Id: r%d", i/2))
			took := time.Since(sent)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !r.served(i%2 == 0) {
				if failed++; failed < 5 {
					t.Logf("request %d: %v %v, %d %.300s", i, err, r.cut, r.status, r.body)
				}
				return
			}
			at[r.header.Get("X-Warmlane-Target")]++
			slow = append(slow, took)
		})
		return at, slow, failed
	}

	n := count(300, 5_000)
	at, before, failed := send(n)
	none(t, "failures before", failed, n)
	if at["m"] != n {
		t.Errorf("before: answered by %v, want the pool alone", at)
	}
	busy.Store(true)
	at, during, failed := send(n)
	none(t, "failures while the pool refuses", failed, n)
	if at["out"] != n {
		t.Errorf("while the pool refuses: answered by %v, want the provider alone", at)
	}
	t.Logf("FIGURE the pool refuses: %v; before: %v", during, before)
	hold(t, "longest request while the pool refuses", during.at(1), time.Second)

	busy.Store(false)
	start := time.Now()
	back := false
	for !back && time.Since(start) < 30*time.Second {
		r, err := once(g.address, chat, plainChat)
		if err != nil || !r.served(false) {
			t.Fatalf("answered %d %v %s", r.status, err, r.body)
		}
		back = r.header.Get("X-Warmlane-Target") == "m"
	}
	hold(t, "traffic is back after", time.Since(start), 12*time.Second)
	await(t, "the pool answers everything", patience, func() bool {
		at, _, failed := send(50)
		return failed == 0 && at["m"] == 50
	})
}

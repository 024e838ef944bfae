package promises_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: limits are exact under concurrency: of 64 callers at once exactly the size of the bucket passes, and what it was refilled
// with meanwhile. The limits live in the gateway's memory; two rates and one bucket for each user stand at once.
func TestPromise_LimitsAreExact(t *testing.T) {
	const users, callers = 4, 64
	size := count(50, 500)
	var served atomic.Int64
	e := startEngine(t, func(c *call) bool {
		served.Add(1)
		return c.serve()
	})
	g := open(t, pool+fmt.Sprintf("limits: [{name: each, by: user, requests: [%d/h, 100000/min]}]\n", size), e.url)
	var mu sync.Mutex
	var passed [users]int
	wrong := 0
	began := time.Now()
	crowd(users*size*3, callers, g.address, func(i int, w *worker) {
		user := i % users
		r, err := w.do(chat, fmt.Sprintf(`{"model":"m","user":"u%d","messages":[{"role":"user","content":"hello"}]}`, user))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil && r.served(false):
			passed[user]++
		case err != nil || r.status != 429 || r.header.Get("Retry-After") == "":
			if wrong++; wrong < 5 {
				t.Logf("request %d: %v, %d %v %s", i, err, r.status, r.header, r.body)
			}
		}
	})
	refill := int(math.Ceil(time.Since(began).Hours() * float64(size)))
	over, under := 0, 0
	for _, n := range passed {
		over += max(0, n-size-refill)
		under += max(0, size-n)
	}
	t.Logf("%v of %d each passed, at most %d refilled", passed, size, refill)
	none(t, "requests beyond their limit", over, users*size*3)
	none(t, "requests refused below their limit", under, users*size*3)
	none(t, "refusals without 429 and Retry-After", wrong, users*size*3)
	if total := passed[0] + passed[1] + passed[2] + passed[3]; int(served.Load()) != total {
		t.Errorf("the engine served %d requests, clients got %d answers", served.Load(), total)
	}
}

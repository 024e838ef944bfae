package promises_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/redistest"
)

// Promise: Redis gone or hung costs a request <= 30 ms, and the first time-out opens the breaker for all. About 500 requests/s run while Redis is
// stopped, goes on, is killed and comes back; half of them meet a limit of a fifth of their rate, of which no more pass than its size and rate
// allow, and its size once more for the Redis that comes back empty.
func TestPromise_RedisTrouble(t *testing.T) {
	const promised, few = 30 * time.Millisecond, 50
	e := startEngine(t, func(c *call) bool { return c.serve() })
	s := redistest.Start(t)
	g := open(t, "redis: {url: \""+s.URL+"\"}\n"+pool+"limits: [{name: all, requests: 1000000/s, tokens: 100000000/min, concurrency: 1000}, {name: few, match: {query: {few: \"1\"}}, requests: 50/s}]\ncache: [{name: all}]\n", e.url)
	phases := []string{"before", "hung", "back", "gone", "restarted"}
	var taken []times
	failed, n := 0, 0
	var passed []int // of what meets the limit, by phase
	var lasted []time.Duration
	quiet(func() {
		var phase atomic.Int32
		taken, passed, lasted = make([]times, len(phases)), make([]int, len(phases)), make([]time.Duration, len(phases))
		var mu sync.Mutex
		stop := make(chan struct{})
		var all sync.WaitGroup
		for i := range 8 {
			path, limited := chat, i%2 == 0
			if limited {
				path += "?few=1"
			}
			all.Go(func() {
				w := &worker{address: g.address}
				defer w.drop()
				tick := time.NewTicker(16 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					at, sent := phase.Load(), time.Now()
					r, err := w.do(path, plainChat, "Cache-Control: no-cache") // the cache is asked and its answer not taken
					took := time.Since(sent)
					mu.Lock()
					taken[at] = append(taken[at], took)
					n++
					switch {
					case err == nil && r.served(false) && limited:
						passed[at]++
					case err == nil && (r.served(false) || limited && r.status == 429):
					default:
						failed++
					}
					mu.Unlock()
				}
			})
		}
		long := time.Duration(count(300, 3000)) * time.Millisecond
		for i, begin := range []func(){
			func() {}, s.Pause, s.Continue, s.Kill, s.Start,
		} {
			phase.Store(int32(i))
			began := time.Now()
			begin()
			<-time.After(long)
			lasted[i] = time.Since(began)
		}
		close(stop)
		all.Wait()
	}, func() bool {
		return taken[1].at(1)-taken[0].at(0.5) <= promised && taken[3].at(1)-taken[0].at(0.5) <= promised
	})
	for i, what := range phases {
		t.Logf("redis %s: %v", what, taken[i])
	}
	none(t, "requests that failed beside a Redis in trouble", failed, n)
	waited := 0
	for _, d := range taken[1] {
		if d > 20*time.Millisecond {
			waited++
		}
	}
	t.Logf("%d of %d requests waited while Redis hung, 8 were under way at most", waited, len(taken[1]))
	if held() && waited > 8 {
		t.Error("more requests waited than were under way when the first timed out")
	}
	all, allowed := 0, float64(2*few)
	for i, what := range phases {
		all += passed[i]
		allowed += few * lasted[i].Seconds()
		t.Logf("redis %s for %v: %d passed a limit of %d/s", what, lasted[i].Round(time.Millisecond), passed[i], few)
	}
	t.Logf("FIGURE requests that passed a limit of %d/s while Redis hung, died and came back empty: %d of %.0f allowed, %d too many", few, all, allowed, max(0, all-int(allowed)))
	if float64(all) > allowed {
		t.Errorf("%d requests passed where %.0f may", all, allowed)
	}
	hold(t, "the longest request beside a hung Redis, beyond the median before", taken[1].at(1)-taken[0].at(0.5), promised)
	hold(t, "the longest request beside a dead Redis, beyond the median before", taken[3].at(1)-taken[0].at(0.5), promised)
}

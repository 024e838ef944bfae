package promises_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: a pooled connection that the engine closes while it is idle costs no request: 0 of 5,000. A pool has one endpoint only, so
// that no other can hide a failure; the engine closes each connection after 10 to 30 ms without a request, and requests of a pool are
// about as far apart. There are many pools, each with connections of its own, so that it takes no minutes.
//
// The gateway takes an end for that of a stale connection when it shows within 100 ms of sending. A machine that lets processes wait for
// longer than that can lose a request, which is then told later than that: such ones count only where figures are held.
func TestPromise_StaleConnection(t *testing.T) {
	const pools = 40
	e := startIdling(t, func() time.Duration { return 10*time.Millisecond + rand.N(20*time.Millisecond) }, (*call).serve)
	var yaml strings.Builder
	yaml.WriteString("server: {lame_duck: 0s, drain: 2s}\nobserve: {log: {level: error}}\npools:\n")
	for i := range pools {
		fmt.Fprintf(&yaml, "  - {name: m%d, engine: generic, endpoints: [%q], policy: round_robin, health: {interval: 1h}}\n", i, e.url)
	}
	g := open(t, yaml.String())
	n := count(1200, 5000)
	var failed, late atomic.Int64
	crowd(n, pools, g.address, func(i int, w *worker) {
		<-time.After(rand.N(40 * time.Millisecond))
		body := strings.Replace(plainChat, `"m"`, fmt.Sprintf(`"m%d"`, i%pools), 1)
		if i%2 == 0 {
			body = strings.Replace(streamChat, `"m"`, fmt.Sprintf(`"m%d"`, i%pools), 1)
		}
		sent := time.Now()
		if r, err := w.do(chat, body); err != nil || !r.served(i%2 == 0) {
			if !held() && time.Since(sent) >= 100*time.Millisecond && r.status == 502 {
				late.Add(1)
				return
			}
			if failed.Add(1) < 5 {
				t.Logf("request %d: %v %v, %d %s", i, err, r.cut, r.status, r.body)
			}
		}
	})
	t.Logf("%d requests over %d connections, %d lost because the machine was late", n, e.connections(), late.Load())
	none(t, "requests lost to closed idle connections", int(failed.Load()), n)
	if e.connections() < n/10 {
		t.Errorf("only %d connections for %d requests: hardly any went stale", e.connections(), n)
	}
}

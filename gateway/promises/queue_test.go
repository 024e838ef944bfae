package promises_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// onePlace is a pool of one endpoint with one place, and a queue that holds one.
const onePlace = `
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
pools:
  - name: m
    engine: generic
    endpoints: [{url: ENGINE, max_concurrency: 1}]
    health: {interval: 1h}
    queue: {max: 1, wait: 1h}
`

// openHeld starts a gateway whose one place is taken until release is closed, in front of an engine that notes whom it sees.
func openHeld(t *testing.T) (g *gate, seen func() []string, release chan struct{}) {
	t.Helper()
	var mu sync.Mutex
	var ids []string
	holds, release := make(chan struct{}), make(chan struct{})
	e := startEngine(t, func(c *call) bool {
		mu.Lock()
		ids = append(ids, c.id)
		mu.Unlock()
		if c.id == "holds" {
			close(holds)
			<-release
		}
		return c.serve()
	})
	g = open(t, strings.ReplaceAll(onePlace, "ENGINE", e.url))
	if err := mustDial(t, g.address).send(chat, streamChat, "X-Request-Id: holds"); err != nil {
		t.Fatal(err)
	}
	<-holds
	return g, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return ids
	}, release
}

// queued is how many requests wait in the first pool, and how many have left.
func (g *gate) queued(t *testing.T) (length, left int) {
	t.Helper()
	resp, err := http.Get("http://" + g.admin + "/admin/v1/pools")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Pools []struct{ Queue struct{ Length, Left int } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got.Pools) == 0 {
		t.Fatalf("the admin API tells no pools: %v", err)
	}
	return got.Pools[0].Queue.Length, got.Pools[0].Queue.Left
}

// Promise: a client that leaves while its request waits in a pool's queue is forgotten there, p99 <= 50 ms, and no engine ever sees the
// request. Half of the clients leave with a FIN, half with an RST.
func TestPromise_ClientLeavesTheQueue(t *testing.T) {
	g, seen, release := openHeld(t)
	tries := count(40, 1000)
	var waits times
	for i := range tries {
		c := mustDial(t, g.address)
		if err := c.send(chat, []string{streamChat, plainChat}[i/2%2], fmt.Sprintf("X-Request-Id: leaves-%d", i)); err != nil {
			t.Fatal(err)
		}
		await(t, "the request in the queue", patience, func() bool { n, _ := g.queued(t); return n == 1 })
		left := time.Now()
		if i%2 == 1 {
			_ = c.conn.SetLinger(0)
		}
		_ = c.conn.Close()
		await(t, "the queue to forget the request", patience, func() bool { _, n := g.queued(t); return n == i+1 })
		waits = append(waits, time.Since(left))
	}
	close(release)
	if r, err := once(g.address, chat, plainChat, "X-Request-Id: stays"); err != nil || !r.served(false) {
		t.Errorf("a request after all of them: %v, %d %s", err, r.status, r.body)
	}
	t.Logf("%d tries: %v", len(waits), waits)
	none(t, "requests that an engine saw although their client had left the queue", len(seen())-2, tries)
	hold(t, "client leaves the queue, p99", waits.at(0.99), 50*time.Millisecond)
}

// Promise: a full queue refuses in < 10 ms (p99) with 429, Retry-After and an error in OpenAI's form.
func TestPromise_FullQueueRefuses(t *testing.T) {
	g, seen, release := openHeld(t)
	waits := mustDial(t, g.address)
	if err := waits.send(chat, plainChat, "X-Request-Id: waits"); err != nil {
		t.Fatal(err)
	}
	await(t, "the request in the queue", patience, func() bool { n, _ := g.queued(t); return n == 1 })
	refuseAll(t, g, count(200, 5000), 429, "refusal by a full queue")
	close(release)
	if r, err := waits.receive(); err != nil || !r.served(false) {
		t.Errorf("the one that waited: %v, %d %s", err, r.status, r.body)
	}
	none(t, "refused requests that an engine saw", len(seen())-2, count(200, 5000))
}

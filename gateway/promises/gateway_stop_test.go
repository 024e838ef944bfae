package promises_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Promise: stopping the gateway costs no request. Keep-alive clients that go on during the lame duck are told, in a good answer, that
// their connection ends; as a load balancer would, each of them then turns away.
func TestPromise_GatewayStop_KeepAliveRequests(t *testing.T) {
	rounds, clients := count(1, 10), 64
	failed, tried, told := 0, 0, 0
	for range rounds {
		e := startEngine(t, (*call).serve)
		g := open(t, `
server: {lame_duck: 1s, drain: 5s}
observe: {log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, health: {interval: 1h}}]
`, e.url)
		var warm, all sync.WaitGroup
		var mu sync.Mutex
		warm.Add(clients)
		for i := range clients {
			all.Go(func() {
				stream := i%2 == 0
				body := plainChat
				if stream {
					body = streamChat
				}
				w := &worker{address: g.address}
				defer w.drop()
				for n := 0; ; n++ {
					r, err := w.do(chat, body)
					if n == 0 {
						warm.Done()
					}
					mu.Lock()
					tried++
					switch {
					case err != nil || !r.served(stream):
						failed++
						t.Logf("client %d, request %d: %v %v, %d %s", i, n, err, r.cut, r.status, r.body)
					case r.close:
						told++
					}
					mu.Unlock()
					if err != nil || r.close {
						return
					}
				}
			})
		}
		warm.Wait()
		g.cancel()
		all.Wait()
		<-g.ended
	}
	none(t, "requests failed by a stopping gateway", failed, tried)
	none(t, "clients not told that their connection ends", rounds*clients-told, rounds*clients)
}

// Promise: new connections are served as well during the lame duck, while readiness already fails and liveness does not.
func TestPromise_GatewayStop_LameDuck(t *testing.T) {
	e := startEngine(t, (*call).serve)
	g := open(t, `
server: {lame_duck: 2s, drain: 5s}
observe: {log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, health: {interval: 1h}}]
`, e.url)
	if got := probe(t, g, "/readyz"); got != 200 {
		t.Errorf("readyz says %d before the stop", got)
	}
	stopped := time.Now()
	g.cancel()
	await(t, "readyz to fail", 2*time.Second, func() bool { return probe(t, g, "/readyz") == 503 })
	hold(t, "readiness fails after", time.Since(stopped), 200*time.Millisecond)
	failed, tried := 0, 0
	for time.Since(stopped) < time.Second {
		tried++
		if r, err := once(g.address, chat, plainChat); err != nil || !r.served(false) {
			failed++
			t.Logf("request %d: %v, %d %s", tried, err, r.status, r.body)
		}
	}
	if got := probe(t, g, "/healthz"); got != 200 {
		t.Errorf("healthz says %d in the lame duck", got)
	}
	none(t, "new connections failed in the lame duck", failed, tried)
}

// probe asks the admin listener for a page and returns the status.
func probe(t *testing.T, g *gate, path string) int {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Get("http://" + g.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Promise: streams may finish within the drain time; what is left after it ends with an explicit error.
func TestPromise_GatewayStop_Streams(t *testing.T) {
	const drain = 2 * time.Second
	half := count(10, 100)
	finishing := make(chan struct{})
	var begun atomic.Int64
	e := startEngine(t, func(c *call) bool {
		c.write(streamHead + chunk(delta))
		begun.Add(1)
		if c.id == "endless" {
			c.gone()
			return false
		}
		<-finishing
		return c.write(chunk(finish) + chunk(done) + lastChunk)
	})
	g := open(t, `
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, health: {interval: 1h}}]
`, e.url)
	type ending struct {
		reply
		endless bool
		err     error
	}
	ends := make(chan ending, 2*half)
	for i := range 2 * half {
		go func() { // ends with its stream, at the latest when the gateway has drained
			id, endless := "short", i%2 == 1
			if endless {
				id = "endless"
			}
			r, err := once(g.address, chat, streamChat, "X-Request-Id: "+id)
			ends <- ending{r, endless, err}
		}()
	}
	await(t, "streams to begin", patience, func() bool { return begun.Load() == int64(2*half) })
	stopped := time.Now()
	g.cancel()
	await(t, "the listener to close", patience, func() bool {
		c, err := dial(g.address)
		if err == nil {
			_ = c.conn.Close()
		}
		return err != nil
	})
	close(finishing)
	cut, wordless := 0, 0
	for range 2 * half {
		switch r := <-ends; {
		case r.endless && (r.err != nil || r.status != 200 || r.cut == nil || !r.errorEvent()):
			wordless++
			t.Logf("an endless stream ended with %v %v, %d %s", r.err, r.cut, r.status, r.body)
		case !r.endless && (r.err != nil || !r.served(true)):
			cut++
			t.Logf("a short stream ended with %v %v, %d %s", r.err, r.cut, r.status, r.body)
		}
	}
	<-g.ended
	took := time.Since(stopped)
	none(t, "streams cut within the drain time", cut, half)
	none(t, "streams ended without a word after it", wordless, half)
	hold(t, "gateway gone after the drain time by", max(0, took-drain), 2*time.Second)
}

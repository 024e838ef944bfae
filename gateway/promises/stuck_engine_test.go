package promises_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stuckEngine takes every request, generation probes included, and says nothing, while its health page answers 200.
func stuckEngine(t *testing.T) (url string, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	l := listen(t)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the gateway go
		reached.Add(1)
		<-r.Context().Done()
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String(), reached
}

// Promise: an engine hangs while its health page answers. Requests for answers in one piece, whose first byte is their end, are all answered
// by others within the time for a first event and one normal answer: the hanging engine is found by its silence.
func TestPromise_StuckEngine(t *testing.T) {
	const firstEvent = time.Minute // the default
	body := plainChat
	if !held() { // where nothing tells how long an answer may be, a long one is foreseen, and silence is borne for longer
		body = strings.Replace(body, `"model"`, `"max_tokens":8,"model"`, 1)
	}
	t.Run("one of three", func(t *testing.T) {
		t.Parallel()
		stuck, reached := stuckEngine(t)
		g := open(t, strings.Replace(pool, "interval: 1h", "interval: 5s", 1), stuck, startEngine(t, (*call).serve).url, startEngine(t, (*call).serve).url)
		longest, failed := plainRequests(g, count(15, 40), count(300, 10_000), body)
		none(t, "requests in one piece that fail, one engine of three hangs", failed, count(300, 10_000))
		told(t, longest, firstEvent)
		if reached.Load() == 0 {
			t.Error("no request met the stuck engine: nothing is shown")
		}
	})
	t.Run("the only one, before another pool", func(t *testing.T) {
		t.Parallel()
		stuck, _ := stuckEngine(t)
		const two = `
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
pools: [{name: a, engine: generic, endpoints: ["STUCK"], health: {interval: 5s}}, {name: b, engine: generic, endpoints: ENGINES}]
routes: [{models: [m], targets: [{pool: a}, {pool: b}]}]
`
		g := open(t, strings.Replace(two, "STUCK", stuck, 1), startEngine(t, (*call).serve).url)
		longest, failed := plainRequests(g, 15, 15, body)
		none(t, "requests in one piece that fail, the only engine hangs before a further target", failed, 15)
		told(t, longest, firstEvent)
	})
}

func told(t *testing.T, longest, promised time.Duration) {
	t.Helper()
	t.Logf("FIGURE ... the longest took %v (promised %v and a normal answer)", longest.Round(100*time.Millisecond), promised)
	if longest > ceiling(promised+time.Second) {
		t.Errorf("the longest request took %v", longest)
	}
}

// plainRequests sends n requests for answers in one piece from some clients at once.
func plainRequests(g *gate, clients, n int, body string) (longest time.Duration, failed int) {
	own := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: 5 * time.Minute}
	defer own.CloseIdleConnections()
	jobs := make(chan struct{}, n)
	for range n {
		jobs <- struct{}{}
	}
	close(jobs)
	var all sync.WaitGroup
	var mu sync.Mutex
	for range clients {
		all.Go(func() {
			for range jobs {
				sent := time.Now()
				ok := answered(own, "http://"+g.address+chat, body)
				mu.Lock()
				longest = max(longest, time.Since(sent))
				if !ok {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return longest, failed
}

func answered(c *http.Client, url, body string) bool {
	resp, err := c.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == 200 && string(text) == answer
}

package promises_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What the provider answers differs from what the pool does, so that each answer tells whose it is.
const (
	outsideAnswer = `{"id":"p1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"out"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}}`
	outsideDelta  = `data: {"id":"p1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"out"},"finish_reason":null}]}` + "\n\n"
	outsideFinish = `data: {"id":"p1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	outsideUsage  = `data: {"id":"p1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}}` + "\n\n"

	comeback = 12 * time.Second // the promise: the longest pause of a refusing engine is 10 s, with jitter
)

// Promise: while every engine of a pool answers 503 the provider that is the next target answers everybody, streams whole to the byte,
// usage is accounted to the provider, and when the pool takes requests again they go there by themselves.
func TestPromise_ProviderStepsIn(t *testing.T) {
	var full atomic.Bool
	var outside atomic.Int64
	replica := func(c *call) bool {
		switch {
		case full.Load():
			return c.write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		case c.stream:
			return c.write(wholeStream())
		}
		return c.write(wholePlain())
	}
	service := startEngine(t, func(c *call) bool {
		outside.Add(1)
		if c.stream {
			return c.write(streamHead + chunk(outsideDelta) + chunk(outsideFinish) + chunk(outsideUsage) + chunk(done) + lastChunk)
		}
		return c.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(outsideAnswer), outsideAnswer))
	})
	g := open(t, pool+`
providers: [{name: out, base_url: "`+service.url+`/v1", keys: [sk-1, sk-2]}]
routes: [{models: [m], targets: [{pool: m}, {provider: out, model: big}]}]
`, startEngine(t, replica).url, startEngine(t, replica).url, startEngine(t, replica).url)
	n := count(300, 10_000)

	failed, elsewhere := ask(t, g, n)
	none(t, "requests failed while the pool is well", failed, n)
	none(t, "requests went to the provider while the pool is well", elsewhere, n)

	full.Store(true)
	failed, elsewhere = ask(t, g, n)
	none(t, "requests failed while every engine answers 503", failed, n)
	if int64(elsewhere) != outside.Load() || elsewhere != n {
		t.Errorf("the provider answered %d of %d and was asked %d times", elsewhere, n, outside.Load())
	}
	for series, want := range map[string]int{
		`warmlane_requests_total{model="m",pool="out",status="200"}`: n,
		`warmlane_tokens_total{kind="prompt",model="m",pool="out"}`:  9 * n,
		`warmlane_tokens_total{kind="output",model="m",pool="out"}`:  2 * n,
	} {
		await(t, fmt.Sprintf("%s to be %d", series, want), patience, func() bool { return metric(t, g, series) == want }) // streams count after their end
	}
	t.Logf("FIGURE %d of %d answers of the provider accounted to it, whole to the byte", elsewhere, n)

	full.Store(false)
	back := time.Now()
	await(t, "the pool to answer again", ceiling(comeback), func() bool {
		r, err := once(g.address, chat, plainChat)
		return err == nil && r.body == answer
	})
	hold(t, "traffic returns to a pool that takes requests again", time.Since(back), comeback)
	asked := outside.Load()
	await(t, "all of it", ceiling(comeback), func() bool {
		failed, elsewhere = ask(t, g, 100)
		return failed == 0 && elsewhere == 0
	})
	t.Logf("%d more requests went to the provider until all three engines were back", outside.Load()-asked)
}

// ask sends n requests, every second one streamed, and returns how many failed and how many the provider answered.
func ask(t *testing.T, g *gate, n int) (failed, outside int) {
	t.Helper()
	var bad, out atomic.Int64
	crowd(n, 16, g.address, func(i int, w *worker) {
		stream := i%2 == 0
		body := plainChat
		if stream {
			body = streamChat
		}
		r, err := w.do(chat, body)
		switch {
		case err == nil && r.served(stream):
		case err == nil && r.status == 200 && r.cut == nil && (r.body == outsideAnswer || r.body == outsideDelta+outsideFinish+outsideUsage+done):
			out.Add(1)
		default:
			if bad.Add(1) < 5 {
				t.Logf("request %d: %v, %d %v %s", i, err, r.status, r.cut, r.body)
			}
		}
	})
	return int(bad.Load()), int(out.Load())
}

// metric reads one counter of the gateway, 0 if there is none.
func metric(t *testing.T, g *gate, series string) int {
	t.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
	}
	return 0
}

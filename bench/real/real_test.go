package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { http.DefaultClient.CloseIdleConnections() }))
}

func TestParseReplicas(t *testing.T) {
	got, err := parseReplicas("http://127.0.0.1:23111 41\nhttp://127.0.0.1:23112 42\n", 2)
	if err != nil || len(got) != 2 || got[1] != (replica{"http://127.0.0.1:23112", 42}) {
		t.Errorf("read %v, %v", got, err)
	}
	for _, text := range []string{"", "http://a 1\n", "http://a one\nhttp://b 2\n", "starting\nhttp://a 1\n"} {
		if got, err := parseReplicas(text, 2); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestParseLoad(t *testing.T) {
	got, err := parseLoad([]byte(`{"name":"","hit_rate":null,"ttft_ms":{"mean":12.5,"p50":1,"p99":2},"request_ms":{"mean":80},"requests":10,"errors":1}`))
	if err != nil || got.requests != 10 || got.failed != 1 || got.ttft != 12.5 || got.latency != 80 {
		t.Errorf("read %+v, %v", got, err)
	}
	for _, text := range []string{"", "warmlane: no such flag", `{"requests":0}`} {
		if _, err := parseLoad([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestJudge(t *testing.T) {
	run := func(name string, rate float64, failed int) result {
		return result{name: name, requests: 200, failed: failed, engines: []counters{{queries: 1000, hits: rate * 1000, requests: 200}}}
	}
	for _, c := range []struct {
		results []result
		fault   string
	}{
		{[]result{run("one replica", 0.8, 0), run("round_robin", 0.5, 0), run("warm", 0.79, 0)}, ""},
		{[]result{run("one replica", 0.8, 0), run("warm", 0.75, 0)}, "from the ideal"},
		{[]result{run("one replica", 0.8, 0), run("round_robin", 0.5, 3), run("warm", 0.8, 0)}, "round_robin: 3 of 200"},
		{[]result{run("one replica", math.NaN(), 0), run("warm", 0.8, 0)}, "from the ideal"},
	} {
		err := judge(c.results)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%v: %v, want %q", c.results, err, c.fault)
		}
		if text := table(c.results); !strings.Contains(text, "warm") || !strings.Contains(text, "0.8") {
			t.Errorf("table lacks the results:\n%s", text)
		}
	}
}

func TestReplica_CountAndChill(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.Path {
		case "GET/metrics":
			_, _ = io.WriteString(w, `vllm:num_requests_running{engine="0"} 3
vllm:prefix_cache_queries_total{engine="0"} 100
vllm:prefix_cache_hits_total{engine="0"} 40
vllm:request_success_total{engine="0",finished_reason="stop"} 5
vllm:request_success_total{engine="0",finished_reason="length"} 2
`)
		case "POST/reset_prefix_cache":
			_, _ = io.WriteString(w, `{"success": false}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	r := replica{url: server.URL}
	got, err := r.count(t.Context())
	if err != nil || got != (counters{queries: 100, hits: 40, requests: 7, running: 3}) {
		t.Errorf("count = %+v, %v", got, err)
	}
	if err := r.chill(t.Context()); err == nil {
		t.Error("a cache that was not emptied passed as empty")
	}
}

// Streams that end in each possible way, and requests of which some fail.
func TestCut_TellsEndingsApart(t *testing.T) {
	const content = `data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}` + "\n\n"
	release, over := make(chan struct{}), make(chan struct{})
	var asked int
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "later") {
			mu.Lock()
			asked++
			bad := asked == 2
			if bad {
				close(over)
			}
			mu.Unlock()
			if bad {
				http.Error(w, `{"error":{"message":"gone"}}`, http.StatusBadGateway)
				return
			}
			_, _ = io.WriteString(w, `{"choices":[{"finish_reason":"length"}]}`)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat(content, begun))
		w.(http.Flusher).Flush()
		<-release
		switch {
		case strings.Contains(string(body), "stream 0 "): // as promised
			_, _ = io.WriteString(w, `data: {"error":{"message":"the engine is gone"}}`+"\n\n")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case strings.Contains(string(body), "stream 1 "): // cut without a word
			panic(http.ErrAbortHandler)
		case strings.Contains(string(body), "stream 2 "): // looks complete and is not
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
		case strings.Contains(string(body), "stream 3 "): // whole
			_, _ = io.WriteString(w, `data: {"choices":[{"finish_reason":"length"}]}`+"\n\ndata: [DONE]\n\n")
		default: // goes on
			_, _ = io.WriteString(w, content)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	ctx, hangUp := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer hangUp()
	streams, err := openStreams(ctx, &readers, server.URL, 5)
	if err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	close(release)
	for _, s := range streams[:4] {
		<-s.over
	}
	c := &cut{doomed: 3}
	c.later, c.failed = askUntil(ctx, server.URL, over)
	c.sort(streams, stopped)
	if len(c.explicit) != 1 || c.explicit[0].number != 0 || len(c.wrong) != 2 || c.survivors != 2 || len(c.silent) != 0 {
		t.Errorf("sorted as %s", c)
	}
	if c.later < 2 || len(c.failed) != 1 {
		t.Errorf("%d later requests, %d failed, want one of two or more", c.later, len(c.failed))
	}
	text := fmt.Sprint(c.judge())
	for _, want := range []string{"stream 1 ended without a word", "stream 2 ended without a word", "3 streams ran", "502"} {
		if !strings.Contains(text, want) {
			t.Errorf("verdict lacks %q:\n%s", want, text)
		}
	}
}

// A crowd of which one is refused and tried elsewhere, and one is told of an error inside its stream.
func TestRefused_Judge(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"max_tokens":24`) {
			t.Errorf("asked for another length: %.200s", body)
		}
		if strings.Contains(string(body), "stream 1 ") {
			w.Header().Set("X-Warmlane-Tries", "2")
		}
		if strings.Contains(string(body), "stream 2 ") {
			_, _ = io.WriteString(w, `data: {"error":{"message":"the queue is full"}}`+"\n\ndata: [DONE]\n\n")
			return
		}
		_, _ = io.WriteString(w, `data: {"choices":[{"finish_reason":"length"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	r := atOnce(t.Context(), server.URL, 3)
	if r.whole != 2 || r.twice != 1 || len(r.failed) != 1 || r.failed[0].number != 2 {
		t.Errorf("counted %+v", r)
	}
	if err := r.judge(); err == nil || !strings.Contains(err.Error(), "stream 2 was not answered whole: the queue is full") {
		t.Errorf("verdict: %v", err)
	}
	if err := (&refused{streams: 3, whole: 3}).judge(); err == nil {
		t.Error("a crowd without a refusal passed")
	}
}

func TestConfig_NamesEveryReplica(t *testing.T) {
	text := string(config("127.0.0.1:1", "127.0.0.1:2", "warm", []replica{{"http://a", 1}, {"http://b", 2}}))
	for _, want := range []string{`"http://a", "http://b"`, "policy: warm", `listen: "127.0.0.1:1"`} {
		if !strings.Contains(text, want) {
			t.Errorf("configuration lacks %s:\n%s", want, text)
		}
	}
}

package scraper

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// quick is the interval of tests on real sockets.
const quick = 5 * time.Millisecond

// engine is an engine of which only the metrics and the models answer.
type engine struct {
	*httptest.Server
	page, models, path atomic.Value // string
	down               atomic.Bool  // connections end without an answer
	base               string
	needs              string // value of Authorization, when not empty
}

func newEngine(t *testing.T) *engine {
	e := &engine{}
	e.path.Store("/metrics")
	e.page.Store("")
	e.models.Store(vllmModels)
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.down.Load() {
		panic(http.ErrAbortHandler)
	}
	if e.needs != "" && r.Header.Get("Authorization") != e.needs {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case e.base + e.path.Load().(string):
		_, _ = io.WriteString(w, e.page.Load().(string))
	case e.base + "/v1/models":
		_, _ = io.WriteString(w, e.models.Load().(string))
	default:
		http.NotFound(w, r)
	}
}

// vllmPage is a small page of a process that began at a Unix second.
func vllmPage(running, waiting, started int) string {
	return fmt.Sprintf(`# TYPE process_start_time_seconds gauge
process_start_time_seconds %d
vllm:num_requests_running{engine="0",model_name="llama3"} %d
vllm:num_requests_waiting{engine="0",model_name="llama3"} %d
vllm:kv_cache_usage_perc{engine="0",model_name="llama3"} 0.5
vllm:prefix_cache_queries_total{engine="0",model_name="llama3"} 1000
vllm:prefix_cache_hits_total{engine="0",model_name="llama3"} 500
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1
`, started, running, waiting)
}

// event is one report to the pool; a nil load is Unobserved.
type event struct {
	endpoint *balancer.Endpoint
	load     *balancer.Load
}

// recorder is a pool that hands every report on to the test.
type recorder struct {
	*balancer.Pool
	events chan event
	done   chan struct{} // closed when the test wants no more
	poller *Poller
	stop   func()
}

func newRecorder(t testing.TB, urls ...string) *recorder {
	t.Helper()
	var endpoints []balancer.EndpointConfig
	for _, u := range urls {
		endpoints = append(endpoints, balancer.EndpointConfig{URL: u})
	}
	pool, err := balancer.NewPool(balancer.PoolConfig{Name: "llama3", Policy: noPolicy{}, Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{Pool: pool, events: make(chan event), done: make(chan struct{})}
}

// collect runs a poller over endpoints until the test ends.
func collect(t *testing.T, cfg Config, urls ...string) *recorder {
	t.Helper()
	cfg.Interval = quick
	r := newRecorder(t, urls...)
	p, err := New(cfg, r, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	r.poller = p
	r.stop = func() {
		cancel()
		select {
		case <-r.done:
		default:
			close(r.done)
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("Run does not return")
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *recorder) Observe(e *balancer.Endpoint, l balancer.Load, _ time.Time) {
	r.report(event{e, &l})
}
func (r *recorder) Unobserved(e *balancer.Endpoint, _ time.Time) { r.report(event{e, nil}) }

func (r *recorder) report(e event) {
	select {
	case r.events <- e:
	case <-r.done:
	}
}

// drain takes all reports until ctx ends.
func (r *recorder) drain(ctx context.Context) {
	for {
		select {
		case <-r.events:
		case <-ctx.Done():
			close(r.done)
			return
		}
	}
}

// next is the next report.
func (r *recorder) next(t *testing.T) event {
	t.Helper()
	select {
	case e := <-r.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no report within 10 s")
		return event{}
	}
}

// observed is the next observation; reports of failures before it are passed over.
func (r *recorder) observed(t *testing.T) balancer.Load {
	t.Helper()
	return r.until(t, "any observation", func(balancer.Load) bool { return true })
}

// until waits for an observation.
func (r *recorder) until(t *testing.T, what string, is func(balancer.Load) bool) balancer.Load {
	t.Helper()
	for range 1000 {
		if e := r.next(t); e.load != nil && is(*e.load) {
			return *e.load
		}
	}
	t.Fatalf("1000 reports without %s", what)
	return balancer.Load{}
}

// untilLost waits for a report of failure.
func (r *recorder) untilLost(t *testing.T) {
	t.Helper()
	for range 1000 {
		if r.next(t).load == nil {
			return
		}
	}
	t.Fatal("1000 observations of an engine that is down")
}

// answers is a transport that needs no network.
type answers func(*http.Request) (status int, body string)

func (a answers) RoundTrip(q *http.Request) (*http.Response, error) {
	status, body := a(q)
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: q, Header: http.Header{}}, nil
}

// tripper is a transport whose answers are all 200.
func tripper(body func(*http.Request) string) answers {
	return func(q *http.Request) (int, string) { return http.StatusOK, body(q) }
}

// noPolicy chooses nothing: no request passes through the pools of these tests.
type noPolicy struct{}

func (noPolicy) Name() string                             { return "none" }
func (noPolicy) Pick(*balancer.View) (best, runnerUp int) { return -1, -1 }

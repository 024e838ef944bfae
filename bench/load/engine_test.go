package load_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/load"
	"github.com/warmlane/warmlane/bench/workload"
)

// front sends requests to its engines in turn.
type front struct {
	next    atomic.Uint64
	proxies []*httputil.ReverseProxy
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Otherwise net/http closes the request's body with the answer's head, and the proxy may meet it closed.
	_ = http.NewResponseController(w).EnableFullDuplex()
	f.proxies[f.next.Add(1)%uint64(len(f.proxies))].ServeHTTP(w, r)
}

// roundRobin is the URL of a front over the engines.
func roundRobin(t *testing.T, urls []string) string {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f := &front{}
	for _, u := range urls {
		to, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(to)
		proxy.FlushInterval, proxy.Transport = -1, transport
		f.proxies = append(f.proxies, proxy)
	}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// engines starts simulated replicas.
func engines(t *testing.T, n int) (urls []string) {
	t.Helper()
	for i := range n {
		s, err := engine.Start(engine.Config{TimeScale: 50, Seed: 1, Replica: i, OutputMean: 40})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		urls = append(urls, s.URL())
	}
	return urls
}

func conversations(t *testing.T) (talks []load.Conversation) {
	t.Helper()
	sessions, err := workload.New(workload.Config{Seed: 1, Sessions: 12, Turns: 4, Input: workload.Range{Min: 100}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range sessions {
		talks = append(talks, &sessions[i])
	}
	return talks
}

// run plays the conversations against url and returns what client and engines counted.
func run(t *testing.T, target string, urls []string) (*load.Result, []load.EngineCount) {
	t.Helper()
	r, err := load.Run(t.Context(), load.Config{URL: target, Sessions: conversations(t), Concurrency: 4, OutputTokens: 200})
	if err != nil {
		t.Fatal(err)
	}
	counts, err := load.CountEngines(t.Context(), urls)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 48 || r.Errors != 0 || r.Estimated != 0 {
		t.Errorf("%d requests, %d failed, %d without usage: %v", r.Requests, r.Errors, r.Estimated, r.Examples)
	}
	if c, e := r.HitRate(), load.EngineHitRate(counts); len(urls) > 0 && math.Abs(c-e) > 1e-9 {
		t.Errorf("hit rate is %v by usage and %v by the engines", c, e)
	}
	return r, counts
}

func TestRun_OneEngineHasTheIdealHitRate(t *testing.T) {
	urls := engines(t, 1)
	r, counts := run(t, urls[0], urls)
	if counts[0].Requests != 48 {
		t.Errorf("the engine counted %d requests", counts[0].Requests)
	}
	t.Logf("hit rate %.3f, ideal %.3f", r.HitRate(), r.IdealHitRate())
	if math.Abs(r.HitRate()-r.IdealHitRate()) > 0.01 {
		t.Errorf("hit rate %v, ideal %v", r.HitRate(), r.IdealHitRate())
	}
}

func TestRun_RoundRobinLosesMostOfIt(t *testing.T) {
	alone, _ := run(t, engines(t, 1)[0], nil)
	urls := engines(t, 3)
	spread, counts := run(t, roundRobin(t, urls), urls)
	t.Logf("hit rate %.3f, ideal %.3f, requests %v", spread.HitRate(), spread.IdealHitRate(), counts)
	if spread.HitRate() > 0.75*spread.IdealHitRate() {
		t.Errorf("hit rate %v over 3 replicas in turn, ideal %v", spread.HitRate(), spread.IdealHitRate())
	}
	if alone.OutputTokens != spread.OutputTokens || alone.PromptTokens != spread.PromptTokens {
		t.Errorf("%d output tokens in one run and %d in the other, of equal conversations", alone.OutputTokens, spread.OutputTokens)
	}
}

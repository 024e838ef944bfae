package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// holding is an engine that keeps its requests until it is let go.
type holding struct {
	*httptest.Server
	arrived chan string // conversation of each request, or ""
	let     chan struct{}
}

// holds starts engines that keep what reaches them until the test, or release, ends it.
func holds(t *testing.T, n int) (engines []*holding, urls []string, release func()) {
	t.Helper()
	let := make(chan struct{})
	release = sync.OnceFunc(func() { close(let) })
	for range n {
		h := &holding{arrived: make(chan string, 64), let: let}
		h.Server = engine(t, func(w http.ResponseWriter, r *http.Request) {
			h.arrived <- r.Header.Get("X-Session-Id")
			<-h.let
			good(w, r)
		})
		engines, urls = append(engines, h), append(urls, h.URL)
	}
	t.Cleanup(release)
	return engines, urls, release
}

// started is the number of requests that have reached an engine.
func (h *holding) started() int { return len(h.arrived) }

// send makes a request and waits until it has reached one of the engines.
func send(t *testing.T, r *rig, wg *sync.WaitGroup, engines []*holding, header ...string) {
	t.Helper()
	before := 0
	for _, e := range engines {
		before += e.started()
	}
	wg.Go(func() {
		if got := r.post(chat, plainChat, header...); got.status != 200 {
			t.Errorf("status %d: %s", got.status, got.body)
		}
	})
	await(t, "a request reaches an engine", func() bool {
		now := 0
		for _, e := range engines {
			now += e.started()
		}
		return now > before
	})
}

const twoEndpoints = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools:
  - name: m
    endpoints: [{url: "%s", %s}, {url: "%s", %s}]
    policy: %s
`

// An endpoint at its cap gets nothing more until a request there has ended.
func TestEndpoint_CapHolds(t *testing.T) {
	engines, urls, release := holds(t, 2)
	r := newRig(t, fmt.Sprintf(twoEndpoints, urls[0], "max_concurrency: 1", urls[1], "max_concurrency: 2", "warm"))
	var wg sync.WaitGroup
	for range 3 {
		send(t, r, &wg, engines)
	}
	if a, b := engines[0].started(), engines[1].started(); a != 1 || b != 2 {
		t.Errorf("%d and %d requests in flight, the caps are 1 and 2", a, b)
	}
	release()
	wg.Wait()
	if got := r.post(chat, plainChat); got.status != 200 {
		t.Errorf("after all have ended: status %d: %s", got.status, got.body)
	}
}

// A weight is a share of the requests in flight.
func TestEndpoint_WeightIsAShare(t *testing.T) {
	engines, urls, release := holds(t, 2)
	r := newRig(t, fmt.Sprintf(twoEndpoints, urls[0], "weight: 3", urls[1], "weight: 1", "least_request"))
	var wg sync.WaitGroup
	for range 8 {
		send(t, r, &wg, engines)
	}
	if a, b := engines[0].started(), engines[1].started(); a != 6 || b != 2 {
		t.Errorf("%d and %d requests in flight, the weights are 3 and 1", a, b)
	}
	release()
	wg.Wait()
}

const conversations = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools:
  - name: m
    endpoints: [{url: "%s", max_concurrency: 1}, {url: "%s", max_concurrency: 1}]
    session: {headers: [x-app-session, x-session-id], bonus: 50ms}
    probe_idle: false
`

// A conversation returns to its endpoint without a word of the prompt being known there, but never queues behind a full one.
func TestSession_IsASoftBonus(t *testing.T) {
	_, urls, release := holds(t, 2)
	release()
	r := newRig(t, fmt.Sprintf(conversations, urls[0], urls[1]))
	explained := func(header ...string) string {
		return decision(t, r.post(chat, plainChat, append(header, "X-Warmlane-Explain", "1")...)).Endpoint
	}
	for i := range 4 {
		name := fmt.Sprint("talk-", i)
		first := explained("X-Session-Id", name)
		for range 6 {
			if again := explained("X-Session-Id", name); again != first {
				t.Errorf("%s moved from %s to %s", name, first, again)
			}
		}
		if other := explained("X-App-Session", name, "X-Session-Id", "other"); other != first {
			t.Errorf("the first header that is configured does not name the conversation")
		}
	}
}

func TestSession_NeverWaitsForAFullEndpoint(t *testing.T) {
	engines, urls, release := holds(t, 2)
	r := newRig(t, fmt.Sprintf(conversations, urls[0], urls[1]))
	var wg sync.WaitGroup
	send(t, r, &wg, engines, "X-Session-Id", "talk")
	send(t, r, &wg, engines, "X-Session-Id", "talk")
	if a, b := engines[0].started(), engines[1].started(); a != 1 || b != 1 {
		t.Errorf("%d and %d requests of one conversation, with room for 1 at each endpoint", a, b)
	}
	release()
	wg.Wait()
}

package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Every rank is an endpoint: it gets its header, whatever the caller says, and its own figures.
func TestRank_IsAnEndpoint(t *testing.T) {
	var mu sync.Mutex
	ranks := map[string]int{} // requests by rank header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			_, _ = io.WriteString(w, `vllm:num_requests_running{engine="0"} 16
vllm:num_requests_running{engine="1"} 0
vllm:num_requests_waiting{engine="0"} 12
vllm:num_requests_waiting{engine="1"} 0
`)
		case chat:
			mu.Lock()
			ranks[strings.Join(r.Header.Values("X-Data-Parallel-Rank"), "+")]++
			mu.Unlock()
			good(w, r)
		case "/health":
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools:
  - {name: m, endpoints: [{url: "`+s.URL+`", data_parallel: 2}], policy: round_robin, metrics: {interval: 20ms}}
  - {name: whole, endpoints: ["`+s.URL+`"], metrics: {interval: 20ms}}
`)
	for range 4 {
		if d := decision(t, r.post(chat, plainChat, "X-Data-Parallel-Rank", "7", "X-Warmlane-Explain", "1")); !strings.HasPrefix(d.Endpoint, s.URL+"#") {
			t.Errorf("endpoint %s", d.Endpoint)
		}
	}
	if got := r.post(chat, strings.Replace(plainChat, `"m"`, `"whole"`, 1), "X-Data-Parallel-Rank", "7"); got.status != 200 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	mu.Lock()
	if ranks["0"] != 2 || ranks["1"] != 2 || ranks[""] != 1 || len(ranks) != 3 {
		t.Errorf("requests by rank header: %v", ranks)
	}
	mu.Unlock()
	want := map[string]float64{s.URL + "#0": 12, s.URL + "#1": 0, s.URL: 12}
	await(t, "the waiting requests of each endpoint", func() bool {
		got := waiting(t, r)
		for url, n := range want {
			if got[url] == nil || *got[url] != n {
				return false
			}
		}
		return len(got) == len(want)
	})
	drained := `{"pool":"m","url":"` + s.URL + `#0","state":"draining"}`
	if resp, err := http.Post(r.Admin+"/admin/v1/endpoints/state", "application/json", strings.NewReader(drained)); err != nil || resp.StatusCode != 200 {
		t.Fatalf("draining a rank: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	for range 3 {
		if d := decision(t, r.post(chat, plainChat, "X-Warmlane-Explain", "1")); d.Endpoint != s.URL+"#1" {
			t.Errorf("a drained rank got a request: %s", d.Endpoint)
		}
	}
}

// waiting are the scraped waiting requests of every endpoint.
func waiting(t *testing.T, r *rig) map[string]*float64 {
	t.Helper()
	resp, err := http.Get(r.Admin + "/admin/v1/endpoints")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Endpoints []struct {
			URL     string   `json:"url"`
			Waiting *float64 `json:"scraped_waiting"`
		} `json:"endpoints"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	all := map[string]*float64{}
	for _, e := range list.Endpoints {
		all[e.URL] = e.Waiting
	}
	return all
}

package load

import (
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestCountEngines_ReadsRequestsAndCacheCounters(t *testing.T) {
	page, err := os.ReadFile("testdata/vllm-0.32.0-excerpt.prom")
	if err != nil {
		t.Fatal(err)
	}
	later := strings.NewReplacer("14257.0", "24257.0", "9024.0", "17024.0", "15.0", "40.0").Replace(string(page))
	now := string(page)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(now)) })
	url := serve(t, mux)

	before, err := CountEngines(t.Context(), []string{url, url + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != 2 || before[0] != (EngineCount{Requests: 15, Queries: 14257, Hits: 9024}) || before[1] != before[0] {
		t.Errorf("counted %v", before)
	}
	now = later
	after, err := CountEngines(t.Context(), []string{url})
	if err != nil {
		t.Fatal(err)
	}
	if got := after[0].Since(before[0]); got != (EngineCount{Requests: 25, Queries: 10000, Hits: 8000}) {
		t.Errorf("grown by %v", got)
	}
	restarted := EngineCount{Requests: 3, Queries: 100, Hits: 50}
	if got := restarted.Since(before[0]); got != restarted {
		t.Errorf("after a restart: %v", got)
	}
}

func TestCountEngines_FailsWhereNoCountersAre(t *testing.T) {
	url := serve(t, http.NotFoundHandler())
	if _, err := CountEngines(t.Context(), []string{url}); err == nil || !strings.Contains(err.Error(), url) {
		t.Errorf("error %v", err)
	}
}

func TestEngineHitRate_IsByTokensOverAllThatTell(t *testing.T) {
	nan := math.NaN()
	want(t, "hit rate", EngineHitRate([]EngineCount{{1, 100, 50}, {1, 300, 0}, {1, nan, nan}}), 0.125)
	if v := EngineHitRate([]EngineCount{{1, nan, nan}}); !math.IsNaN(v) {
		t.Errorf("unknown became %v", v)
	}
}

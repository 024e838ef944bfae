package scraper

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// ranksPage is a vLLM page of two data-parallel ranks.
func ranksPage(waiting0, waiting1 int) string {
	return fmt.Sprintf(`process_start_time_seconds 50
vllm:num_requests_running{engine="0",model_name="llama3"} 1
vllm:num_requests_running{engine="1",model_name="llama3"} 2
vllm:num_requests_waiting{engine="0",model_name="llama3"} %d
vllm:num_requests_waiting{engine="1",model_name="llama3"} %d
`, waiting0, waiting1)
}

func TestPoller_RanksAreReadFromOnePage(t *testing.T) {
	e := newEngine(t)
	e.page.Store(ranksPage(12, 0))
	r := collect(t, Config{}, RankURL(e.URL, 0), RankURL(e.URL, 1))
	want := map[string]balancer.Load{
		RankURL(e.URL, 0): {Running: 1, Waiting: 12},
		RankURL(e.URL, 1): {Running: 2, Waiting: 0},
	}
	for range 2 {
		event := r.next(t)
		url := event.endpoint.URL()
		if event.load == nil || event.load.Running != want[url].Running || event.load.Waiting != want[url].Waiting {
			t.Errorf("%s: load %+v, want %+v", url, event.load, want[url])
		}
		delete(want, url)
	}
	if got := r.poller.Family(r.Endpoints()[1]); got != "vllm" {
		t.Errorf("family of rank 1 is %q", got)
	}
	if n := len(r.poller.watches); n != 1 {
		t.Errorf("one engine is read by %d watches", n)
	}
	e.down.Store(true)
	lost := map[*balancer.Endpoint]bool{}
	for len(lost) < 2 {
		if event := r.next(t); event.load == nil {
			lost[event.endpoint] = true
		}
	}
}

func TestPoller_OneEndpointOfSeveralRanksIsTheirSum(t *testing.T) {
	e := newEngine(t)
	e.page.Store(ranksPage(12, 0))
	if load := collect(t, Config{}, e.URL).observed(t); load.Running != 3 || load.Waiting != 12 {
		t.Errorf("running %v, waiting %v, want 3 and 12", load.Running, load.Waiting)
	}
}

func TestPoller_ListsAdaptersOfEnginesThatAnswerToThem(t *testing.T) {
	answers := newEngine(t)
	answers.page.Store(vllmPage(0, 0, 50))
	other := newEngine(t) // lists an adapter, but answers to any name
	other.page.Store("sglang:num_running_reqs 0\n")
	other.models.Store(`{"data":[{"id":"llama3","parent":null},{"id":"math-lora","parent":"llama3"}]}`)
	r := collect(t, Config{}, answers.URL, other.URL)
	seen := map[*balancer.Endpoint]int{}
	for seen[r.Endpoints()[0]] < 3 || seen[r.Endpoints()[1]] < 3 {
		seen[r.next(t).endpoint]++
	}
	if got := r.poller.Adapters(); !slices.Equal(got, []string{"sql-lora"}) {
		t.Fatalf("adapters %q", got)
	}
	answers.models.Store(`{"data":[{"id":"llama3","parent":null},{"id":"new-lora","parent":"llama3"}]}`)
	answers.page.Store(vllmPage(0, 0, 90)) // a restart: the list is asked for at once
	deadline := time.Now().Add(10 * time.Second)
	for !slices.Equal(r.poller.Adapters(), []string{"new-lora"}) {
		if r.next(t); time.Now().After(deadline) {
			t.Fatalf("adapters after a restart: %q", r.poller.Adapters())
		}
	}
}

func TestNew_RefusesURLsThatNameNoRank(t *testing.T) {
	for _, url := range []string{"http://a:1#x", "http://a:1#-1", "http://a:1#4096", "#1", "ftp://a#0"} {
		if _, err := New(Config{}, newRecorder(t, url), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

// Adapters have their names over a reload, before the engines are read again.
func TestPoller_AdoptsAdapters(t *testing.T) {
	e := newEngine(t)
	e.page.Store(vllmPage(0, 0, 50))
	old := collect(t, Config{}, e.URL)
	for !slices.Contains(old.poller.Adapters(), "sql-lora") {
		old.next(t)
	}
	fresh, err := New(Config{}, newRecorder(t, e.URL), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{}, newRecorder(t, "http://elsewhere"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fresh.Adopt(old.poller)
	other.Adopt(old.poller)
	if got := fresh.Adapters(); !slices.Equal(got, []string{"sql-lora"}) {
		t.Errorf("adapters %q of the same engine", got)
	}
	if got := other.Adapters(); len(got) != 0 {
		t.Errorf("adapters %q of another engine", got)
	}
}

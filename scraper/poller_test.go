package scraper

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/warmlane/warmlane/balancer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	vllmModels  = `{"object":"list","data":[{"id":"llama3","root":"/models/x","max_model_len":8192},{"id":"sql-lora","parent":"llama3","max_model_len":null}]}`
	llamaModels = `{"models":[{"name":"x"}],"object":"list","data":[{"id":"tiny.gguf","meta":{"n_ctx_train":8192,"n_ctx":2048}}]}`
)

func TestPoller_ReadsAVLLM(t *testing.T) {
	engine := newEngine(t)
	engine.page.Store(vllmPage(3, 2, 1000))
	got := collect(t, Config{}, engine.URL).observed(t)
	want := balancer.Load{
		Running: 3, Waiting: 2, KVUse: 0.5, KVTokens: 1600, Queries: 1000, Hits: 500,
		Started: time.Unix(1000, 0), MaxModelLen: 8192, Models: []string{"llama3", "sql-lora"}, Interval: quick,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("observed\n %+v, want\n %+v", got, want)
	}
}

func TestPoller_SendsTheCredential(t *testing.T) {
	engine := newEngine(t)
	engine.page.Store(vllmPage(1, 0, 1000))
	engine.needs = "Bearer secret"
	r := collect(t, Config{Header: Header{Name: "Authorization", Value: "Bearer secret"}}, engine.URL)
	if l := r.observed(t); l.MaxModelLen != 8192 || l.Running != 1 {
		t.Errorf("observed %+v, want the page and the models", l)
	}
}

func TestPoller_AsksBelowTheBasePath(t *testing.T) {
	engine := newEngine(t)
	engine.page.Store(vllmPage(1, 0, 1000))
	engine.base = "/api/predict/qwen"
	if l := collect(t, Config{}, engine.URL+engine.base+"/").observed(t); l.MaxModelLen != 8192 {
		t.Errorf("observed %+v, want the models as well", l)
	}
}

// A port of its own has the metrics alone, at the path as it stands.
func TestPoller_AsksAnotherPortAndPath(t *testing.T) {
	serving, metrics := newEngine(t), newEngine(t)
	serving.base = "/base"
	metrics.page.Store(vllmPage(4, 0, 1000))
	metrics.path.Store("/stats")
	at, err := url.Parse(metrics.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	r := collect(t, Config{Engine: "vllm", Port: port, Path: "/stats"}, serving.URL+"/base")
	if l := r.observed(t); l.Running != 4 || l.MaxModelLen != 8192 {
		t.Errorf("observed %+v, want the metrics of one port and the models of the other", l)
	}
}

func TestPoller_FindsTheFamilyByItself(t *testing.T) {
	engine := newEngine(t)
	engine.path.Store("/prometheus/metrics") // only TensorRT-LLM has it there
	engine.page.Store("trtllm_num_requests_running 5\n")
	r := collect(t, Config{Engine: "auto"}, engine.URL)
	l := r.until(t, "5 running", func(l balancer.Load) bool { return l.Running == 5 })
	if !math.IsNaN(l.Waiting) || l.Models != nil {
		t.Errorf("observed %+v, want the rest unknown and any model", l)
	}
	if f := r.poller.Family(r.Endpoints()[0]); f != "trtllm" {
		t.Errorf("Family = %q", f)
	}

	// Another engine takes the address.
	engine.path.Store("/metrics")
	engine.models.Store(llamaModels)
	engine.page.Store("llamacpp:requests_processing 1\n")
	r.until(t, "llama.cpp is read", func(l balancer.Load) bool { return l.Running == 1 })
	if f := r.poller.Family(r.Endpoints()[0]); f != "llamacpp" {
		t.Errorf("Family = %q", f)
	}
}

// llama.cpp answers to every model name, so its list is no limit; its context is that of one slot.
func TestPoller_ListsNoModelsWhereAllNamesPass(t *testing.T) {
	engine := newEngine(t)
	engine.models.Store(llamaModels)
	engine.page.Store("llamacpp:requests_processing 1\n")
	if l := collect(t, Config{}, engine.URL).observed(t); l.Models != nil || l.MaxModelLen != 2048 {
		t.Errorf("observed %+v, want any model and 2048 tokens", l)
	}
}

func TestPoller_ReportsFailuresAsUnobserved(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"500":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not found":   http.NotFound,
		"redirect":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"foreign":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "go_goroutines 7\n") },
		"broken page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "vllm:num_requests_running{") },
		"cut answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "vllm:num_requests_running 1\n")
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			t.Cleanup(server.Close)
			r := collect(t, Config{Engine: "vllm", Timeout: 50 * time.Millisecond}, server.URL)
			if e := r.next(t); e.load != nil {
				t.Errorf("observed %+v, want unobserved", *e.load)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		if e := collect(t, Config{}, server.URL).next(t); e.load != nil {
			t.Errorf("observed %+v, want unobserved", *e.load)
		}
	})
}

// An engine that shows no metrics still tells its models; its numbers stay unknown.
func TestPoller_ReadsModelsWithoutMetrics(t *testing.T) {
	engine := newEngine(t)
	engine.path.Store("/nowhere")
	l := collect(t, Config{Engine: "vllm"}, engine.URL).observed(t)
	if !math.IsNaN(l.Running) || !math.IsNaN(l.Waiting) || !math.IsNaN(l.KVUse) || !slices.Equal(l.Models, []string{"llama3", "sql-lora"}) {
		t.Errorf("observed %+v, want models and nothing else", l)
	}
}

func TestPoller_RecoversAfterARestart(t *testing.T) {
	engine := newEngine(t)
	engine.page.Store(vllmPage(1, 0, 1000))
	r := collect(t, Config{}, engine.URL)
	r.observed(t)
	engine.down.Store(true)
	r.untilLost(t)
	engine.models.Store(`{"data":[{"id":"llama3","max_model_len":4096}]}`)
	engine.page.Store(vllmPage(0, 0, 2000))
	engine.down.Store(false)
	r.until(t, "the new start and the new models", func(l balancer.Load) bool {
		return l.Started.Equal(time.Unix(2000, 0)) && l.MaxModelLen == 4096 && len(l.Models) == 1
	})
}

// One endpoint that hangs delays no other, and Run ends although a request is under way.
func TestPoller_EndpointsAreIndependentAndRunStops(t *testing.T) {
	engine := newEngine(t)
	engine.page.Store(vllmPage(1, 0, 1000))
	asked := make(chan struct{}, 1)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	r := collect(t, Config{Timeout: time.Hour}, hanging.URL, engine.URL)
	<-asked
	for range 3 {
		if e := r.next(t); e.load == nil || e.endpoint.URL() != engine.URL {
			t.Errorf("got %+v, want an observation of the healthy endpoint", e)
		}
	}
	r.stop()
}

// In half a minute of virtual time each endpoint is read once a second, not all at the same moment, and its models once.
func TestPoller_Schedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		reads, lists := map[string][]time.Time{}, 0
		r := newRecorder(t, "http://a", "http://b", "http://c")
		p, err := New(Config{}, r, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p.client.Transport = tripper(func(q *http.Request) string {
			mu.Lock()
			defer mu.Unlock()
			if q.URL.Path == modelsPath {
				lists++
				return vllmModels
			}
			reads[q.URL.Host] = append(reads[q.URL.Host], time.Now())
			return vllmPage(0, 0, 1000)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		go r.drain(ctx)
		p.Run(ctx)

		firsts := map[time.Time]bool{}
		for host, times := range reads {
			if len(times) < 27 || len(times) > 33 {
				t.Errorf("%s was read %d times in 30 s", host, len(times))
			}
			for i := 1; i < len(times); i++ {
				if d := times[i].Sub(times[i-1]); d < 900*time.Millisecond || d > 1100*time.Millisecond {
					t.Errorf("%s: %v between two readings", host, d)
				}
			}
			firsts[times[0]] = true
		}
		if len(reads) != 3 || len(firsts) != 3 {
			t.Errorf("%d endpoints read, at %d different moments", len(reads), len(firsts))
		}
		if lists < 3 || lists > 6 {
			t.Errorf("%d model lists read, want one or two for each endpoint", lists)
		}
	})
}

// An engine that keeps answering without metrics is asked less often; one that is away is not, for it may come back any moment.
func TestPoller_AsksLessWhereThereIsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		min, max int
	}{"no metrics": {404, 8, 18}, "starting": {503, 90, 120}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var reads atomic.Int32
				r := newRecorder(t, "http://a")
				p, err := New(Config{Engine: "vllm"}, r, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				p.client.Transport = answers(func(q *http.Request) (int, string) {
					if q.URL.Path != modelsPath {
						reads.Add(1)
					}
					return c.status, ""
				})
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				go r.drain(ctx)
				p.Run(ctx)
				if n := int(reads.Load()); n < c.min || n > c.max {
					t.Errorf("asked %d times in 100 s, want %d to %d", n, c.min, c.max)
				}
			})
		})
	}
}

// A state is logged when it changes, not with every reading, and no line holds the credential.
func TestPoller_LogsChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		r := newRecorder(t, "http://user:password@a")
		p, err := New(Config{Header: Header{"Authorization", "secret"}}, r, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		p.client.Transport = answers(func(*http.Request) (int, string) {
			if time.Since(begin) < 10*time.Second {
				return 500, ""
			}
			return 200, vllmPage(0, 0, 1)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		go r.drain(ctx)
		p.Run(ctx)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "unreadable") || !strings.Contains(lines[1], "engine=vllm") {
			t.Errorf("log is\n%s\nwant one line for the fault and one for its end", log.String())
		}
		if strings.Contains(log.String(), "secret") || strings.Contains(log.String(), "password") {
			t.Errorf("a secret was logged:\n%s", log.String())
		}
	})
}

func TestNew_RefusesWhatItCannotRead(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, cfg := range map[string]Config{
		"unknown engine": {Engine: "ollama"},
		"unknown signal": {Engine: "generic", Generic: map[string]string{"load": "x"}},
	} {
		if _, err := New(cfg, newRecorder(t, "http://a"), log); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, address := range []string{"unix:///run/x", "a:8000", "http://", "http://%zz"} {
		if _, err := New(Config{}, newRecorder(t, address), log); err == nil {
			t.Errorf("endpoint %s: accepted", address)
		}
	}
	if _, err := New(Config{Engine: "generic", Generic: map[string]string{"running": "x"}}, newRecorder(t, "http://a"), log); err != nil {
		t.Error(err)
	}
}

// Nothing is asked of a generic engine that nobody told the metrics of.
func TestPoller_LeavesUnnamedGenericEnginesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Engine: "generic"}, newRecorder(t, "http://a"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p.client.Transport = answers(func(q *http.Request) (int, string) {
			t.Errorf("%s was asked", q.URL)
			return 404, ""
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		p.Run(ctx)
	})
}

func BenchmarkReading(b *testing.B) {
	page, err := os.ReadFile(filepath.Join("engines", "testdata", "vllm-0.32.0-idle.prom"))
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }))
	b.Cleanup(server.Close)
	p, err := New(Config{Engine: "vllm"}, newRecorder(b, server.URL), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.client.CloseIdleConnections)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.watches[0].readMetrics(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/config"
)

// poolOf is a pool m of one engine, with these keys beside.
func poolOf(t *testing.T, keys string, serve http.HandlerFunc) *pool {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	cfg, err := config.Parse("t.yaml", []byte(`pools: [{name: m, endpoints: ["`+s.URL+`"]`+keys+`}]`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPool(cfg.Pools[0], nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.servers[0].Close)
	return p
}

// A generation probe succeeds by an answer only, and teaches by a token only.
func TestProbe_GenerationProbeWantsAnAnswer(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"error event": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"error":{"message":"cannot schedule new futures after shutdown","code":500}}`+"\n\ndata: [DONE]\n\n")
		},
		"empty stream": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
		},
		"silence": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(3 * time.Second):
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := poolOf(t, "", serve)
			p.answered(api.Completions, "m")
			due := balancer.Probe{Endpoint: p.Endpoints()[0], Kind: balancer.ProbeGenerate, Timeout: time.Second}
			err := (&Gateway{}).generate(context.Background(), p, p.spoken.Load(), p.servers[0], due)
			if err == nil {
				t.Errorf("the probe succeeded")
			}
			t.Logf("err %v, measured %v", err, p.Status(time.Now())[0].Measured)
		})
	}
}

// A generation is asked for in a way in which one has been answered, of the pool's own model where that was seen.
func TestProbe_AsksAsCallersDo(t *testing.T) {
	asked := make(chan string, 1)
	p := poolOf(t, "", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.URL.Path + " " + string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"x"},"text":"x","finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	})
	due := balancer.Probe{Endpoint: p.Endpoints()[0], Kind: balancer.ProbeGenerate, Timeout: 5 * time.Second}
	for _, step := range []struct {
		family      api.Family
		model, want string
	}{
		{api.Embeddings, "m", "/health "},
		{api.Completions, "adapter", `/v1/completions {"model":"adapter","prompt":`},
		{api.Chat, "m", `/v1/chat/completions {"model":"m","messages":[`},
		{api.Completions, "adapter", `/v1/chat/completions {"model":"m","messages":[`},
	} {
		p.answered(step.family, step.model)
		(&Gateway{log: slog.New(slog.DiscardHandler)}).probe(context.Background(), p, due)
		if got := <-asked; !strings.HasPrefix(got, step.want) {
			t.Errorf("after an answer of %v by %s the probe asks %s, want %s", step.family, step.model, got, step.want)
		}
	}
}

// An engine that only embeds returns by its health page after it said that it was gone: nobody knows how to make it generate.
func TestProbe_EmbeddingEngineReturns(t *testing.T) {
	var generations atomic.Int64
	p := poolOf(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			generations.Add(1)
			w.WriteHeader(http.StatusNotFound)
		}
	})
	before := time.Now().Add(-time.Minute)
	lease, err := p.Choose(&balancer.Request{}, before)
	if err != nil {
		t.Fatal(err)
	}
	lease.End(balancer.Outcome{Cause: balancer.Gone}, before)
	p.answered(api.Embeddings, "m")
	state := func() balancer.State { return p.Status(time.Now())[0].State }
	if state() != balancer.Ejected {
		t.Fatalf("an engine that is gone is %v", state())
	}
	for range 3 {
		for _, due := range p.Due(time.Now()) {
			(&Gateway{log: slog.New(slog.DiscardHandler)}).probe(context.Background(), p, due)
		}
	}
	if got := state(); got == balancer.Ejected || got == balancer.Down {
		t.Errorf("after its probes the engine is %v", got)
	}
	if n := generations.Load(); n > 0 {
		t.Errorf("%d probes asked for a generation", n)
	}
}

// A way to ask that the engines do not take any more is forgotten, so that it keeps no engine out.
func TestProbe_ForgetsWhatIsNotTaken(t *testing.T) {
	asked := make(chan string, 1)
	p := poolOf(t, "", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	p.answered(api.Completions, "adapter")
	due := balancer.Probe{Endpoint: p.Endpoints()[0], Kind: balancer.ProbeGenerate, Timeout: 5 * time.Second}
	for _, want := range []string{"/v1/completions", "/health"} {
		(&Gateway{log: slog.New(slog.DiscardHandler)}).probe(context.Background(), p, due)
		if got := <-asked; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

// With health.generate every probe asks for one token, and for the path only where the engines do not take that.
func TestProbe_HealthByGeneration(t *testing.T) {
	taken := true
	asked := make(chan string, 2)
	p := poolOf(t, ", health: {generate: true}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.URL.Path + " " + string(body)
		switch {
		case r.URL.Path == "/health":
		case !taken:
			w.WriteHeader(http.StatusNotFound)
		default: // the engine is stuck behind its health page
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	g := &Gateway{log: slog.New(slog.DiscardHandler)}
	due := balancer.Probe{Endpoint: p.Endpoints()[0], Kind: balancer.ProbeHealth, Timeout: 5 * time.Second}
	const generation = `/v1/chat/completions {"model":"m","messages":[{"role":"user","content":"`
	for range 2 {
		g.probe(context.Background(), p, due)
		if got := <-asked; !strings.HasPrefix(got, generation) || !strings.Contains(got, `"max_tokens":1,`) {
			t.Errorf("the probe asks %s, want a generation of one token", got)
		}
	}
	if s := p.Status(time.Now())[0]; s.State != balancer.Ejected {
		t.Errorf("after two failed generations the engine is %v", s.State)
	}
	taken = false
	g.probe(context.Background(), p, due)
	if first, second := <-asked, <-asked; !strings.HasPrefix(first, generation) || second != "/health " {
		t.Errorf("an engine that does not generate is asked %s, then %s", first, second)
	}
}

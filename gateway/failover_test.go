package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// counting is an engine that counts what reaches it.
func counting(t *testing.T, serve http.HandlerFunc) (url string, n *atomic.Int64) {
	n = new(atomic.Int64)
	return engine(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		serve(w, r)
	}).URL, n
}

func good(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if strings.Contains(string(body), `"stream":true`) {
		events(w, delta, finish, done)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer)
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// Whatever an engine does before its first event, a client does not see it while another engine is well.
func TestFailover_BeforeTheFirstEvent(t *testing.T) {
	dead := engine(t, good)
	dead.Close()
	for name, bad := range map[string]http.HandlerFunc{
		"refused":          nil,
		"connection reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"500":              status(500, `{"error":{"message":"boom","type":"InternalServerError","code":500}}`),
		"503":              status(503, `{"error":{"message":"queue full","code":503}}`),
		"429":              status(429, `{"error":{"message":"slow down","code":429}}`),
		"draining vLLM":    status(500, `{"error":{"message":"cannot schedule new futures after shutdown","code":500}}`),
		"refusal inside a 200": func(w http.ResponseWriter, _ *http.Request) {
			events(w, `data: {"error": {"message": "The engine is currently busy and cannot accept new requests.", "type": "Service Unavailable", "param": null, "code": 503}}`+"\n\n", done)
		},
		"error in one piece": status(200, `{"error":{"message":"boom","type":"InternalServerError","code":500}}`),
		"empty stream":       func(w http.ResponseWriter, _ *http.Request) { events(w) },
	} {
		t.Run(name, func(t *testing.T) {
			url := dead.URL
			if bad != nil {
				url, _ = counting(t, bad)
			}
			well, _ := counting(t, good)
			r := newRig(t, onePool, url, well)
			for range 6 {
				if a := r.post(chat, streamChat); a.status != 200 || a.err != nil || a.body != delta+finish+done {
					t.Fatalf("answered %d %v %s", a.status, a.err, a.body)
				}
			}
		})
	}
}

// A request that fails everywhere gets the engine's own words, and no third try.
func TestFailover_OnceOnly(t *testing.T) {
	body := `{"error":{"message":"poison","type":"InternalServerError","param":null,"code":500}}`
	var urls []string
	var hits []*atomic.Int64
	for range 3 {
		u, n := counting(t, status(500, body))
		urls, hits = append(urls, u), append(hits, n)
	}
	r := newRig(t, onePool, urls...)
	if a := r.post(chat, plainChat); a.status != 500 || a.body != body {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	if n := hits[0].Load() + hits[1].Load() + hits[2].Load(); n != 2 {
		t.Errorf("%d tries, want 2", n)
	}
}

func TestFailover_CallersFaultIsNotRetried(t *testing.T) {
	body := `{"error":{"message":"max_tokens must be at least 1","type":"BadRequestError","param":"max_tokens","code":400}}`
	u1, n1 := counting(t, status(400, body))
	u2, n2 := counting(t, status(400, body))
	r := newRig(t, onePool, u1, u2)
	if a := r.post(chat, plainChat); a.status != 400 || a.body != body {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	if n1.Load()+n2.Load() != 1 {
		t.Errorf("%d tries, want 1", n1.Load()+n2.Load())
	}
}

func TestFailover_NeverAfterTheFirstEvent(t *testing.T) {
	bad := func(w http.ResponseWriter, _ *http.Request) {
		events(w, delta)
		panic(http.ErrAbortHandler)
	}
	u1, n1 := counting(t, bad)
	u2, n2 := counting(t, bad)
	r := newRig(t, onePool, u1, u2)
	if a := r.post(chat, streamChat); a.err == nil || !strings.Contains(a.body, `"code":"stream_cut"`) {
		t.Errorf("answered %v %s", a.err, a.body)
	}
	if n1.Load()+n2.Load() != 1 {
		t.Errorf("%d tries, want 1", n1.Load()+n2.Load())
	}
}

func TestFailover_AllDeadIsAnswered(t *testing.T) {
	dead := engine(t, good)
	dead.Close()
	r := newRig(t, onePool, dead.URL)
	for range 5 {
		if a := r.post(chat, plainChat); a.status < 502 || a.status > 503 || a.code() == "" {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
	}
	if a := r.post(chat, plainChat); a.header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %d %s", a.status, a.body)
	}
}

// The provider answers when the pool fails before the first event, under its own model name and with its own key.
func TestFailover_ProviderIsTheSecondTarget(t *testing.T) {
	dead := engine(t, good)
	dead.Close()
	type call struct{ path, auth, body string }
	calls := make(chan call, 1)
	outside := engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- call{r.URL.Path, r.Header.Get("Authorization"), string(body)}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	r := newRig(t, onePool+`
providers: [{name: out, kind: openai, base_url: "`+outside.URL+`/compatible-mode/v1", keys: [sk-out]}]
routes: [{models: [m], targets: [{pool: m}, {provider: out, model: qwen-turbo}]}]
`, dead.URL)
	a := r.post(chat, plainChat, "Authorization", "Bearer sk-caller")
	if a.status != 200 || a.body != answer {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	got := <-calls
	want := call{"/compatible-mode/v1/chat/completions", "Bearer sk-out", strings.Replace(plainChat, `"m"`, `"qwen-turbo"`, 1)}
	if got != want {
		t.Errorf("the provider got %+v, want %+v", got, want)
	}
}

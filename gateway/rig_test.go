package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}

// rig is a running gateway on real sockets.
type rig struct {
	t     *testing.T
	URL   string // of the application listener
	Admin string
	lines *lines
	asked *atomic.Int64 // requests that the application listener has answered to do
	stop  context.CancelFunc
	done  chan error
}

// lines keeps the log's lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// text returns all that was logged so far.
func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// access returns the access lines so far.
func (l *lines) access() []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []map[string]any
	for _, text := range strings.Split(l.buf.String(), "\n") {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["request_id"] != nil && line["status"] != nil {
			all = append(all, line)
		}
	}
	return all
}

// newRig starts a gateway with the configuration, in which %s stands for the engines' URLs in flow style.
func newRig(t *testing.T, yaml string, engines ...string) *rig {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(strings.ReplaceAll(yaml, "ENGINES", "["+quoted(engines)+"]")))
	if err != nil {
		t.Fatal(err)
	}
	return startRig(t, cfg, nil)
}

func quoted(urls []string) string {
	var b []string
	for _, u := range urls {
		b = append(b, fmt.Sprintf("%q", u))
	}
	return strings.Join(b, ", ")
}

// startRig starts a gateway; source, which may be nil, is where it reloads from.
func startRig(t *testing.T, cfg *config.Config, source *config.Source) *rig {
	t.Helper()
	return runRig(t, cfg, gateway.Options{Listener: listen(t), AdminListener: listen(t), Source: source})
}

// runRig starts a gateway with the listeners of opts, and a log of its own.
func runRig(t *testing.T, cfg *config.Config, opts gateway.Options) *rig {
	t.Helper()
	r := &rig{t: t, lines: &lines{}, asked: new(atomic.Int64), done: make(chan error, 1)}
	opts.Log = slog.NewJSONHandler(r.lines, &slog.HandlerOptions{Level: slog.LevelDebug})
	g, err := gateway.New(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.URL, r.Admin = "http://"+g.Addr().String(), "http://"+g.AdminAddr().String()
	go func() { r.done <- g.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-r.done; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// onePool is a pool without scraping noise and without a lame-duck pause.
const onePool = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools: [{name: m, endpoints: ENGINES, policy: round_robin}]
`

// engine starts a scripted engine. Health and metrics are answered; everything else goes to serve.
func engine(t *testing.T, serve http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health":
		case strings.HasSuffix(r.URL.Path, "/metrics") || r.URL.Path == "/v1/models":
			w.WriteHeader(http.StatusNotFound)
		case strings.HasPrefix(r.Header.Get("X-Request-Id"), "warmlane-probe-"):
			events(w, strings.ReplaceAll(finish, `"delta":{"content":"!"}`, `"text":"x"`), done)
		default:
			serve(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// events writes a stream event by event.
func events(w http.ResponseWriter, all ...string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, e := range all {
		_, _ = io.WriteString(w, e)
		_ = http.NewResponseController(w).Flush()
	}
}

const (
	delta  = `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}` + "\n\n"
	finish = `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}]}` + "\n\n"
	usage  = `data: {"id":"c1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\n"
	done   = "data: [DONE]\n\n"
	answer = `{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}}`

	chat       = "/v1/chat/completions"
	plainChat  = `{"model":"m","messages":[{"role":"user","content":"hello"}]}`
	streamChat = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}`
)

// reply is an answer of the gateway, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // how reading the body ended, nil for a clean end
}

// code is the error code in the body, "" if it holds none.
func (r reply) code() string {
	var e struct {
		Error struct {
			Message, Type string
			Code          any
		}
	}
	_ = json.Unmarshal([]byte(r.body), &e)
	if e.Error.Message == "" {
		return ""
	}
	return fmt.Sprint(e.Error.Code)
}

func (r *rig) do(method, path, body string, header ...string) reply {
	r.t.Helper()
	req, err := http.NewRequest(method, r.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if r.URL != r.Admin {
		r.asked.Add(1)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: string(text), err: err}
}

func (r *rig) post(path, body string, header ...string) reply {
	r.t.Helper()
	return r.do("POST", path, body, header...)
}

// await polls until ok or fails after ten seconds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
		<-tick.C
	}
}

// linger plays a peer that takes its time.
func linger(d time.Duration) { <-time.After(d) }

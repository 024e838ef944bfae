package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The simulated engines' HTTP server keeps a clock for ever, and its pool's cleaner for some seconds after it closed.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// talk is a conversation of fixed words.
type talk struct {
	system string
	users  []string
}

func (t talk) System() string       { return t.system }
func (t talk) Turns() int           { return len(t.users) }
func (t talk) User(turn int) string { return t.users[turn] }

// chat is the part of a request that scripts look at.
type chat struct {
	Model    string
	Messages []struct{ Role, Content string }
	Stream   bool
	Options  struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens   int      `json:"max_tokens"`
	IgnoreEOS   bool     `json:"ignore_eos"`
	Temperature *float64 `json:"temperature"`
}

// stream is one answer under way.
type stream struct {
	w http.ResponseWriter
	r *http.Request
}

func (s stream) event(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, "data: "+format+"\n\n", args...)
	s.w.(http.Flusher).Flush()
}

func (s stream) head() { s.w.Header().Set("Content-Type", "text/event-stream"); s.w.WriteHeader(200) }

func (s stream) role() {
	s.event(`{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`)
}

func (s stream) token(word string) {
	s.event(`{"choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`, word)
}
func (s stream) finish() { s.event(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`) }
func (s stream) done()   { s.event("[DONE]") }
func (s stream) usage(prompt, cached, output int) {
	s.event(`{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}}`, prompt, output, cached)
}

// whole is a complete answer of the words.
func (s stream) whole(words ...string) {
	s.head()
	s.role()
	for _, w := range words {
		s.token(w)
	}
	s.finish()
	s.usage(10*len(words), 0, len(words))
	s.done()
}

// scripted answers every chat with play, after checking what all requests must have.
func scripted(t *testing.T, play func(c chat, s stream)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var c chat
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Errorf("a request is not JSON: %v", err)
		}
		if !c.Stream || !c.Options.Usage || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("a request asks for stream %v, usage %v, type %q", c.Stream, c.Options.Usage, r.Header.Get("Content-Type"))
		}
		play(c, stream{w, r})
	})
	return mux
}

// serve runs the handler on a real socket.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func mustRun(t *testing.T, cfg Config) *Result {
	t.Helper()
	if cfg.Model == "" {
		cfg.Model = "m"
	}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pipes is a listener in memory, for tests in a bubble of virtual time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

// serveBubble runs the handler in memory and returns how to dial it and how to end it.
func serveBubble(h http.Handler) (dial func(ctx context.Context, network, address string) (net.Conn, error), end func()) {
	p := &pipes{conns: make(chan net.Conn), over: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(p) })
	return p.dial, func() { _ = server.Close(); running.Wait() }
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.over) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// recorder is an engine that takes whatever bytes come for requests one after the other, as a lenient server would, and keeps them.
type recorder struct {
	net.Listener
	mu     sync.Mutex // guards the fields below
	bodies []string
	faults []string
}

func (e *recorder) accept() {
	for {
		c, err := e.Accept()
		if err != nil {
			return
		}
		go e.serve(c)
	}
}

func (e *recorder) serve(c net.Conn) {
	defer c.Close()
	for br := bufio.NewReader(c); ; {
		q, err := http.ReadRequest(br)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			e.note("", fmt.Sprintf("no request: %v", err))
			return
		}
		body, err := io.ReadAll(q.Body)
		fault := ""
		switch {
		case q.URL.Path == "/health":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			continue
		case err != nil:
			fault = fmt.Sprintf("no whole body: %v", err)
		case q.Method != "POST" || !strings.HasPrefix(q.RequestURI, "/") || q.Proto != "HTTP/1.1":
			fault = fmt.Sprintf("request line %s %q %s", q.Method, q.RequestURI, q.Proto)
		case len(q.TransferEncoding) > 0 || q.ContentLength != int64(len(body)) || q.Host != e.Addr().String() || len(q.Header["X-Request-Id"]) != 1:
			fault = fmt.Sprintf("head %v %d %s %v", q.TransferEncoding, q.ContentLength, q.Host, q.Header)
		}
		for name := range q.Header {
			if strings.ContainsAny(name, " \t\r\n\x00:") {
				fault = fmt.Sprintf("header name %q", name)
			}
		}
		e.note(string(body), fault)
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	}
}

func (e *recorder) note(body, fault string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fault != "" {
		e.faults = append(e.faults, fault)
	} else {
		e.bodies = append(e.bodies, body)
	}
}

// take returns what came since the last call.
func (e *recorder) take() (bodies, faults []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	bodies, faults = e.bodies, e.faults
	e.bodies, e.faults = nil, nil
	return bodies, faults
}

// Whatever bytes a client sends, an engine sees whole requests of the gateway's own making or nothing: no more of them than the standard
// library finds in the same bytes, with the same bodies, in the same order. The client gets whole answers, as many at least.
func FuzzForward(f *testing.F) {
	for _, c := range hostile {
		f.Add([]byte(c.wire))
		f.Add([]byte(c.wire + second))
	}
	for _, wire := range odd {
		f.Add([]byte(wire + second))
	}
	f.Add([]byte(second + second + line + "Expect: 100-continue\r\n" + size + "\r\n" + plainChat + second))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	engine := &recorder{Listener: l}
	go engine.accept()
	cfg, err := config.Parse("fuzz.yaml", fmt.Appendf(nil, `
server: {lame_duck: 0s, drain: 1s, half_close: true, read_timeout: {header: 300ms, body: 300ms}}
pools: [{name: m, engine: generic, endpoints: ["http://%s"], probe_idle: false, health: {interval: 1h}}]`, l.Addr()))
	if err != nil {
		f.Fatal(err)
	}
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	cfg.Server.Admin = ""
	g, err := gateway.New(cfg, gateway.Options{Listener: app, Log: slog.DiscardHandler})
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
		_ = l.Close()
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		answers := exchange(t, app.Addr().String(), wire)
		got, faults := engine.take()
		if len(faults) > 0 {
			t.Fatalf("the engine saw %q", faults)
		}
		if len(got) > answers {
			t.Fatalf("the engine saw %d requests, the client got %d answers", len(got), answers)
		}
		want := requestsIn(wire)
		for _, body := range got {
			for len(want) > 0 && !sameRequest(want[0], body) {
				want = want[1:]
			}
			if len(want) == 0 {
				t.Fatalf("the engine saw %q, which is no request in %q", body, wire)
			}
			want = want[1:]
		}
	})
}

// sameRequest says whether an engine's body is the caller's, but for the usage that is asked for beside streams.
func sameRequest(sent, seen string) bool {
	return sent == seen || strings.Contains(seen, "include_usage") && strings.Contains(sent, "stream")
}

// exchange sends bytes, waits until the gateway has closed, and returns how many answers came.
func exchange(t *testing.T, address string, wire []byte) int {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	go func() {
		_, _ = c.Write(wire)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	br := bufio.NewReader(c)
	for n := 0; ; {
		if _, err := br.Peek(1); err != nil { // the end, or a reset after bytes that were not read
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("after %d answers the connection is open still", n)
			}
			return n
		}
		a, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("answer %d makes no sense: %v", n, err)
		}
		if a.StatusCode == http.StatusContinue {
			continue
		}
		if bytes.HasPrefix(wire, []byte("HEAD ")) || bytes.Contains(wire, []byte("\nHEAD ")) {
			_, _ = io.Copy(io.Discard, br) // which answers have bodies is hard to tell
			return 1 << 20
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return n + 1
		}
		n++
	}
}

// requestsIn are the bodies of the requests that the standard library reads from bytes.
func requestsIn(wire []byte) []string {
	var bodies []string
	for br := bufio.NewReader(bytes.NewReader(wire)); ; {
		for { // empty lines before a request, which it does not skip
			next, _ := br.Peek(2)
			n := bytes.IndexByte(next, '\n') + 1
			if n == 0 || n == 2 && next[0] != '\r' {
				break
			}
			_, _ = br.Discard(n)
		}
		q, err := http.ReadRequest(br)
		if err != nil {
			return bodies
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return bodies
		}
		bodies = append(bodies, string(body))
	}
}

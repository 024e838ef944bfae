package gateway_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hasty is a pool whose clients have half a second for everything.
const hasty = `
server: {lame_duck: 0s, drain: 2s, read_timeout: {header: 500ms, body: 500ms}, write_timeout: 500ms}
pools: [{name: m, endpoints: ENGINES}]
`

// dribble sends text and then byte after byte, too slowly, until the connection ends.
func dribble(conn net.Conn, text, drop string) {
	_, err := io.WriteString(conn, text)
	for err == nil {
		linger(50 * time.Millisecond)
		_, err = io.WriteString(conn, drop)
	}
}

// A request that is sent too slowly is cut at its deadline, however it keeps dribbling, and is named for what it is.
func TestSlow_RequestsAreCutAtTheirDeadline(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, hasty, u)
	for name, c := range map[string]struct{ text, drop string }{
		"request line":    {"POST /", "x"},
		"headers":         {line + "X: ", "x"},
		"many headers":    {line, "X: y\r\n"},
		"body":            {head + size + "\r\n{", " "},
		"chunk":           {head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n{", " "},
		"chunks":          {head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"},
		"chunk size":      {head + "Transfer-Encoding: chunked\r\n\r\n", "0"},
		"chunk extension": {head + "Transfer-Encoding: chunked\r\n\r\n1;", "x"},
		"trailers":        {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(whole, "\r\n"), "X: y\r\n"},
		"nothing":         {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := r.dial()
			before := time.Now()
			go dribble(conn, c.text, c.drop)
			a, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(before)
			if a.StatusCode != 408 || !a.Close || took > 5*time.Second {
				t.Errorf("answered %s, close %v, after %v", a.Status, a.Close, took)
			}
		})
	}
	t.Cleanup(func() {
		for _, l := range r.lines.access() {
			if l["failure"] != "request_timeout" || l["ended_by"] != "gateway" {
				t.Errorf("access line %v", l)
			}
		}
		if n.Load() != 0 {
			t.Errorf("%d requests reached the engine", n.Load())
		}
	})
}

// A client that leaves while it sends has left: nothing was wrong with what it sent.
func TestSlow_UploadsThatAreBrokenOffAreTheClientsLeaving(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, onePool, u)
	for i, text := range []string{
		line + "X: ",
		head + size + "\r\n{",
		head + "Transfer-Encoding: chunked\r\n\r\n3",
		head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n{",
		head + "Transfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(whole, "\r\n"),
	} {
		conn := r.dial()
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
		await(t, fmt.Sprintf("the access line of %q", text), func() bool { return len(r.lines.access()) == i+1 })
		if l := r.lines.access()[i]; l["failure"] != "client_gone" || l["ended_by"] != "client" {
			t.Errorf("%q: access line %v", text, l)
		}
	}
	if n.Load() != 0 {
		t.Errorf("%d requests reached the engine", n.Load())
	}
}

// A client that does not read is cut at its deadline, and its engine is freed.
func TestSlow_ReadersThatDoNotReadAreCut(t *testing.T) {
	left := make(chan struct{}, 1)
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for r.Context().Err() == nil {
			events(w, strings.Repeat(delta, 100))
		}
		left <- struct{}{}
	})
	r := newRig(t, hasty, u)
	conn := r.dial()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(streamChat), streamChat)
	<-left
	if l := r.lastLine(); l["failure"] != "client_stalled" || l["ended_by"] != "client" {
		t.Errorf("access line %v", l)
	}
}

// The same holds for answers of the gateway itself: requests behind each other whose answers nobody reads end by themselves.
func TestSlow_PipelinesThatDoNotReadAreCut(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, hasty, u)
	for name, request := range map[string]string{
		"models":  "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
		"refused": "GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"chat":    head + size + "\r\n" + plainChat,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := r.dial()
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10) // so that answers soon find no room
			var err error
			for err == nil {
				_, err = conn.Write(bytes.Repeat([]byte(request), 100))
			}
			if errors.Is(err, os.ErrDeadlineExceeded) { // of the client, 10 s
				t.Error("the connection stays open")
			}
		})
	}
}

// Requests are never decompressed, so that nothing small can become large.
func TestRefuse_CompressedRequests(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, onePool, u)
	for _, coding := range []string{"gzip", "deflate", "br", "zstd", "gzip, gzip"} {
		if a := r.post(chat, "\x1f\x8b\x08", "Content-Encoding", coding); a.status != 415 || a.code() != "unsupported_media_type" {
			t.Errorf("%s: answered %d %s", coding, a.status, a.body)
		}
	}
	if a := r.post(chat, plainChat, "Content-Encoding", "identity"); a.status != 200 {
		t.Errorf("identity: answered %d %s", a.status, a.body)
	}
	if n.Load() != 1 {
		t.Errorf("%d requests reached the engine, want 1", n.Load())
	}
}

// Requests about a stored response count like the request that made it.
func TestStored_LimitsHold(t *testing.T) {
	u, n := counting(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"resp_a","object":"response","status":"completed","output":[]}`)
	})
	r := newRig(t, onePool+"limits: [{name: m, match: {models: [m]}, by: [user], requests: 3/min}]\n", u)
	if a := r.post("/v1/responses", `{"model":"m","user":"u","input":"hi"}`); a.status != 200 {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	for i, want := range []int{200, 200, 429, 429} {
		if a := r.do("GET", "/v1/responses/resp_a", ""); a.status != want {
			t.Errorf("request %d answered %d %s", i, a.status, a.body)
		}
	}
	if n.Load() != 3 {
		t.Errorf("%d requests reached the engine, want 3", n.Load())
	}
}

// heap is the memory in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// A client that leaves closes the engine's connection, in whatever phase the request is.
func TestClientGone_EndsTheEnginesWork(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		begin func(http.ResponseWriter)
		reset bool
	}{
		"before the head, stream":     {streamChat, func(http.ResponseWriter) {}, false},
		"before the head, plain":      {plainChat, func(http.ResponseWriter) {}, false},
		"before the head, reset":      {plainChat, func(http.ResponseWriter) {}, true},
		"head but no event":           {streamChat, func(w http.ResponseWriter) { events(w, ": ping\n\n") }, false},
		"silent in mid stream":        {streamChat, func(w http.ResponseWriter) { events(w, delta) }, false},
		"silent in mid stream, reset": {streamChat, func(w http.ResponseWriter) { events(w, delta) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			begun, left := make(chan struct{}), make(chan struct{})
			r := newRig(t, onePool, engine(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then does the server see its client leave
				c.begin(w)
				close(begun)
				<-r.Context().Done()
				close(left)
			}).URL)
			conn := r.dial()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(c.body), c.body)
			<-begun
			if name == "silent in mid stream" {
				if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			if c.reset {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
			<-left
			if line := r.lastLine(); line["ended_by"] != "client" || line["failure"] != "client_gone" {
				t.Errorf("access line %v", line)
			}
		})
	}
}

// A connection is as good as before after a watched request: pipelined ones come back in order.
func TestClientGone_PipelinedRequestsStayWhole(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, onePool, u)
	conn := r.dial()
	const n = 50
	go func() {
		for i := range n {
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: r%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, i, len(plainChat), plainChat)
		}
	}()
	br := bufio.NewReader(conn)
	for i := range n {
		a, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := br.Discard(0); err != nil || a.Header.Get("X-Request-Id") != fmt.Sprintf("r%d", i) {
			t.Fatalf("answer %d is for %s, %v", i, a.Header.Get("X-Request-Id"), err)
		}
		buf := make([]byte, a.ContentLength)
		if _, err := a.Body.Read(buf); err != nil && err.Error() != "EOF" {
			t.Fatal(err)
		}
		_ = a.Body.Close()
	}
}

package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func post(body string) *Request {
	return &Request{
		Method: "POST", Path: "/v1/chat/completions", Header: []byte("Content-Type: application/json\r\n"),
		Body: [][]byte{[]byte(body)}, First: time.Now().Add(10 * time.Second), Between: 10 * time.Second,
	}
}

// send makes one whole round and returns the failure.
func send(s *Server, r *Request) (string, *failure.Error) {
	a := NewAttempt(s)
	if fail := a.Send(r); fail != nil {
		return "", fail
	}
	got, err := a.Read(make([]byte, 0, 100))
	a.Finish(errors.Is(err, io.EOF))
	return string(got), nil
}

func TestAttempt_ReusesConnections(t *testing.T) {
	s, conns := patient(t, func(c net.Conn) { _, _ = io.WriteString(c, ok) })
	for range 5 {
		if got, fail := send(s, post("{}")); fail != nil || got != "ok" {
			t.Fatalf("got %q, %v", got, fail)
		}
	}
	if len(conns) != 1 || s.Open() != 0 {
		t.Errorf("%d connections for 5 requests, %d still held", len(conns), s.Open())
	}
}

// The engine closes an idle connection just as the next request goes out on it: nobody learns of it.
func TestAttempt_StaleConnectionIsReplaced(t *testing.T) {
	s := newServer(t, script(t, func(n int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		if _, err := readRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(c, ok)
		if n%2 == 0 { // half of them close only once the next request has come, without an answer
			_, _ = readRequest(br)
		}
	}))
	for range 20 {
		if got, fail := send(s, post("{}")); fail != nil || got != "ok" {
			t.Fatalf("got %q, %v", got, fail)
		}
	}
}

func TestAttempt_FailuresHaveTheirKind(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	hold := make(chan struct{})
	defer close(hold)
	answer := func(text string) string {
		return script(t, func(_ int, c net.Conn, br *bufio.Reader) {
			defer c.Close()
			_, _ = readRequest(br)
			_, _ = io.WriteString(c, text)
		})
	}
	for name, c := range map[string]struct {
		url  string
		want failure.Kind
	}{
		"refused":      {"http://" + dead.Addr().String(), failure.ConnectFailed},
		"no answer":    {answer(""), failure.ConnectionLost},
		"half a head":  {answer("HTTP/1.1 200 OK\r\nContent-"), failure.ConnectionLost},
		"not HTTP":     {answer("SSH-2.0-OpenSSH_9.2\r\n\r\n"), failure.BadAnswer},
		"endless head": {answer("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000)), failure.BadAnswer},
		"only interim": {answer(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 40)), failure.BadAnswer},
		"hangs": {script(t, func(_ int, c net.Conn, br *bufio.Reader) {
			defer c.Close()
			_, _ = readRequest(br)
			<-hold
		}), failure.FirstEventTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.url)
			r := post("{}")
			if c.want == failure.FirstEventTimeout {
				r.First = time.Now().Add(200 * time.Millisecond)
			}
			if _, fail := send(s, r); fail == nil || fail.Kind != c.want {
				t.Errorf("failed with %v, want %v", fail, c.want)
			}
			if s.Open() != 0 {
				t.Errorf("%d connections are still held", s.Open())
			}
		})
	}
}

func TestAttempt_InterimAnswersAreSkipped(t *testing.T) {
	s := newServer(t, script(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		_, _ = readRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+ok)
	}))
	if got, fail := send(s, post("{}")); fail != nil || got != "ok" {
		t.Errorf("got %q, %v", got, fail)
	}
}

// A cancel closes the engine's connection at once, also while the answer's head is awaited, and a late one hits nobody else.
func TestAttempt_CancelClosesTheConnection(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan error, 1)
	s := newServer(t, script(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		_, _ = readRequest(br)
		close(arrived)
		_, err := br.ReadByte()
		left <- err
	}))
	a := NewAttempt(s)
	failed := make(chan *failure.Error, 1)
	go func() { failed <- a.Send(post("{}")) }()
	<-arrived
	a.Cancel(failure.ClientGone)
	if err := <-left; err == nil {
		t.Error("the engine saw no end of the connection")
	}
	if fail := <-failed; fail == nil || fail.Kind != failure.ClientGone {
		t.Errorf("the attempt failed with %v", fail)
	}
	a.Cancel(failure.EngineDead)
	if a.Ended() != failure.ClientGone {
		t.Error("the first reason did not stay")
	}
}

func TestServer_EndAllEndsOpenAttempts(t *testing.T) {
	const n = 5
	begun := make(chan struct{}, n)
	s := newServer(t, script(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		_, _ = readRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		begun <- struct{}{}
		_, _ = br.ReadByte() // silent for ever, as a vLLM that got SIGTERM
	}))
	failed := make(chan failure.Kind, n)
	for range n {
		go func() {
			a := NewAttempt(s)
			if fail := a.Send(post("{}")); fail != nil {
				failed <- fail.Kind // before the answer begins a dead engine is a lost one, which another may replace
				return
			}
			_, _ = a.Read(make([]byte, 0, 10))
			failed <- a.Ended()
			a.Finish(false)
		}()
	}
	for range n {
		<-begun
	}
	for s.EndAll(failure.EngineDead); s.Open() > 0; s.EndAll(failure.EngineDead) {
		runtime.Gosched()
	}
	for range n {
		if k := <-failed; k != failure.EngineDead && k != failure.ConnectionLost {
			t.Errorf("ended with %v", k)
		}
	}
}

func TestAttempt_WhatIsSent(t *testing.T) {
	heads := make(chan string, 1)
	url := script(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		head, _ := readRequest(br)
		heads <- head
		_, _ = io.WriteString(c, ok)
	})
	s, err := NewServer(Config{URL: url + "/api/predict/svc/", Header: "Authorization", Value: "token"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := post("{}")
	r.Query = []byte("a=1&b=%20")
	r.Body = [][]byte{[]byte("{"), []byte(strings.Repeat(" ", 100_000)), []byte("}")}
	if _, fail := send(s, r); fail != nil {
		t.Fatal(fail)
	}
	want := "POST /api/predict/svc/v1/chat/completions?a=1&b=%20 HTTP/1.1\r\nHost: " + strings.TrimPrefix(url, "http://") +
		"\r\nAuthorization: token\r\nContent-Type: application/json\r\nContent-Length: 100002\r\n\r\n"
	if head := <-heads; head != want {
		t.Errorf("sent\n%q\nwant\n%q", head, want)
	}
}

// An attempt that is cancelled just when its refusal has come whole is cancelled, and can say so.
func TestRelay_RefusedAfterACancel(t *testing.T) {
	s := newServer(t, script(t, func(_ int, c net.Conn, br *bufio.Reader) {
		defer c.Close()
		_, _ = readRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno")
	}))
	a := NewAttempt(s)
	if fail := a.Send(post("{}")); fail != nil {
		t.Fatal(fail)
	}
	a.Cancel(failure.ClientGone)
	r := &Relay{Attempt: a}
	defer r.Abandon()
	if fail := r.Refused(); fail == nil || fail.Kind != failure.ClientGone || fail.Err != nil || fail.Error() == "" {
		t.Errorf("refused with %v", fail)
	}
}

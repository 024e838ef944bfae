package upstream

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// An engine that sends the end of the framing a little after its last event (uvicorn does) keeps its connection in the pool, and
// that connection is good for longer than the 100 ms that the end was awaited for.
func TestReuse_DrainedConnectionIsReusedLater(t *testing.T) {
	conns := 0
	for range 3 { // a machine that is late by the other 80 ms looks like an engine that is: then it gets another try
		if conns = drainedConnections(t); conns == 1 {
			return
		}
	}
	t.Errorf("%d connections for 5 streams 300 ms apart, want 1", conns)
}

func drainedConnections(t *testing.T) int {
	t.Helper()
	const event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n"
	const done = "data: [DONE]\n\n"
	s, conns := patient(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, e := range []string{event, done} {
			_, _ = io.WriteString(c, chunked(e))
		}
		linger(20 * time.Millisecond)
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	for range 5 {
		a := NewAttempt(s)
		if fail := a.Send(post("{}")); fail != nil {
			t.Fatal(fail)
		}
		r := &Relay{Attempt: a, Follower: mute{}, Family: api.Chat, Stream: api.NewStream(api.Chat, 1, false)}
		if fail := r.Open(); fail != nil {
			t.Fatal(fail)
		}
		if _, err := r.WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
		_ = r.CloseWithError(nil)
		linger(300 * time.Millisecond)
	}
	return len(conns)
}

func chunked(s string) string {
	const hex = "0123456789abcdef"
	n := len(s)
	return string([]byte{hex[n>>8&15], hex[n>>4&15], hex[n&15]}) + "\r\n" + s + "\r\n"
}

type mute struct{}

func (mute) Progress(time.Time, int)      {}
func (mute) Writing(time.Time)            {}
func (mute) Closed(*failure.Error, int64) {}

// A deadline of the last request is no sign that the connection is stale.
func TestReuse_OldDeadlineIsNotStale(t *testing.T) {
	s, conns := patient(t, func(c net.Conn) { _, _ = io.WriteString(c, ok) })
	for range 3 {
		r := post("{}")
		r.First = time.Now().Add(200 * time.Millisecond) // as of a health probe
		if _, fail := send(s, r); fail != nil {
			t.Fatal(fail)
		}
		linger(300 * time.Millisecond)
	}
	if len(conns) != 1 {
		t.Errorf("%d connections, want 1", len(conns))
	}
}

package upstream

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

const (
	eventHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	event     = `data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}` + "\n\n"
)

// What waits for a stuck server's answer goes elsewhere, if it can and may; what has begun stays.
func TestServer_Move(t *testing.T) {
	for name, c := range map[string]struct {
		says     string // before it falls silent
		goes     Elsewhere
		nextDoor bool
		allowed  bool
		moved    int
	}{
		"before the head, other servers":          {"", NextDoor, true, true, 1},
		"before the head, no other server":        {"", NextDoor, false, true, 0},
		"before the head, another target":         {"", Beyond, false, true, 1},
		"before the head, nowhere to go":          {"", Nowhere, true, true, 0},
		"before the head, budget used up":         {"", NextDoor, true, false, 0},
		"before the first event":                  {eventHead + ": hello\n\n", NextDoor, true, true, 1},
		"in mid stream":                           {eventHead + event, NextDoor, true, true, 0},
		"an answer in one piece that has not all": {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", NextDoor, true, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked, left := make(chan struct{}), make(chan struct{})
			s := newServer(t, script(t, func(_ int, conn net.Conn, br *bufio.Reader) {
				defer conn.Close()
				if _, err := readRequest(br); err != nil {
					return
				}
				_, _ = io.WriteString(conn, c.says)
				close(asked)
				_, _ = io.Copy(io.Discard, br)
				close(left)
			}))
			a, opened := NewAttempt(s), make(chan *failure.Error, 1)
			go func() {
				r := post("{}")
				r.Elsewhere = c.goes
				fail := a.Send(r)
				relay := &Relay{Attempt: a, Stream: api.NewStream(api.Chat, 1, false)}
				switch {
				case fail != nil:
				case a.Head.ContentLength() >= 0:
					_, _, fail = relay.Whole(100)
				default:
					fail = relay.Open()
				}
				opened <- fail
			}()
			<-asked
			if c.says == eventHead+event {
				if fail := <-opened; fail != nil {
					t.Fatal(fail)
				}
			}
			if n := s.Move(c.nextDoor, func() bool { return c.allowed }); n != c.moved {
				t.Errorf("%d moved, want %d", n, c.moved)
			}
			if c.moved == 1 {
				if fail := <-opened; fail == nil || fail.Kind != failure.EngineStuck {
					t.Errorf("moved with %v", fail)
				}
				<-left // its connection is closed, so that the engine aborts
			}
			if n := s.Move(true, func() bool { return true }); c.moved == 1 && n != 0 {
				t.Error("moved a second time")
			}
			a.Cancel(failure.ClientGone)
			<-left
			if c.moved == 0 && c.says != eventHead+event {
				<-opened
			}
			a.Finish(false)
		})
	}
}

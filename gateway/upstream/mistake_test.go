package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// faulty is a follower with a mistake in it.
type faulty struct {
	mute
	inProgress, inClosed bool
	fail                 *failure.Error
}

func (f *faulty) Progress(time.Time, int) {
	if f.inProgress {
		panic("a mistake")
	}
}

func (f *faulty) Closed(fail *failure.Error, _ int64) {
	f.fail = fail
	if f.inClosed {
		panic("a mistake")
	}
}

// A mistake of the gateway's own while an answer is relayed, or when it has ended, ends neither the process nor looks like the client's
// leaving; it is told once, and the engine's connection is given up.
func TestRelay_Mistakes(t *testing.T) {
	const event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"
	const last = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	for name, f := range map[string]*faulty{"relaying": {inProgress: true}, "ended": {inClosed: true}} {
		t.Run(name, func(t *testing.T) {
			more := make(chan struct{})
			s := newServer(t, script(t, func(_ int, c net.Conn, br *bufio.Reader) {
				defer c.Close()
				_, _ = readRequest(br)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(event+last), event)
				<-more
				_, _ = io.WriteString(c, last)
				_, _ = io.Copy(io.Discard, br)
			}))
			a := NewAttempt(s)
			if fail := a.Send(&Request{Method: "POST", Path: "/", First: time.Now().Add(5 * time.Second), Between: 5 * time.Second}); fail != nil {
				t.Fatal(fail)
			}
			var told []any
			r := &Relay{
				Attempt: a, Follower: f, Family: api.Chat, Stream: api.NewStream(api.Chat, 1, false),
				Mistake: func(p any) *failure.Error {
					told = append(told, p)
					return failure.New(failure.Internal, "mistake")
				},
			}
			if fail := r.Open(); fail != nil {
				t.Fatal(fail)
			}
			close(more)
			_, err := r.WriteTo(io.Discard)
			if again := r.CloseWithError(err); again != nil {
				t.Errorf("closed with %v", again)
			}
			if len(told) != 1 || told[0] != "a mistake" {
				t.Errorf("told of %v", told)
			}
			if f.inProgress && (f.fail == nil || f.fail.Kind != failure.Internal || !errors.As(err, new(*failure.Error))) {
				t.Errorf("the answer ended with %v, the write with %v", f.fail, err)
			}
			if f.inClosed && err != nil {
				t.Errorf("a complete answer ended with %v", err)
			}
			for end := time.Now().Add(5 * time.Second); s.Open() > 0; {
				if time.Now().After(end) {
					t.Fatal("the attempt is still open")
				}
				linger(time.Millisecond)
			}
		})
	}
}

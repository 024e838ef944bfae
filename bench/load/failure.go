package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// Kind is the way in which a request failed.
type Kind string

// The kinds of failure; an answer with another status than 200 is "http_" and the status.
const (
	KindConnect    Kind = "connect"     // no connection could be made
	KindNoAnswer   Kind = "no_answer"   // the connection broke before the answer's head
	KindTimeout    Kind = "timeout"     // silence for longer than Config.Timeout
	KindBadAnswer  Kind = "bad_answer"  // 200 without an event stream, or an event that is not JSON
	KindErrorEvent Kind = "error_event" // the stream carried an error
	KindCut        Kind = "cut"         // the connection broke within the stream
	KindIncomplete Kind = "incomplete"  // the stream ended cleanly but without a finish_reason
)

// KindStatus is the kind of an answer with a status other than 200.
func KindStatus(status int) Kind { return Kind("http_" + strconv.Itoa(status)) }

// Failure is why a request failed.
type Failure struct {
	Kind    Kind
	Message string // the server's own words where it sent some
}

// Error is the kind and the message.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Kind, f.Message) }

// errSilent cancels a request that was silent for too long.
var errSilent = errors.New("no byte arrived for the time-out")

// broken tells the kind of a transport error.
func broken(ctx context.Context, err error, otherwise Kind) *Failure {
	var op *net.OpError
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return &Failure{Kind: KindTimeout, Message: errSilent.Error()}
	case errors.As(err, &op) && op.Op == "dial":
		return &Failure{Kind: KindConnect, Message: err.Error()}
	default:
		return &Failure{Kind: otherwise, Message: err.Error()}
	}
}

var _ error = (*Failure)(nil)

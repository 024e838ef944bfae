package upstream

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/gateway/failure"
)

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, fasthttp.ErrTimeout) || errors.As(err, &t) && t.Timeout()
}

// lost says whether err is a connection that ended, rather than an answer that makes no sense.
func lost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// ended is the failure of an attempt that was cancelled for the reason k.
func ended(k failure.Kind, err error) *failure.Error {
	message := "The request was cancelled."
	switch k {
	case failure.EngineDead:
		message = "The inference engine has died. Please try again."
	case failure.EngineStuck:
		message = "The inference engine does not answer. Please try again."
	case failure.GatewayStopping:
		message = "The gateway is shutting down. Please try again."
	}
	return failure.New(k, message).Because(err)
}

// unbegun is the same before the first event, where another endpoint may still answer: a dead engine is then only a lost one.
func unbegun(k failure.Kind, err error) *failure.Error {
	if k == failure.EngineDead {
		return failure.New(failure.ConnectionLost, "The inference engine has died before it answered.").Because(err)
	}
	return ended(k, err)
}

// midway is the failure of an answer that had begun when err came.
func midway(err error) *failure.Error {
	switch {
	case isTimeout(err):
		return failure.New(failure.StreamStalled, "The inference engine stopped sending. Please try again.").Because(err)
	case lost(err):
		return failure.New(failure.StreamCut, "The inference engine broke off its answer. Please try again.").Because(err)
	default:
		return failure.New(failure.StreamCut, "The inference engine's answer is malformed. Please try again.").Because(err)
	}
}

// CauseOf tells the balancer how an attempt ended.
func CauseOf(k failure.Kind) balancer.Cause {
	switch k {
	case failure.None:
		return balancer.OK
	case failure.ClientGone, failure.ClientStalled:
		return balancer.ClientGone
	case failure.ConnectFailed:
		return balancer.Refused
	case failure.SendFailed, failure.ConnectionLost:
		return balancer.Reset
	case failure.FirstEventTimeout, failure.EngineStuck:
		return balancer.Timeout
	case failure.EngineRefused:
		return balancer.Capacity
	case failure.EngineGone:
		return balancer.Gone
	case failure.EngineError, failure.BadAnswer, failure.EngineStreamError:
		return balancer.ServerError
	case failure.StreamStalled:
		return balancer.Stalled
	case failure.StreamCut, failure.StreamIncomplete, failure.EngineDead:
		return balancer.Cut
	case failure.GatewayStopping, failure.Internal, failure.Draining, failure.ContentRefused, failure.Outrun:
		return balancer.Cancelled
	default:
		return balancer.ClientError
	}
}

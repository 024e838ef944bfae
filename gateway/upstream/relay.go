package upstream

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/provider"
)

// Follower is told how an answer goes on. All calls come from the request's own goroutine.
type Follower interface {
	// Progress tells that output of n tokens came (0: none could be counted).
	Progress(now time.Time, n int)
	// Writing comes before each write to the client.
	Writing(now time.Time)
	// Closed comes once, when nothing more will be sent: fail is nil for a complete answer.
	Closed(fail *failure.Error, sent int64)
}

// Editor changes a stream on its way to the client.
type Editor interface {
	// Edit takes what the client would get and returns what it gets, valid until the next call. After a failure nothing goes out but
	// what came with it. last says that nothing will follow.
	Edit(p []byte, last bool) (out []byte, fail *failure.Error)
	// Closed says that what came with a failure ends the answer in a regular way.
	Closed() bool
}

// Relay carries one answer from its attempt to the client. It is the body stream of the client's response, so it runs in that
// connection's goroutine, and its CloseWithError is the one place where the attempt is finished.
type Relay struct {
	Attempt  *Attempt
	Stream   *api.Stream // nil for an answer that is not a stream of events
	Sink     api.Sink    // takes the answer's text; may be nil
	Follower Follower
	Family   api.Family
	// Verdict judges an answer of status >= 300; nil: by the rules for engines. body is nil where it could not be read whole.
	Verdict func(status int, head *fasthttp.ResponseHeader, body []byte) *failure.Error
	// Decoder turns what comes into events of the family; nil: it is such events.
	Decoder provider.Decoder
	// Redact takes out of an error in a stream what nobody may see; nil: it passes.
	Redact func(p []byte) []byte
	// Editor changes events on their way to the client; nil: they pass.
	Editor Editor
	// Copy gets everything that the client gets; may be nil.
	Copy func(p []byte)
	// Mistake makes a failure of a panic while the answer is relayed or when it has ended, and tells the log; nil: the panic passes.
	Mistake func(p any) *failure.Error

	held  []byte // read before the client's head was sent; may lie in first
	first *buffer
	end   bool // the framing's end was seen
	sent  int64
	over  bool // the answer was relayed to its complete end
	fail  *failure.Error
}

// maxErrorBody bounds what is read of an engine's error.
const maxErrorBody = 64 << 10

// Refused reads the error that the head announces; nil when the status is a good one.
func (r *Relay) Refused() *failure.Error {
	status := r.Attempt.Head.StatusCode()
	if status < 300 {
		return nil
	}
	body, fail := r.readAll(maxErrorBody)
	var cause error // not fail itself, which as an error is never nil
	if fail != nil {
		body, cause = nil, fail
	}
	if k := r.Attempt.Ended(); k != failure.None {
		return unbegun(k, cause)
	}
	if r.Verdict != nil {
		verdict := r.Verdict(status, &r.Attempt.Head, body)
		verdict.Answered = status
		if kind := lacks(status, body); verdict.Kind == failure.BadRequest && kind != failure.None {
			verdict.Kind = kind
		}
		return verdict
	}
	return judge(status, r.Attempt.Head.Peek("Retry-After"), body)
}

// decode translates what came, where a translation is needed.
func (r *Relay) decode(p []byte) []byte {
	if r.Decoder == nil {
		return p
	}
	return r.Decoder.Feed(p)
}

// feed takes what came of a stream and returns what the client gets of it.
func (r *Relay) feed(p []byte) []byte {
	out := r.Stream.Feed(r.decode(p), r.Sink)
	if r.Stream.Err != nil && r.Redact != nil {
		return r.Redact(out)
	}
	return out
}

// maxOpening bounds what comes before the first event has come whole: comments, and that event's beginning.
const maxOpening = 8 << 20

// Open waits for the first event. Until it has come nothing was sent, so a failure here may be repeated elsewhere.
func (r *Relay) Open() *failure.Error {
	r.first = buffers.get()
	lent := false // held lies in first, which is about to be overwritten
	for !r.Stream.FirstEvent && r.Stream.Err == nil {
		if lent {
			r.held, lent = bytes.Clone(r.held), false
		}
		p, err := r.Attempt.Read(r.first.b[:0])
		if out := r.feed(p); len(r.held) == 0 {
			r.held, lent = out, len(out) > 0
		} else {
			r.held = append(r.held, out...)
		}
		if err != nil && !r.Stream.FirstEvent && r.Stream.Err == nil {
			return r.unopened(err)
		}
		if len(r.held) > maxOpening {
			return failure.New(failure.BadAnswer, "The inference engine's answer does not begin.")
		}
		r.end = err != nil
	}
	if r.Stream.Err != nil && r.Stream.Events == 0 {
		return Judge(r.Stream.Err)
	}
	return r.begin()
}

// begin notes that the answer has begun. It fails when the attempt was moved elsewhere a moment before.
func (r *Relay) begin() *failure.Error {
	if k := r.Attempt.begin(); k == failure.EngineStuck {
		return unbegun(k, nil)
	}
	return nil
}

func (r *Relay) unopened(err error) *failure.Error {
	if k := r.Attempt.Ended(); k != failure.None {
		return unbegun(k, err)
	}
	if isTimeout(err) {
		return failure.New(failure.FirstEventTimeout, "The inference engine did not answer in time.").Because(err)
	}
	return failure.New(failure.ConnectionLost, "The inference engine ended its answer before it began.").Because(err)
}

// Whole reads an answer that is not a stream, up to limit bytes. whole is false when there is more: then the rest is relayed.
func (r *Relay) Whole(limit int) (body []byte, whole bool, fail *failure.Error) {
	body, fail = r.readAll(limit)
	if fail != nil && fail.Kind == failure.BadAnswer && len(body) >= limit {
		r.held = body
		return nil, false, r.begin()
	}
	return body, fail == nil, fail
}

// readAll reads up to limit bytes; a longer body is a BadAnswer.
func (r *Relay) readAll(limit int) ([]byte, *failure.Error) {
	size := r.Attempt.Head.ContentLength()
	if size < 0 || size > limit {
		size = bufferSize
	}
	body := make([]byte, 0, size+1)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		var err error
		body, err = r.Attempt.Read(body)
		switch {
		case errors.Is(err, io.EOF):
			r.end = true
			return body, nil
		case err != nil:
			return body, r.unopened(err)
		case len(body) >= limit:
			return body, failure.New(failure.BadAnswer, "The inference engine's answer is too long.")
		}
		r.Attempt.Keep(time.Now())
	}
}

// Hold makes a whole answer the one to be relayed, for answers that are too long for a single write.
func (r *Relay) Hold(body []byte) { r.held, r.end = body, true }

// SupportsBodyWriteTo lets the server hand over its writer, so that each write here becomes one chunk and one packet.
func (r *Relay) SupportsBodyWriteTo() bool { return true }

// Read is part of io.Reader; the server uses WriteTo.
func (r *Relay) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// WriteTo relays until the answer is complete or broken. An error makes the server drop the client's connection without the end
// of its framing, so that nothing incomplete looks complete.
func (r *Relay) WriteTo(w io.Writer) (sent int64, broken error) {
	if r.Mistake != nil {
		defer r.rescue(&broken)
	}
	buf := buffers.get()
	defer buffers.put(buf)
	now := time.Now()
	r.Attempt.begin()
	r.Attempt.Keep(now)
	out, err := r.held, error(nil)
	if r.end {
		err = io.EOF
	}
	for {
		if r.Editor != nil {
			if out, r.fail = r.Editor.Edit(out, err != nil || r.Stream.Terminated); r.fail != nil {
				return r.sent, r.stop(w, out)
			}
		}
		if len(out) > 0 {
			if werr := r.write(w, out); werr != nil {
				return r.sent, werr
			}
			r.Attempt.Keep(time.Now()) // the write may have waited for a slow client, which is not the engine's silence
		}
		if err != nil || r.Stream != nil && r.Stream.Terminated {
			return r.sent, r.finish(w, err)
		}
		out, err = r.Attempt.Read(buf.b[:0])
		if len(out) > 0 {
			now = time.Now()
			r.Attempt.Keep(now)
			if r.Stream != nil {
				out = r.feed(out)
				r.Follower.Progress(now, r.Stream.LastTokens)
			}
		}
	}
}

// rescue turns a panic into the failure that ends the answer.
func (r *Relay) rescue(broken *error) {
	if p := recover(); p != nil {
		r.fail = r.Mistake(p)
		*broken = r.fail
	}
}

// stop ends an answer that the editor ends, with the last of it.
func (r *Relay) stop(w io.Writer, out []byte) error {
	if r.Editor.Closed() {
		return r.write(w, out)
	}
	if err := r.write(w, append(out, api.ErrorEvent(r.Family, r.fail)...)); err != nil {
		return err
	}
	return r.fail
}

// longestWrite is up to which size one write has to pass within the client's patience.
const longestWrite = 64 << 10

func (r *Relay) write(w io.Writer, out []byte) error {
	if r.Copy != nil {
		r.Copy(out)
	}
	for len(out) > 0 {
		r.Follower.Writing(time.Now())
		n, err := w.Write(out[:min(len(out), longestWrite)])
		r.sent += int64(n)
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// finish judges how the answer ended and tells a client whose answer is incomplete so, in words, before the unclean end.
func (r *Relay) finish(w io.Writer, err error) error {
	told := false
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		if k := r.Attempt.Ended(); k != failure.None {
			r.fail = ended(k, err)
		} else {
			r.fail = midway(err)
		}
	case r.Stream == nil || r.Stream.Complete && r.Stream.Err == nil:
		r.over = true
		return nil
	case r.Stream.Err != nil:
		r.fail, told = failure.New(failure.EngineStreamError, r.Stream.Err.Message), true
	default:
		r.fail = failure.New(failure.StreamIncomplete, "The inference engine ended its answer too early. Please try again.")
	}
	if r.Stream != nil && !told && r.fail.Kind != failure.ClientGone {
		last := api.ErrorEvent(r.Family, r.fail)
		if r.Stream.Partial { // the client has half an event, which would swallow this one
			last = append([]byte("\n\n"), last...)
		}
		_ = r.write(w, last)
	}
	return r.fail
}

// CloseWithError finishes the attempt. The server calls it once, with the write error when the client is gone.
func (r *Relay) CloseWithError(err error) error {
	if r.Mistake != nil {
		var late error // nothing can be told any more
		defer r.rescue(&late)
	}
	switch {
	case r.fail != nil:
	case isTimeout(err):
		r.fail = failure.New(failure.ClientStalled, "The client does not read its answer.").Because(err)
	case err != nil:
		r.fail = failure.New(failure.ClientGone, "The client left.").Because(err)
	case !r.over:
		r.fail = failure.New(failure.Internal, "The gateway made a mistake while it relayed the answer.")
	}
	r.finishAttempt()
	r.Follower.Closed(r.fail, r.sent)
	return nil
}

// finishAttempt gives the engine's connection back.
func (r *Relay) finishAttempt() {
	r.drop()
	if r.fail != nil {
		r.Attempt.Finish(false)
		return
	}
	r.Attempt.Drain()
}

// Abandon finishes the attempt of an answer that will not be relayed.
func (r *Relay) Abandon() {
	r.drop()
	r.Attempt.Finish(r.end)
}

// drop gives back the buffer of what was held.
func (r *Relay) drop() {
	if r.first != nil {
		buffers.put(r.first)
		r.held, r.first = nil, nil
	}
}

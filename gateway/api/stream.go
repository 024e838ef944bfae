package api

import (
	"bytes"
)

// Sink takes the answer of choice 0 as it comes: decoded text and tool calls, what a later turn sends back.
// Reasoning does not reach it. The slices are valid during the call only.
type Sink interface {
	// Text takes a piece of answer text.
	Text(decoded []byte)
	// Tool takes a piece of a tool call: the name comes with the first piece of its arguments only.
	Tool(name, args []byte)
}

// StreamError is an error that an engine sent inside an answer of status 200.
type StreamError struct {
	Message, Type string
	// Code is the HTTP status that the engine named, 0 if none.
	Code int
}

// Error returns the engine's words.
func (e *StreamError) Error() string { return e.Message }

// Bounds of what a Stream keeps of an event that has not come whole.
const (
	maxHeld  = 64 << 10 // bytes held back from the client; beyond it they pass, and the event cannot be taken out
	maxEvent = 8 << 20  // bytes kept to be read; a longer event passes unread
	keepTail = 64 << 10 // memory kept from one event to the next
)

// Stream follows a stream of server-sent events: what is complete, what it says, what may go to the client.
//
// Bytes pass as they come; a whole event is never held back. What is not passed on: the usage chunk, if the client did
// not ask for it; whatever follows the family's last event; and a [DONE] that would make an incomplete stream look
// complete. The beginning of an event is held back, up to 64 KiB, until the first event is whole, while the usage
// chunk has to be taken out, and where it could become a [DONE]. An event of 250 bytes costs about a microsecond and
// no allocation. One Stream is for one goroutine.
type Stream struct {
	// Events counts the events with output (text, reasoning, tool calls) so far.
	Events int
	// LastTokens is the output tokens of the last Feed: by the engine's running count if it sends one, else its events.
	LastTokens int
	// Counted is the same of all of the stream.
	Counted int
	// FirstEvent says that an event of the engine (not a comment, not a ping) has come whole.
	FirstEvent bool
	// Complete says that the stream is complete by its family's rule.
	Complete bool
	// Terminated says that the last event of the family has come: the response ends here.
	Terminated bool
	// Partial says that the client has the beginning of an event whose end it has not got: a blank line must go out
	// before anything else does.
	Partial bool
	// Reasoned says that the answer holds reasoning: the engine's cache then holds it before the answer, and the next
	// turn's prompt does not.
	Reasoned bool
	// Err is the error that the engine sent in the stream, nil if none.
	Err *StreamError
	// Usage is what the engine counted, so far.
	Usage Usage
	// ResponseID is the id of the answer, "" until it is known.
	ResponseID string

	family    Family
	dropUsage bool
	choices   finished

	frame   framer
	tail    []byte // the event that has not come whole
	passed  int    // bytes of tail that the client has
	long    bool   // the event is longer than maxEvent: it passes unread
	begun   bool   // bytes have come
	dropped bool   // the last event was not passed on
	out     []byte
	joined  []byte
	scratch []byte

	shape  shape
	spoken []byte // the raw text of the event in hand
	says   int    // 1 when that is all it brought
}

// NewStream returns the state of a stream of f with n choices. With dropUsage the usage chunk, which the client
// did not ask for, is taken out.
func NewStream(f Family, n int, dropUsage bool) *Stream {
	return &Stream{Usage: NoUsage, family: f, dropUsage: dropUsage, choices: expect(n)}
}

// Feed takes what the engine sent and returns what goes to the client now. The result aliases in or the Stream and
// is valid until the next Feed. sink may be nil.
func (s *Stream) Feed(in []byte, sink Sink) (out []byte) {
	s.LastTokens = 0
	w := writer{in: in, out: s.out[:0]}
	pos := s.lateNewline(in, &w)
	for pos < len(in) && !s.Terminated {
		n := s.frame.next(in[pos:])
		if n < 0 {
			s.unfinished(&w, pos)
			break
		}
		s.finished(&w, pos, pos+n, sink)
		pos += n
	}
	out = w.result()
	if w.copied {
		s.out = out
	}
	return out
}

// lateNewline gives the \n of a \r\n that two reads cut apart to the event that it ends.
func (s *Stream) lateNewline(in []byte, w *writer) int {
	if !s.frame.cr || s.started() || s.Terminated || len(in) == 0 || in[0] != '\n' {
		return 0
	}
	s.frame.cr = false
	if !s.dropped {
		w.keep(0, 1)
	}
	return 1
}

func (s *Stream) started() bool { return len(s.tail) > 0 || s.long }

// finished takes the event that ends in.[:end] and passes it on, or not.
func (s *Stream) finished(w *writer, pos, end int, sink Sink) {
	held := len(s.tail)
	raw := w.in[pos:end]
	if held > 0 {
		s.tail = append(s.tail, raw...)
		raw = s.tail
	}
	keep := s.long || s.event(raw, sink)
	if keep || s.passed > 0 && !s.Terminated {
		if held > s.passed {
			w.copy(s.tail[s.passed:held])
		}
		w.keep(pos, end)
		keep = true
	}
	s.dropped = !keep
	s.Partial = !keep && s.passed > 0
	if cap(s.tail) > keepTail {
		s.tail = nil
	}
	s.tail, s.passed, s.long = s.tail[:0], 0, false
}

// unfinished takes the beginning of an event, or more of it, from in[pos:].
func (s *Stream) unfinished(w *writer, pos int) {
	held := len(s.tail)
	if !s.long {
		s.tail = append(s.tail, w.in[pos:]...)
	}
	if s.holds() {
		return
	}
	if held > s.passed {
		w.copy(s.tail[s.passed:held])
	}
	w.keep(pos, len(w.in))
	s.passed = len(s.tail)
	s.Partial = true
	if len(s.tail) > maxEvent {
		s.tail, s.passed, s.long = nil, 0, true
	}
}

// holds says whether the tail must not go to the client yet.
func (s *Stream) holds() bool {
	if s.long || s.passed > 0 || len(s.tail) > maxHeld {
		return false
	}
	return !s.FirstEvent || s.dropUsage || bytes.HasPrefix([]byte("data: [DONE]\r\n\r\n"), s.tail) ||
		bytes.HasPrefix([]byte("data: [DONE]\n\n"), s.tail)
}

// event reads one whole event and says whether it goes to the client.
func (s *Stream) event(raw []byte, sink Sink) bool {
	if !s.begun {
		s.begun = true
		raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	}
	if s.repeats(raw, sink) {
		return true
	}
	var e event
	s.joined = e.parse(raw, s.joined)
	data := bytes.TrimSpace(e.data)
	switch {
	case !e.has:
		return true
	case string(data) == "[DONE]":
		return s.done()
	case len(data) == 0 || data[0] != '{':
		s.FirstEvent = true
		return true
	}
	switch s.family {
	case Chat, Completions:
		keep := s.chunk(data, sink)
		s.learn(raw)
		return keep
	case Messages:
		s.messageEvent(&e, data, sink)
	case Responses, ResponseByID:
		s.responseEvent(&e, data, sink)
	case Transcriptions, Translations:
		s.transcriptEvent(data, sink)
	default: // no rule is known: a clean end is an end
		s.FirstEvent, s.Complete = true, true
		s.plainEvent(data)
	}
	return true
}

// done takes the [DONE] event. It does not reach the client when the stream is incomplete without a word about it.
func (s *Stream) done() bool {
	s.FirstEvent, s.Terminated = true, true
	switch s.family {
	case Chat, Completions, Messages, Responses, ResponseByID:
	default:
		s.Complete = true
	}
	return s.Complete || s.Err != nil
}

// output counts one event with output, in tokens by the running usage if there is one.
func (s *Stream) output(running bool) {
	s.Events++
	tokens := 1
	if running && s.Usage.Output > 0 {
		tokens = max(1, s.Usage.Output-s.Counted)
	}
	s.Counted += tokens
	s.LastTokens += tokens
}

// finished keeps which choices have ended.
type finished struct {
	left  int
	few   uint64   // the first 64
	other []uint64 // the rest
}

// mostChoices bounds what is kept of the choices: 128 KiB.
const mostChoices = 1 << 20

func expect(n int) finished {
	n = max(1, min(n, mostChoices))
	f := finished{left: n, few: 1<<n - 1}
	if n > 64 {
		f.few = 1<<64 - 1
		f.other = make([]uint64, (n-1)/64)
		for i := 64; i < n; i++ {
			f.other[i/64-1] |= 1 << (i % 64)
		}
	}
	return f
}

// end notes the end of choice i and says whether all have ended.
func (f *finished) end(i int) bool {
	word := &f.few
	if i >= 64 && i/64-1 < len(f.other) {
		word = &f.other[i/64-1]
	}
	if bit := uint64(1) << (i & 63); i >= 0 && (i < 64 || word != &f.few) && *word&bit != 0 {
		*word &^= bit
		f.left--
	}
	return f.left == 0
}

// writer puts together what goes to the client: one piece of in where that is possible, else a copy.
type writer struct {
	in     []byte
	lo, hi int // the piece of in that is not in out yet
	out    []byte
	copied bool
}

func (w *writer) keep(lo, hi int) {
	if lo == w.hi && w.hi > w.lo {
		w.hi = hi
		return
	}
	w.flush()
	w.lo, w.hi = lo, hi
}

func (w *writer) flush() {
	if w.hi > w.lo {
		w.out = append(w.out, w.in[w.lo:w.hi]...)
		w.copied = true
	}
	w.lo, w.hi = 0, 0
}

func (w *writer) copy(p []byte) {
	w.flush()
	w.out = append(w.out, p...)
	w.copied = true
}

func (w *writer) result() []byte {
	if !w.copied {
		return w.in[w.lo:w.hi]
	}
	w.flush()
	return w.out
}

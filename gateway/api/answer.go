package api

import "github.com/warmlane/warmlane/tokenize"

// Answer is what an answer that is not a stream says.
type Answer struct {
	// Usage is what the engine counted.
	Usage Usage
	// ID is the id of the answer, "" if it has none.
	ID string
	// Err is the error that the body tells although its status is 200, nil if none.
	Err *StreamError
	// Reasoned says that the answer holds reasoning; see [Stream.Reasoned].
	Reasoned bool
}

// Inspect reads an answer that is not a stream, and into sink (may be nil) the answer of choice 0. ok is false when body is no JSON object.
func Inspect(f Family, body []byte, sink Sink) (a Answer, ok bool) {
	if kind := tokenize.Walk(body, 1); kind.Kind() != tokenize.Object {
		return Answer{Usage: NoUsage}, false
	}
	var c chunkFields
	if !c.read(body) {
		return Answer{Usage: NoUsage}, false
	}
	s := Stream{Usage: NoUsage, family: f, choices: expect(1)}
	s.Usage.read(c.usage)
	s.Usage.readTimings(c.timings)
	switch f {
	case Chat, Completions:
		s.wholeChoices(c.choices, sink)
	case Messages:
		s.wholeParts(c.content, sink)
	case Responses, ResponseByID:
		s.wholeOutput(c.output, sink)
	}
	return Answer{Usage: s.Usage, ID: tokenize.StringOf(c.id), Err: c.fault(nil), Reasoned: s.Reasoned}, true
}

// wholeChoices reads choice 0 of a chat or completions answer.
func (s *Stream) wholeChoices(raw []byte, sink Sink) {
	if tokenize.KindOf(raw) != tokenize.Array {
		return
	}
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		if number(tokenize.Find(w.Value, "index"), 0) != 0 {
			continue
		}
		s.say(tokenize.Find(w.Value, "text"), sink)
		message := tokenize.Find(w.Value, "message")
		if tokenize.KindOf(message) != tokenize.Object {
			continue
		}
		// Text goes first, as in the next turn's prompt, whatever the order of the members.
		s.say(tokenize.Find(message, "content"), sink)
		s.wholeCalls(message, sink)
	}
}

func (s *Stream) wholeCalls(message []byte, sink Sink) {
	w := tokenize.WalkTrusted(message)
	for w.Next() {
		switch string(w.Key) {
		case "tool_calls", "function_call", "reasoning", "reasoning_content":
			s.deltaMember(w.Key, w.Value, sink)
		}
	}
}

// wholeParts reads the content blocks of a messages answer, or the content of a responses message.
func (s *Stream) wholeParts(raw []byte, sink Sink) {
	if tokenize.KindOf(raw) != tokenize.Array {
		return
	}
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		kind := tokenize.Find(w.Value, "type")
		switch {
		case tokenize.TextIs(kind, "text"), tokenize.TextIs(kind, "output_text"):
			s.say(tokenize.Find(w.Value, "text"), sink)
		case tokenize.TextIs(kind, "thinking"):
			s.Reasoned = true
		case tokenize.TextIs(kind, "tool_use") && sink != nil:
			sink.Tool(s.decode(tokenize.Find(w.Value, "name")), tokenize.Find(w.Value, "input"))
		}
	}
}

// wholeOutput reads the output items of a responses answer.
func (s *Stream) wholeOutput(raw []byte, sink Sink) {
	if tokenize.KindOf(raw) != tokenize.Array {
		return
	}
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		kind := tokenize.Find(w.Value, "type")
		switch {
		case tokenize.TextIs(kind, "message"):
			s.wholeParts(tokenize.Find(w.Value, "content"), sink)
		case tokenize.TextIs(kind, "function_call"):
			s.call(w.Value, sink)
		case tokenize.TextIs(kind, "reasoning"):
			s.Reasoned = true
		}
	}
}

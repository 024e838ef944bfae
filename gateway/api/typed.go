package api

import (
	"bytes"

	"github.com/warmlane/warmlane/tokenize"
)

// typedFields are the members that matter of an event which names its type in it (messages, responses), raw.
type typedFields struct {
	kind                                                      []byte
	delta, block, message, usage, item, response, fail, words []byte
	code                                                      []byte
}

func (t *typedFields) read(data []byte) bool {
	w := tokenize.Walk(data, tokenize.MaxDepth)
	for w.Next() {
		switch string(w.Key) {
		case "type":
			t.kind = w.Value
		case "delta":
			t.delta = w.Value
		case "content_block":
			t.block = w.Value
		case "message":
			t.message, t.words = w.Value, w.Value
		case "usage":
			t.usage = w.Value
		case "item":
			t.item = w.Value
		case "response":
			t.response = w.Value
		case "error":
			t.fail = w.Value
		case "code":
			t.code = w.Value
		}
	}
	return w.Err() == nil
}

// name returns the type of the event, by its data or by its event line. It is valid until the next decode.
func (s *Stream) name(t *typedFields, e *event) string {
	if tokenize.KindOf(t.kind) == tokenize.String {
		if text, ok := tokenize.PlainText(t.kind); ok {
			return eventName(text)
		}
		return eventName(s.decode(t.kind))
	}
	return eventName(bytes.TrimSpace(e.name))
}

// eventName returns a known name without an allocation.
func eventName(b []byte) string {
	switch string(b) {
	case "ping":
		return "ping"
	case "message_start":
		return "message_start"
	case "content_block_start":
		return "content_block_start"
	case "content_block_delta":
		return "content_block_delta"
	case "message_delta":
		return "message_delta"
	case "message_stop":
		return "message_stop"
	case "response.output_text.delta":
		return "response.output_text.delta"
	case "response.function_call_arguments.delta":
		return "response.function_call_arguments.delta"
	}
	return string(b)
}

// messageEvent reads one event of Anthropic's messages.
func (s *Stream) messageEvent(e *event, data []byte, sink Sink) {
	var t typedFields
	if !t.read(data) {
		s.FirstEvent = true
		return
	}
	name := s.name(&t, e)
	s.FirstEvent = s.FirstEvent || name != "ping"
	s.Usage.read(t.usage)
	if tokenize.KindOf(t.fail) == tokenize.Object { // with type error, or in OpenAI's form without one
		s.Err = errorObject(t.fail)
	}
	switch name {
	case "message_start":
		s.ResponseID = tokenize.StringOf(tokenize.Find(t.message, "id"))
		s.Usage.read(tokenize.Find(t.message, "usage"))
	case "content_block_start":
		s.blockStart(t.block, sink)
	case "content_block_delta":
		s.blockDelta(t.delta, sink)
	case "message_stop":
		s.Complete, s.Terminated = true, true
	case "error":
		s.Err = t.fault()
	}
}

// fault reads the error of an event that is one, nested or flat.
func (t *typedFields) fault() *StreamError {
	if tokenize.KindOf(t.fail) == tokenize.Object {
		return errorObject(t.fail)
	}
	fail := &StreamError{Message: tokenize.StringOf(t.words), Type: tokenize.StringOf(t.code), Code: number(t.code, 0)}
	if tokenize.KindOf(t.fail) == tokenize.String {
		fail.Message = tokenize.StringOf(t.fail)
	}
	return fail
}

func (s *Stream) blockStart(block []byte, sink Sink) {
	kind := tokenize.Find(block, "type")
	switch {
	case tokenize.TextIs(kind, "text"):
		if s.say(tokenize.Find(block, "text"), sink) {
			s.output(false)
		}
	case tokenize.TextIs(kind, "tool_use"):
		if name := tokenize.Find(block, "name"); sink != nil && len(name) > 2 {
			sink.Tool(s.decode(name), nil)
		}
		s.output(false)
	}
}

func (s *Stream) blockDelta(delta []byte, sink Sink) {
	var kind, text, args []byte
	w := tokenize.WalkTrusted(delta)
	for w.Next() {
		switch string(w.Key) {
		case "type":
			kind = w.Value
		case "text":
			text = w.Value
		case "partial_json":
			args = w.Value
		}
	}
	switch {
	case tokenize.TextIs(kind, "text_delta"):
		if !s.say(text, sink) {
			return
		}
	case tokenize.TextIs(kind, "input_json_delta"):
		if sink != nil && len(args) > 2 {
			sink.Tool(nil, s.decode(args))
		}
	case tokenize.TextIs(kind, "thinking_delta"):
		s.Reasoned = true
	default:
		return
	}
	s.output(false)
}

// responseEvent reads one event of OpenAI's responses.
func (s *Stream) responseEvent(e *event, data []byte, sink Sink) {
	s.FirstEvent = true
	var t typedFields
	if !t.read(data) {
		return
	}
	if tokenize.KindOf(t.fail) == tokenize.Object {
		s.Err = errorObject(t.fail)
	}
	name := s.name(&t, e)
	switch name {
	case "response.output_text.delta", "response.refusal.delta":
		if s.say(t.delta, sink) {
			s.output(false)
		}
	case "response.function_call_arguments.delta":
		if sink != nil && len(t.delta) > 2 {
			sink.Tool(nil, s.decode(t.delta))
		}
		s.output(false)
	case "response.output_item.added":
		if tokenize.TextIs(tokenize.Find(t.item, "type"), "function_call") && sink != nil {
			sink.Tool(s.decode(tokenize.Find(t.item, "name")), nil)
		}
	case "response.created", "response.queued", "response.in_progress":
		s.ResponseID = tokenize.StringOf(tokenize.Find(t.response, "id"))
	case "response.completed", "response.incomplete", "response.failed":
		s.responseEnd(&t, name == "response.failed")
	case "error":
		s.Err = t.fault()
	default:
		if bytes.HasPrefix([]byte(name), []byte("response.reasoning")) && bytes.HasSuffix([]byte(name), []byte(".delta")) {
			s.Reasoned = true
			s.output(false)
		}
	}
}

func (s *Stream) responseEnd(t *typedFields, failed bool) {
	s.Complete, s.Terminated = true, true
	s.Usage.read(tokenize.Find(t.response, "usage"))
	if s.ResponseID == "" {
		s.ResponseID = tokenize.StringOf(tokenize.Find(t.response, "id"))
	}
	if failed {
		s.Err = &StreamError{Message: "The inference engine gave up this answer.", Type: "response.failed"}
		if raw := tokenize.Find(t.response, "error"); tokenize.KindOf(raw) == tokenize.Object {
			s.Err = errorObject(raw)
		}
	}
}

// transcriptEvent reads one event of a transcription: chunks with choices (vLLM) or typed events (OpenAI).
func (s *Stream) transcriptEvent(data []byte, sink Sink) {
	s.chunk(data, sink)
	switch kind := tokenize.Find(data, "type"); {
	case tokenize.TextIs(kind, "transcript.text.delta"):
		s.output(false)
	case tokenize.TextIs(kind, "transcript.text.done"):
		s.Complete = true
	}
}

// plainEvent looks for an error and usage only.
func (s *Stream) plainEvent(data []byte) {
	var c chunkFields
	if c.read(data) {
		s.Err = c.fault(s.Err)
		s.Usage.read(c.usage)
	}
}

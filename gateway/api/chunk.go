package api

import "github.com/warmlane/warmlane/tokenize"

// chunk reads one event of chat or completions and says whether it goes to the client.
func (s *Stream) chunk(data []byte, sink Sink) bool {
	s.FirstEvent, s.says = true, 0
	var c chunkFields
	if !c.read(data) {
		return true // no JSON: not ours to judge
	}
	s.Err = c.fault(s.Err)
	if s.ResponseID == "" {
		s.ResponseID = tokenize.StringOf(c.id)
	}
	s.Usage.read(c.usage)
	s.Usage.readTimings(c.timings)
	running := tokenize.KindOf(c.usage) == tokenize.Object
	if running || c.timings != nil || s.Err != nil {
		s.plural()
	}
	if tokenize.KindOf(c.choices) != tokenize.Array {
		return true
	}
	said, empty := false, true
	w := tokenize.WalkTrusted(c.choices)
	for w.Next() {
		empty = false
		said = s.choice(w.Value, sink) || said
	}
	if said {
		s.output(running)
	}
	return !s.dropUsage || !empty || !running
}

// chunkFields are the members of a chunk, or of a whole answer, that matter, raw.
type chunkFields struct {
	id, choices, usage, timings          []byte
	fail, object, message, kind, errCode []byte
	content, output                      []byte // of whole answers only
}

func (c *chunkFields) read(data []byte) bool {
	w := tokenize.Walk(data, tokenize.MaxDepth)
	for w.Next() {
		switch string(w.Key) {
		case "id":
			c.id = w.Value
		case "choices":
			c.choices = w.Value
		case "usage":
			c.usage = w.Value
		case "timings":
			c.timings = w.Value
		case "error":
			c.fail = w.Value
		case "object":
			c.object = w.Value
		case "message":
			c.message = w.Value
		case "type":
			c.kind = w.Value
		case "code":
			c.errCode = w.Value
		case "content":
			c.content = w.Value
		case "output":
			c.output = w.Value
		}
	}
	return w.Err() == nil
}

// fault returns the error that the chunk tells, else the one known before. Engines tell it as {"error":{...}}, as
// {"error":"text"}, or flat with "object":"error".
func (c *chunkFields) fault(known *StreamError) *StreamError {
	switch tokenize.KindOf(c.fail) {
	case tokenize.Object:
		return errorObject(c.fail)
	case tokenize.String:
		return &StreamError{Message: tokenize.StringOf(c.fail), Type: tokenize.StringOf(c.kind), Code: number(c.errCode, 0)}
	}
	if tokenize.TextIs(c.object, "error") {
		return &StreamError{Message: tokenize.StringOf(c.message), Type: tokenize.StringOf(c.kind), Code: number(c.errCode, 0)}
	}
	return known
}

// errorObject reads an error in OpenAI's or Anthropic's form.
func errorObject(raw []byte) *StreamError {
	e := &StreamError{}
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		switch string(w.Key) {
		case "message":
			e.Message = tokenize.StringOf(w.Value)
		case "type":
			e.Type = tokenize.StringOf(w.Value)
		case "code", "http_code", "status_code":
			if n := number(w.Value, 0); n > 0 {
				e.Code = n
			} else if n := small([]byte(tokenize.StringOf(w.Value))); n > 0 {
				e.Code = n
			}
		}
	}
	if e.Code == 0 {
		e.Code = anthropicStatus(e.Type)
	}
	return e
}

// choice reads one choice of a chunk and says whether it has output.
func (s *Stream) choice(raw []byte, sink Sink) bool {
	index := 0
	var delta, text, finish []byte
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		switch string(w.Key) {
		case "index":
			index = number(w.Value, 0)
		case "delta":
			delta = w.Value
		case "text":
			text = w.Value
		case "finish_reason":
			finish = w.Value
		}
	}
	if index != 0 {
		sink = nil
		s.plural()
	}
	said := s.say(text, sink)
	if tokenize.KindOf(delta) == tokenize.Object {
		said = s.delta(delta, sink) || said
	}
	s.finish(index, finish)
	return said
}

// finish takes a finish_reason. Some engines write "" while a choice goes on.
func (s *Stream) finish(index int, reason []byte) {
	if tokenize.KindOf(reason) != tokenize.String || len(reason) == 2 {
		return
	}
	s.plural()
	if s.choices.end(index) {
		s.Complete = true
	}
	if s.Err == nil && (tokenize.TextIs(reason, "abort") || tokenize.TextIs(reason, "error")) {
		s.Err = &StreamError{Message: "The inference engine gave up this answer.", Type: tokenize.StringOf(reason), Code: 500}
	}
}

// delta reads what a chat chunk adds to a choice.
func (s *Stream) delta(raw []byte, sink Sink) bool {
	said := false
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		said = s.deltaMember(w.Key, w.Value, sink) || said
	}
	return said
}

// deltaMember reads one member of a delta, or of a whole message, and says whether it is output.
func (s *Stream) deltaMember(key, value []byte, sink Sink) bool {
	switch string(key) {
	case "content", "refusal":
		return s.say(value, sink)
	case "reasoning", "reasoning_content":
		said := len(value) > 2 && value[0] == '"'
		s.plural()
		s.Reasoned = s.Reasoned || said
		return said
	case "tool_calls":
		s.plural()
		if tokenize.KindOf(value) != tokenize.Array {
			return false
		}
		said := false
		for w := tokenize.WalkTrusted(value); w.Next(); said = true {
			s.call(tokenize.Find(w.Value, "function"), sink)
		}
		return said
	case "function_call":
		s.plural()
		if tokenize.KindOf(value) != tokenize.Object {
			return false
		}
		s.call(value, sink)
		return true
	}
	return false
}

// say hands text on and says whether there is any.
func (s *Stream) say(raw []byte, sink Sink) bool {
	if len(raw) <= 2 || raw[0] != '"' {
		return false
	}
	s.spoken = raw
	s.says++
	if sink != nil {
		sink.Text(s.decode(raw))
	}
	return true
}

// decode returns the text of a raw string; it is valid until the next decode.
func (s *Stream) decode(raw []byte) []byte {
	if text, ok := tokenize.PlainText(raw); ok {
		return text
	}
	s.scratch = tokenize.AppendText(s.scratch[:0], raw)
	return s.scratch
}

// call hands a piece of a tool call on, given the raw object with its name and arguments.
func (s *Stream) call(function []byte, sink Sink) {
	if sink == nil {
		return
	}
	if name := tokenize.Find(function, "name"); len(name) > 2 {
		sink.Tool(s.decode(name), nil)
	}
	args := tokenize.Find(function, "arguments")
	switch tokenize.KindOf(args) {
	case tokenize.String:
		if len(args) > 2 {
			sink.Tool(nil, s.decode(args))
		}
	case tokenize.Object:
		sink.Tool(nil, args)
	}
}

package guard

import (
	"bytes"
	"strconv"

	"github.com/warmlane/warmlane/tokenize"
)

// Input looks at all texts of a request's JSON body that reach the model. It returns the body that may go on, which is body itself
// where nothing is to be masked, or the refusal.
func (s *Session) Input(body []byte) ([]byte, *Refusal) {
	if s == nil || len(s.input) == 0 {
		return body, nil
	}
	k := s.g.looks.Get().(*look) //nolint:errcheck // nothing else is put there
	defer s.g.looks.Put(k)
	k.edits = k.edits[:0]
	in := request{s: s, k: k, body: body, asks: asks(s.input)}
	w := tokenize.WalkTrusted(body)
	for w.Next() && in.refuses == nil {
		switch string(w.Key) {
		case "messages", "system", "instructions", "prompt", "suffix", "input", "documents", "query", "queries", "text_1", "text_2", "data_1", "data_2",
			"content", "prediction", "chat_template":
			in.value(w.Value, w.Offset, "")
		case "chat_template_kwargs":
			in.value(w.Value, w.Offset, within)
		case "tools", "functions", "response_format", "text":
			in.described(w.Value, w.Offset)
		}
		if untold(w.Key, w.Value) {
			if r := firstThatActs(s.input); r != nil {
				s.note(r, "input", 1)
				return nil, &Refusal{Message: "A prompt of token ids or embeddings cannot be checked. Please send it as text."}
			}
		}
	}
	if in.refuses == nil {
		in.refuses = s.ask(s.input, "input", in.texts)
	}
	if in.refuses != nil {
		return nil, s.refusal(in.refuses)
	}
	return apply(body, k.edits), nil
}

// request is the walk through one request's body.
type request struct {
	s       *Session
	k       *look
	body    []byte
	refuses *rule
	asks    bool     // a service is to be asked
	texts   []string // about these, as the engine will get them
}

// value looks at all texts in raw, which lies at the index at of the body and is the member of that name.
func (in *request) value(raw []byte, at int, name string) {
	switch tokenize.KindOf(raw) {
	case tokenize.String:
		if name == "arguments" && in.arguments(raw, at) {
			return
		}
		in.string(raw, at)
	case tokenize.Array:
		for w := tokenize.WalkTrusted(raw); in.refuses == nil && w.Next(); {
			in.value(w.Value, at+w.Offset, name)
		}
	case tokenize.Object:
		free := isFree(name)
		for w := tokenize.WalkTrusted(raw); in.refuses == nil && w.Next(); {
			switch {
			case free:
				in.value(w.Value, at+w.Offset, within)
			case reaches(raw, w.Key):
				in.value(w.Value, at+w.Offset, string(w.Key))
			}
		}
	}
}

// within is the name of all that lies in an object whose members have any names.
const within = "*"

// isFree says whether an object of that name is somebody's own, such as what a tool was called with, so that its members' names say nothing.
func isFree(name string) bool {
	switch name {
	case within, "input", "arguments", "variables":
		return true
	}
	return false
}

// untold says whether a member of the body is a prompt in another form than text.
func untold(name, raw []byte) bool {
	switch string(name) {
	case "prompt_embeds":
		return tokenize.KindOf(raw) != tokenize.Null
	case "prompt", "input":
		return hasNumbers(raw)
	}
	return false
}

// hasNumbers says whether raw is a list with a number in it, or with such a list.
func hasNumbers(raw []byte) bool {
	if tokenize.KindOf(raw) != tokenize.Array {
		return false
	}
	for w := tokenize.WalkTrusted(raw); w.Next(); {
		if tokenize.KindOf(w.Value) == tokenize.Number || hasNumbers(w.Value) {
			return true
		}
	}
	return false
}

// firstThatActs is the first rule that does more than count.
func firstThatActs(rules []*rule) *rule {
	for _, r := range rules {
		if r.Action != "log" {
			return r
		}
	}
	return nil
}

// reaches says whether the member of that name in a message, or in a part of one, has text for the model: not names, ids, media and addresses.
func reaches(object, name []byte) bool {
	switch string(name) {
	case "type", "role", "id", "tool_call_id", "tool_use_id", "call_id", "item_id", "status", "detail", "media_type", "mime_type", "format",
		"signature", "encrypted_content", "file_data", "file_id", "file_url", "image_url", "video_url", "audio_url", "input_audio", "url", "name", "cache_control":
		return false
	case "data": // of a source of text, not of an image
		return tokenize.TextIs(tokenize.Find(object, "type"), "text")
	}
	return true
}

// described looks at the descriptions in tools: they are text for the model. Their names and schemas are the application's code.
func (in *request) described(raw []byte, at int) {
	switch tokenize.KindOf(raw) {
	case tokenize.Array:
		for w := tokenize.WalkTrusted(raw); in.refuses == nil && w.Next(); {
			in.described(w.Value, at+w.Offset)
		}
	case tokenize.Object:
		for w := tokenize.WalkTrusted(raw); in.refuses == nil && w.Next(); {
			if tokenize.KindOf(w.Value) == tokenize.String && string(w.Key) == "description" {
				in.string(w.Value, at+w.Offset)
			} else {
				in.described(w.Value, at+w.Offset)
			}
		}
	}
}

// string looks at one text.
func (in *request) string(raw []byte, at int) {
	k := in.k
	k.outer.read(raw)
	k.find(in.s, in.s.input, nil, k.outer.text, 0, false)
	if in.refuses = k.count(in.s, "input"); in.refuses != nil {
		return
	}
	k.join()
	in.keep(k.outer.text)
	for i := range k.hits {
		from := k.outer.marks.source(k.hits[i].span)
		text := appendEscaped(nil, in.replacement(&k.hits[i], k.outer.text))
		k.edits = append(k.edits, edit{span{at + from.start, at + from.end}, text})
	}
}

// arguments looks at the arguments of a tool call, which are JSON within a string; false if they are anything else.
func (in *request) arguments(raw []byte, at int) bool {
	var outer literal // the texts within it use the look's own
	outer.read(raw)
	if k := tokenize.KindOf(bytes.TrimLeft(outer.text, " \t\r\n")); k != tokenize.Object && k != tokenize.Array ||
		tokenize.Validate(outer.text, tokenize.MaxDepth) != nil {
		return false
	}
	in.nested(outer.text, 0, &outer, at)
	return true
}

func (in *request) nested(raw []byte, offset int, outer *literal, at int) {
	if tokenize.KindOf(raw) == tokenize.String {
		in.inner(raw, offset, outer, at)
		return
	}
	if k := tokenize.KindOf(bytes.TrimLeft(raw, " \t\r\n")); k == tokenize.Array || k == tokenize.Object {
		for w := tokenize.WalkTrusted(raw); in.refuses == nil && w.Next(); {
			in.nested(w.Value, offset+w.Offset, outer, at)
		}
	}
}

// inner looks at a text within the JSON of a string.
func (in *request) inner(raw []byte, offset int, outer *literal, at int) {
	k := in.k
	k.inner.read(raw)
	k.find(in.s, in.s.input, nil, k.inner.text, 0, false)
	if in.refuses = k.count(in.s, "input"); in.refuses != nil {
		return
	}
	k.join()
	in.keep(k.inner.text)
	for i := range k.hits {
		from := k.inner.marks.source(k.hits[i].span)
		from = outer.marks.source(span{offset + from.start, offset + from.end})
		text := appendEscaped(nil, appendEscaped(nil, in.replacement(&k.hits[i], k.inner.text)))
		k.edits = append(k.edits, edit{span{at + from.start, at + from.end}, text})
	}
}

// keep keeps a text with its hits replaced, for the service that is asked.
func (in *request) keep(text []byte) {
	if !in.asks || len(text) == 0 {
		return
	}
	var out []byte
	at := 0
	for i := range in.k.hits {
		h := &in.k.hits[i]
		out = append(append(out, text[at:h.start]...), in.replacement(h, text)...)
		at = h.end
	}
	in.texts = append(in.texts, string(append(out, text[at:]...)))
}

// replacement is what the engine gets in the place of a hit.
func (in *request) replacement(h *hit, text []byte) []byte {
	if h.rule.Action == "restore" {
		return []byte(in.s.hide(h.label, string(text[h.start:h.end]), in.body))
	}
	return []byte(h.rule.masked(h.label))
}

// hide returns the placeholder of a value: the same one wherever the value stands, by the order of first appearance, so that the prompts
// of a conversation's turns begin alike. It is none that the body holds.
func (s *Session) hide(label, value string, body []byte) string {
	for _, h := range s.hidden {
		if h.value == value {
			return h.placeholder
		}
	}
	if label == "" {
		label = "TEXT"
	}
	for n := len(s.hidden) + 1; ; n++ {
		placeholder := "[" + label + "_" + strconv.Itoa(n) + "]"
		if !bytes.Contains(body, []byte(placeholder)) {
			s.hidden = append(s.hidden, hidden{placeholder, value})
			return placeholder
		}
	}
}

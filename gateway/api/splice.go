package api

import (
	"strconv"

	"github.com/warmlane/warmlane/tokenize"
)

// edit replaces a span of the body.
type edit struct {
	span
	text []byte
}

// Splice returns the pieces of the body as the engine gets it: with its model named model ("" keeps it), and asking
// for the usage chunk if addUsage is set and the request is a streamed chat or completions one. The pieces alias
// body; there is one when nothing changes. All other bytes stay.
func (v *View) Splice(body []byte, model string, addUsage bool) [][]byte {
	var edits []edit
	if addUsage && v.Stream && (v.Family == Chat || v.Family == Completions) {
		if e, needed := v.usageEdit(body); needed {
			edits = append(edits, e)
		}
	}
	edits = v.appendBound(edits)
	for _, at := range v.models {
		if model == "" || v.names(at.of(body), model) {
			continue
		}
		text := []byte(model)
		if !v.form {
			text = appendString(nil, model)
		}
		edits = append(edits, edit{at, text})
	}
	if len(edits) == 0 {
		return [][]byte{body}
	}
	return apply(body, edits)
}

// Bound makes Splice ask for at most n output tokens where the client set no limit. Forms have none.
func (v *View) Bound(n int) {
	if v.MaxTokens == 0 && !v.form {
		v.bound = n
	}
}

// appendBound appends what bounds the answer. A limit that is there without bounding anything, such as null, is replaced.
func (v *View) appendBound(edits []edit) []edit {
	if v.bound == 0 {
		return edits
	}
	n := strconv.Itoa(v.bound)
	for _, at := range v.bounds {
		edits = append(edits, edit{at, []byte(n)})
	}
	if len(v.bounds) > 0 {
		return edits
	}
	name := `"max_tokens":`
	if v.Family == Responses {
		name = `"max_output_tokens":`
	}
	return append(edits, edit{span{v.open, v.open}, []byte(name + n + ",")})
}

// names says whether the raw value of a model member or field is model already.
func (v *View) names(raw []byte, model string) bool {
	if v.form {
		return string(raw) == model
	}
	return tokenize.TextIs(raw, model)
}

// usageEdit makes the body ask for the usage chunk.
func (v *View) usageEdit(body []byte) (e edit, needed bool) {
	if !v.HasStreamOptions {
		return edit{span{v.open, v.open}, []byte(`"stream_options":{"include_usage":true},`)}, true
	}
	options := v.options.of(body)
	if absent(options) {
		return edit{v.options, []byte(`{"include_usage":true}`)}, true
	}
	w := tokenize.WalkTrusted(options)
	var value span
	members := 0
	for ; w.Next(); members++ {
		if string(w.Key) == "include_usage" {
			value = span{v.options.start + w.Offset, v.options.start + w.Offset + len(w.Value)}
		}
	}
	switch {
	case value.end > 0 && isTrue(value.of(body)):
		return edit{}, false
	case value.end > 0:
		return edit{value, []byte("true")}, true
	case members > 0:
		return edit{span{v.options.start + 1, v.options.start + 1}, []byte(`"include_usage":true,`)}, true
	}
	return edit{v.options, []byte(`{"include_usage":true}`)}, true
}

// apply cuts the body at the edits, which do not overlap.
func apply(body []byte, edits []edit) [][]byte {
	for i := range edits { // a handful at most: put them in the order of the body
		for j := i; j > 0 && edits[j].start < edits[j-1].start; j-- {
			edits[j], edits[j-1] = edits[j-1], edits[j]
		}
	}
	pieces := make([][]byte, 0, 2*len(edits)+1)
	at := 0
	for _, e := range edits {
		pieces = append(pieces, body[at:e.start:e.start], e.text)
		at = e.end
	}
	return append(pieces, body[at:])
}

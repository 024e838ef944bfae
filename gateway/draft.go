package gateway

import (
	"bytes"

	"github.com/warmlane/warmlane/gateway/api"
)

// draft keeps what an answer says until it is known whether it is the one that is sent.
type draft struct{ words []word }

// word is a text, or a fragment of a tool call.
type word struct {
	text, name, args []byte
	tool             bool
}

// Text takes a piece of text.
func (d *draft) Text(decoded []byte) { d.words = append(d.words, word{text: bytes.Clone(decoded)}) }

// Tool takes a fragment of a tool call.
func (d *draft) Tool(name, args []byte) {
	d.words = append(d.words, word{name: bytes.Clone(name), args: bytes.Clone(args), tool: true})
}

// replay tells all of it to sink.
func (d *draft) replay(sink api.Sink) {
	for _, w := range d.words {
		if w.tool {
			sink.Tool(w.name, w.args)
		} else {
			sink.Text(w.text)
		}
	}
}

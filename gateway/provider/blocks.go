package provider

import "errors"

// maxCalls bounds the tool calls of an answer.
const maxCalls = 1024

// blocks writes the stream of a protocol whose answers are made of numbered blocks, some of which are tool calls.
type blocks struct {
	chunks
	calls int              // tool calls so far
	open  map[int]*calling // by block
}

// calling is a block that is a tool call.
type calling struct {
	call   int
	argued bool // some of its arguments were sent
}

func (b *blocks) openCall(block int, id, name string) {
	if b.calls == maxCalls {
		b.malformed(errors.New("too many tool calls"))
		return
	}
	if b.open == nil {
		b.open = map[int]*calling{}
	}
	b.open[block] = &calling{call: b.calls}
	b.call(0, b.calls, id, name, "", "")
	b.calls++
}

func (b *blocks) arguments(block int, piece string) {
	if c := b.open[block]; c != nil && piece != "" {
		c.argued = true
		b.call(0, c.call, "", "", piece, "")
	}
}

// closeCall ends a block. Arguments are JSON in OpenAI's protocol, so a call without any gets {}.
func (b *blocks) closeCall(block int) {
	if c := b.open[block]; c != nil && !c.argued {
		b.arguments(block, "{}")
	}
	delete(b.open, block)
}

package provider

import (
	"bytes"
	"encoding/json"

	"github.com/warmlane/warmlane/gateway/failure"
)

// chunk is one event of a stream in OpenAI's form: openai 3.57.0, types/chat/chat_completion_chunk.py.
type chunk struct {
	ID      string        `json:"id"`
	Object  string        `json:"object"`
	Created int64         `json:"created"`
	Model   string        `json:"model"`
	Choices []chunkChoice `json:"choices"`
	Usage   *usage        `json:"usage,omitempty"`
}

type chunkChoice struct {
	Index        int     `json:"index"`
	Delta        delta   `json:"delta"`
	FinishReason *string `json:"finish_reason"`
}

type delta struct {
	Role             string       `json:"role,omitempty"`
	Content          *string      `json:"content,omitempty"`
	ReasoningContent *string      `json:"reasoning_content,omitempty"`
	ToolCalls        []answerCall `json:"tool_calls,omitempty"`
}

// chunks writes a stream in OpenAI's form.
type chunks struct {
	naming
	out     bytes.Buffer
	started []bool // choices whose role was told
	over    bool   // the last event was written: [DONE] or an error
}

// maxBuffer is up to which size the buffer for output is kept from one read to the next.
const maxBuffer = 64 << 10

// reset forgets what was handed out.
func (c *chunks) reset() {
	if c.out.Cap() > maxBuffer {
		c.out = bytes.Buffer{}
	}
	c.out.Reset()
}

func (c *chunks) event(v any) {
	c.out.WriteString("data: ")
	e := json.NewEncoder(&c.out)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return
	}
	c.out.WriteByte('\n')
}

func (c *chunks) send(u *usage, choices ...chunkChoice) {
	if choices == nil {
		choices = []chunkChoice{}
	}
	c.event(&chunk{ID: c.id, Object: "chat.completion.chunk", Created: c.created, Model: c.model, Choices: choices, Usage: u})
}

// maxChoices bounds the number of a choice, which comes from the provider.
const maxChoices = 128

// delta sends a piece of a choice; the first one tells the role.
func (c *chunks) delta(choice int, d delta) {
	if choice < 0 || choice >= maxChoices {
		return
	}
	for len(c.started) <= choice {
		c.started = append(c.started, false)
	}
	if !c.started[choice] {
		c.started[choice] = true
		d.Role = "assistant"
	}
	c.send(nil, chunkChoice{Index: choice, Delta: d})
}

func (c *chunks) text(choice int, text string) {
	if text != "" {
		c.delta(choice, delta{Content: &text})
	}
}

func (c *chunks) reasoning(choice int, text string) {
	if text != "" {
		c.delta(choice, delta{ReasoningContent: &text})
	}
}

// call sends a piece of a tool call: with id and name its beginning, without them more of its arguments.
func (c *chunks) call(choice, index int, id, name, arguments, signature string) {
	piece := answerCall{Index: &index, ID: id, Function: callFunction{name, arguments}, ExtraContent: signed(signature)}
	if id != "" {
		piece.Type = "function"
	}
	c.delta(choice, delta{ToolCalls: []answerCall{piece}})
}

func (c *chunks) finish(choice int, reason string) {
	if choice >= 0 && choice < maxChoices {
		c.send(nil, chunkChoice{Index: choice, FinishReason: &reason})
	}
}

// done ends the stream: the usage chunk, then [DONE].
func (c *chunks) done(u *usage) {
	if u != nil {
		c.send(u)
	}
	c.out.WriteString("data: [DONE]\n\n")
	c.over = true
}

// refuse ends the stream with a provider's error.
func (c *chunks) refuse(r *refusal) {
	f, key := r.judge()
	if key == KeyRefused {
		f.Status = 401 // tells the gateway, for which the stream is meant first, whose fault it is
	}
	c.fail(f)
}

// fail ends the stream with an error.
func (c *chunks) fail(f *failure.Error) {
	code := f.Code
	if code == "" {
		code = f.Kind.Entry().Code
	}
	var e struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Code    string `json:"code"`
			Status  int    `json:"status_code"`
		} `json:"error"`
	}
	e.Error.Message, e.Error.Type, e.Error.Code, e.Error.Status = f.Message, f.Kind.Entry().Type, code, f.HTTPStatus()
	c.event(&e)
	c.over = true
}

// malformed ends the stream of a provider that does not keep to its protocol.
func (c *chunks) malformed(err error) {
	c.fail(failure.New(failure.BadAnswer, "The provider's answer is malformed. Please try again.").Because(err))
}

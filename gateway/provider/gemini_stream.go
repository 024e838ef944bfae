package provider

import (
	"encoding/json"
	"errors"
)

// geminiDecoder translates the events of streamGenerateContent. There is no last event: the stream is complete when every
// candidate has its finishReason, and over when the usage has come with or after it.
type geminiDecoder struct {
	chunks
	events   events
	n        int // choices asked for
	finished int
	calls    [maxChoices]int
	ended    [maxChoices]bool
}

// Decoder is part of Reply.
func (g *geminiReply) Decoder() Decoder {
	return &geminiDecoder{chunks: chunks{naming: g.naming}, n: g.n}
}

// Feed is part of Decoder.
func (d *geminiDecoder) Feed(in []byte) []byte {
	d.reset()
	if !d.over && !d.events.feed(in, d.take) && !d.over {
		d.malformed(errors.New("an event is too long"))
	}
	return d.out.Bytes()
}

func (d *geminiDecoder) take(data []byte) {
	if d.over {
		return
	}
	if firstByte(data) == '[' { // an error may come in a list
		d.refuse(readGeminiError(data).refusal(0))
		return
	}
	var m geminiAnswer
	if err := json.Unmarshal(data, &m); err != nil {
		d.malformed(err)
		return
	}
	if m.Error != nil {
		d.refuse(m.Error.refusal(m.Error.Code))
		return
	}
	if m.ResponseID != "" && d.started == nil {
		d.id = m.ResponseID
	}
	for i := range m.Candidates {
		if d.candidate(&m.Candidates[i]); d.over {
			return
		}
	}
	if len(m.Candidates) == 0 && m.PromptFeedback.BlockReason != "" && d.finished == 0 {
		d.delta(0, delta{Content: new(string)})
		d.finish(0, "content_filter")
		d.finished = d.n
	}
	if d.finished >= d.n && m.UsageMetadata != nil {
		d.done(m.UsageMetadata.usage())
	}
}

func (d *geminiDecoder) candidate(c *geminiCandidate) {
	if c.Index < 0 || c.Index >= maxChoices || d.ended[c.Index] {
		return
	}
	for _, p := range c.Content.Parts {
		switch {
		case p.FunctionCall != nil:
			d.function(c.Index, &p)
		case p.Thought:
			d.reasoning(c.Index, p.Text)
		default:
			d.text(c.Index, p.Text)
		}
	}
	if c.FinishReason == "" || d.over {
		return
	}
	reason, fail := c.finish(d.calls[c.Index])
	if fail != nil {
		d.fail(fail)
		return
	}
	d.ended[c.Index] = true
	d.finished++
	d.finish(c.Index, reason)
}

// function sends a function call, which comes in one piece.
func (d *geminiDecoder) function(choice int, p *geminiPart) {
	call := d.calls[choice]
	if call == maxCalls {
		d.malformed(errors.New("too many tool calls"))
		return
	}
	d.calls[choice]++
	args := string(p.FunctionCall.Args)
	if args == "" {
		args = "{}"
	}
	d.call(choice, call, d.callID(p.FunctionCall, choice, call), p.FunctionCall.Name, args, p.ThoughtSignature)
}

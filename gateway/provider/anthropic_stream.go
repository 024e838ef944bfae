package provider

import (
	"encoding/json"
	"errors"
)

// anthropicDecoder translates the events of types/raw_message_stream_event.py.
type anthropicDecoder struct {
	blocks
	events events
	usage  anthropicUsage
	reason string
}

// Decoder is part of Reply.
func (a *anthropicReply) Decoder() Decoder {
	return &anthropicDecoder{blocks: blocks{chunks: chunks{naming: a.naming}}}
}

// Feed is part of Decoder.
func (d *anthropicDecoder) Feed(in []byte) []byte {
	d.reset()
	if !d.over && !d.events.feed(in, d.event) && !d.over {
		d.malformed(errors.New("an event is too long"))
	}
	return d.out.Bytes()
}

func (d *anthropicDecoder) event(data []byte) {
	if d.over {
		return
	}
	var e struct {
		Type    string `json:"type"`
		Index   int    `json:"index"`
		Message struct {
			ID    string         `json:"id"`
			Usage anthropicUsage `json:"usage"`
		} `json:"message"`
		Block anthropicBlock `json:"content_block"`
		Delta struct {
			Type        string `json:"type"`
			Text        string `json:"text"`
			Thinking    string `json:"thinking"`
			PartialJSON string `json:"partial_json"`
			StopReason  string `json:"stop_reason"`
		} `json:"delta"`
		Usage anthropicUsage `json:"usage"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		d.malformed(err)
		return
	}
	switch e.Type {
	case "message_start":
		if e.Message.ID != "" {
			d.id = e.Message.ID
		}
		d.usage.update(&e.Message.Usage)
		d.delta(0, delta{Content: new(string)})
	case "content_block_start":
		d.start(e.Index, &e.Block)
	case "content_block_delta":
		d.text(0, e.Delta.Text)
		d.reasoning(0, e.Delta.Thinking)
		d.arguments(e.Index, e.Delta.PartialJSON)
	case "content_block_stop":
		d.closeCall(e.Index)
	case "message_delta":
		d.usage.update(&e.Usage)
		if e.Delta.StopReason != "" {
			d.reason = e.Delta.StopReason
		}
	case "message_stop":
		d.finish(0, finishOf(anthropicFinish, d.reason))
		d.done(d.usage.usage())
	case "error":
		d.refuse(anthropicRefusal(0, data))
	}
}

// start begins a content block. Blocks of other types than text, thinking and tool_use are the provider's own affairs.
func (d *anthropicDecoder) start(index int, b *anthropicBlock) {
	switch b.Type {
	case "text":
		d.text(0, b.Text)
	case "thinking":
		d.reasoning(0, b.Thinking)
	case "tool_use":
		d.openCall(index, b.ID, b.Name)
	}
}

package provider

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// bedrockDecoder translates the frames of ConverseStream (application/vnd.amazon.eventstream).
type bedrockDecoder struct {
	blocks
	frames  *eventstream.Decoder
	held    []byte // the frame that has not come whole
	stopped bool   // messageStop has come: only the usage is missing
}

// Decoder is part of Reply.
func (b *bedrockReply) Decoder() Decoder {
	return &bedrockDecoder{blocks: blocks{chunks: chunks{naming: b.naming}}, frames: eventstream.NewDecoder()}
}

// shortestFrame is a frame without headers and payload: two lengths and two checksums.
const shortestFrame = 16

// Feed is part of Decoder.
func (d *bedrockDecoder) Feed(in []byte) []byte {
	d.reset()
	if d.over {
		return nil
	}
	d.held = append(d.held, in...)
	rest := d.held
	for len(rest) >= shortestFrame && !d.over {
		n := binary.BigEndian.Uint32(rest)
		if n < shortestFrame || n > maxEvent {
			d.malformed(errors.New("a frame of impossible length"))
			break
		}
		if uint32(len(rest)) < n {
			break
		}
		m, err := d.frames.Decode(bytes.NewReader(rest[:n]), nil)
		if err != nil {
			d.malformed(err)
			break
		}
		d.frame(&m)
		rest = rest[n:]
	}
	switch len(rest) {
	case 0:
		d.held = shrink(d.held)
	case len(d.held):
	default:
		d.held = append(d.held[:0], rest...)
	}
	return d.out.Bytes()
}

// header is a header's text, "" if it has none.
func header(m *eventstream.Message, name string) string {
	if v := m.Headers.Get(name); v != nil {
		return v.String()
	}
	return ""
}

func (d *bedrockDecoder) frame(m *eventstream.Message) {
	switch header(m, eventstreamapi.MessageTypeHeader) {
	case eventstreamapi.EventMessageType:
		d.event(header(m, eventstreamapi.EventTypeHeader), m.Payload)
	case eventstreamapi.ExceptionMessageType:
		var e struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(m.Payload, &e)
		d.refuse(bedrockRefusal(header(m, eventstreamapi.ExceptionTypeHeader), e.Message, 500))
	case eventstreamapi.ErrorMessageType:
		d.refuse(bedrockRefusal(header(m, eventstreamapi.ErrorCodeHeader), header(m, eventstreamapi.ErrorMessageHeader), 500))
	}
}

func (d *bedrockDecoder) event(kind string, payload []byte) {
	var e struct {
		Index int `json:"contentBlockIndex"`
		Start struct {
			ToolUse *bedrockToolUse `json:"toolUse"`
		} `json:"start"`
		Delta struct {
			Text    string `json:"text"`
			ToolUse struct {
				Input string `json:"input"`
			} `json:"toolUse"`
			Reasoning struct {
				Text string `json:"text"`
			} `json:"reasoningContent"`
		} `json:"delta"`
		StopReason string        `json:"stopReason"`
		Usage      *bedrockUsage `json:"usage"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		d.malformed(err)
		return
	}
	switch kind {
	case "messageStart":
		d.delta(0, delta{Content: new(string)})
	case "contentBlockStart":
		if t := e.Start.ToolUse; t != nil {
			d.openCall(e.Index, t.ID, t.Name)
		}
	case "contentBlockDelta":
		d.text(0, e.Delta.Text)
		d.reasoning(0, e.Delta.Reasoning.Text)
		d.arguments(e.Index, e.Delta.ToolUse.Input)
	case "contentBlockStop":
		d.closeCall(e.Index)
	case "messageStop":
		d.stop(e.StopReason)
	case "metadata":
		if d.stopped {
			d.done(e.Usage.usage())
		}
	}
}

func (d *bedrockDecoder) stop(reason string) {
	if d.stopped {
		return
	}
	finish, fail := bedrockReason(reason)
	if fail != nil {
		d.fail(fail)
		return
	}
	d.stopped = true
	d.finish(0, finish)
}

package api

import (
	"strconv"

	"github.com/warmlane/warmlane/tokenize"
)

// TextEvent is an event that adds text to a lane, in the manner of like, the data of an earlier event of that lane. seq is the event's
// sequence number where like has one.
func TextEvent(f Family, l Lane, text, like []byte, seq int) []byte {
	literal := appendString(nil, string(text))
	if f == Messages {
		kind, member := "text_delta", "text"
		switch l.Kind {
		case LaneReasoning:
			kind, member = "thinking_delta", "thinking"
		case LaneArguments:
			kind, member = "input_json_delta", "partial_json"
		}
		out := append([]byte("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"), strconv.Itoa(l.Part)...)
		out = append(append(append(out, `,"delta":{"type":"`...), kind...), `","`...)
		out = append(append(append(out, member...), `":`...), literal...)
		return append(out, "}}\n\n"...)
	}
	if tokenize.KindOf(tokenize.Find(like, "choices")) == tokenize.Array {
		return choiceEvent(f, l, literal, like)
	}
	out := []byte("data: ")
	if kind := tokenize.StringOf(tokenize.Find(like, "type")); kind != "" && (f == Responses || f == ResponseByID) {
		out = append(append([]byte("event: "), kind...), "\ndata: "...)
	}
	out = append(out, '{')
	for w := tokenize.WalkTrusted(like); w.Next(); {
		value := w.Value
		switch string(w.Key) {
		case "delta":
			value = literal
		case "logprobs":
			value = []byte("[]")
		case "sequence_number":
			value = []byte(strconv.Itoa(seq))
		}
		out = member(out, w.Key, value)
	}
	return append(out, "}\n\n"...)
}

func member(out, key, value []byte) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	return append(append(appendString(out, string(key)), ':'), value...)
}

// choiceEvent is TextEvent for chat and completions.
func choiceEvent(f Family, l Lane, literal, like []byte) []byte {
	var body []byte
	switch {
	case f == Completions:
		body = append([]byte(`"text":`), literal...)
	case l.Kind == LaneReasoning:
		body = append([]byte(`"delta":{"reasoning_content":`), literal...)
	case l.Kind == LaneReason:
		body = append([]byte(`"delta":{"reasoning":`), literal...)
	case l.Kind == LaneRefusal:
		body = append([]byte(`"delta":{"refusal":`), literal...)
	case l.Kind == LaneCall:
		body = append(append([]byte(`"delta":{"function_call":{"arguments":`), literal...), '}')
	case l.Kind == LaneArguments:
		body = append([]byte(`"delta":{"tool_calls":[{"index":`), strconv.Itoa(l.Index)...)
		body = append(append(append(body, `,"function":{"arguments":`...), literal...), `}}]`...)
	default:
		body = append([]byte(`"delta":{"content":`), literal...)
	}
	if f != Completions {
		body = append(body, '}')
	}
	return append(choiceHead(like, l.Part), append(body, ",\"finish_reason\":null}]}\n\n"...)...)
}

// choiceHead is the beginning of an event with one choice, up to its members.
func choiceHead(like []byte, choice int) []byte {
	out := []byte("data: {")
	for w := tokenize.WalkTrusted(like); w.Next(); {
		switch string(w.Key) {
		case "id", "object", "created", "model", "system_fingerprint":
			out = member(out, w.Key, w.Value)
		}
	}
	out = append(member(out, []byte("choices"), []byte(`[{"index":`)), strconv.Itoa(choice)...)
	return append(out, ',')
}

// Standing is how far a stream has come that a content rule ends.
type Standing struct {
	Family Family
	// Like is the data of the last event that had text, nil if there was none.
	Like []byte
	// Open are the choices that have not ended, or the content blocks or output items that are open.
	Open []int
	// OpenText says whether the open block is one of text; Next is the index of the next block.
	OpenText bool
	Next     int
	// Seq is the next sequence number of responses.
	Seq int
}

// RefusalEnd is the end of a stream in which a content rule speaks in the engine's place: r's text, and the family's end by a content filter.
func RefusalEnd(at *Standing, r *Refusal) []byte {
	switch at.Family {
	case Messages:
		return at.endMessage(r)
	case Responses, ResponseByID:
		return at.endResponse(r)
	}
	var out []byte
	for _, choice := range at.Open {
		text := `"delta":{"content":%t}`
		if at.Family == Completions {
			text = `"text":%t`
		}
		out = append(out, choiceHead(at.Like, choice)...)
		out = append(out, r.fill(text+`,"finish_reason":"content_filter"}]}`+"\n\n")...)
	}
	return append(out, "data: [DONE]\n\n"...)
}

func (at *Standing) endMessage(r *Refusal) []byte {
	var out []byte
	index := at.Next
	if len(at.Open) > 0 {
		if index = at.Open[0]; !at.OpenText {
			out = append(out, blockStop(index)...)
			index = at.Next
		}
	}
	if len(at.Open) == 0 || !at.OpenText {
		out = append(out, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"...)
		out = append(out, strconv.Itoa(index)...)
		out = append(out, ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"...)
	}
	out = append(out, TextEvent(Messages, Lane{Part: index}, []byte(r.Text), nil, 0)...)
	return append(append(out, blockStop(index)...), messagesEnd...)
}

func blockStop(index int) string {
	return "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":" + strconv.Itoa(index) + "}\n\n"
}

func (at *Standing) endResponse(r *Refusal) []byte {
	var out []byte
	seq := at.Seq
	if kind := tokenize.StringOf(tokenize.Find(at.Like, "type")); kind == "response.output_text.delta" {
		out = TextEvent(at.Family, Lane{}, []byte(r.Text), at.Like, seq)
		seq++
	}
	out = append(out, "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"sequence_number\":"...)
	out = append(append(out, strconv.Itoa(seq)...), `,"response":`...)
	return append(append(out, r.fill(responseDone)...), "}\n\n"...)
}

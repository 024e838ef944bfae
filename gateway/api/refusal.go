package api

import "strconv"

// Refusal is what an answer says that a content rule makes.
type Refusal struct {
	ID, Model, Text string
	Created         int64 // seconds since 1970
}

// RefusalAnswer is a whole answer of family f that says text and nothing else, ended by a content filter; a stream of events if the
// client wants one. It is nil for families whose answers are no texts.
func RefusalAnswer(f Family, r *Refusal, stream bool) []byte {
	var form refusalForm
	switch f {
	case Chat:
		form = chatRefusal
	case Completions:
		form = completionsRefusal
	case Messages:
		form = messagesRefusal
	case Responses:
		form = responsesRefusal
	default:
		return nil
	}
	if stream {
		return r.fill(form.events)
	}
	return r.fill(form.whole)
}

// refusalForm is an answer in which %i, %m, %c and %t stand for the id, the model, the time and the text.
type refusalForm struct{ whole, events string }

var chatRefusal = refusalForm{
	whole: `{"id":%i,"object":"chat.completion","created":%c,"model":%m,"choices":[{"index":0,"message":{"role":"assistant","content":%t},` +
		`"finish_reason":"content_filter"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`,
	events: `data: {"id":%i,"object":"chat.completion.chunk","created":%c,"model":%m,"choices":[{"index":0,"delta":{"role":"assistant","content":%t},"finish_reason":null}]}` + "\n\n" +
		`data: {"id":%i,"object":"chat.completion.chunk","created":%c,"model":%m,"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}` + "\n\ndata: [DONE]\n\n",
}

var completionsRefusal = refusalForm{
	whole: `{"id":%i,"object":"text_completion","created":%c,"model":%m,"choices":[{"index":0,"text":%t,"finish_reason":"content_filter"}],` +
		`"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`,
	events: `data: {"id":%i,"object":"text_completion","created":%c,"model":%m,"choices":[{"index":0,"text":%t,"finish_reason":"content_filter"}]}` + "\n\ndata: [DONE]\n\n",
}

var messagesRefusal = refusalForm{
	whole: `{"id":%i,"type":"message","role":"assistant","model":%m,"content":[{"type":"text","text":%t}],"stop_reason":"refusal","stop_sequence":null,` +
		`"usage":{"input_tokens":0,"output_tokens":0}}`,
	events: `event: message_start` + "\n" + `data: {"type":"message_start","message":{"id":%i,"type":"message","role":"assistant","model":%m,"content":[],` +
		`"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}` + "\n\n" +
		`event: content_block_start` + "\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n" +
		`event: content_block_delta` + "\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%t}}` + "\n\n" +
		`event: content_block_stop` + "\n" + `data: {"type":"content_block_stop","index":0}` + "\n\n" + messagesEnd,
}

const messagesEnd = `event: message_delta` + "\n" + `data: {"type":"message_delta","delta":{"stop_reason":"refusal","stop_sequence":null},"usage":{"output_tokens":0}}` + "\n\n" +
	`event: message_stop` + "\n" + `data: {"type":"message_stop"}` + "\n\n"

const (
	responseHead = `"id":%i,"object":"response","created_at":%c,"model":%m,"error":null,"parallel_tool_calls":true,"tool_choice":"auto","tools":[],`
	responseItem = `{"id":"msg_0","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":%t,"annotations":[]}]}`
	responseDone = `{` + responseHead + `"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[` + responseItem + `]}`
)

var responsesRefusal = refusalForm{
	whole: responseDone,
	events: `event: response.created` + "\n" + `data: {"type":"response.created","sequence_number":0,"response":{` + responseHead +
		`"status":"in_progress","incomplete_details":null,"output":[]}}` + "\n\n" +
		`event: response.output_item.added` + "\n" + `data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":` +
		`{"id":"msg_0","type":"message","role":"assistant","status":"in_progress","content":[]}}` + "\n\n" +
		`event: response.content_part.added` + "\n" + `data: {"type":"response.content_part.added","sequence_number":2,"item_id":"msg_0","output_index":0,"content_index":0,` +
		`"part":{"type":"output_text","text":"","annotations":[]}}` + "\n\n" +
		`event: response.output_text.delta` + "\n" + `data: {"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_0","output_index":0,"content_index":0,` +
		`"delta":%t,"logprobs":[]}` + "\n\n" +
		`event: response.incomplete` + "\n" + `data: {"type":"response.incomplete","sequence_number":4,"response":` + responseDone + `}` + "\n\n",
}

// fill puts the refusal into a form.
func (r *Refusal) fill(form string) []byte {
	out := make([]byte, 0, len(form)+4*(len(r.ID)+len(r.Model))+2*len(r.Text))
	for i := 0; i < len(form); i++ {
		if form[i] != '%' {
			out = append(out, form[i])
			continue
		}
		switch i++; form[i] {
		case 'i':
			out = appendString(out, r.ID)
		case 'm':
			out = appendString(out, r.Model)
		case 't':
			out = appendString(out, r.Text)
		case 'c':
			out = strconv.AppendInt(out, r.Created, 10)
		}
	}
	return out
}

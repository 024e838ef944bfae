package outside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Anthropic simulates the Messages API: anthropic 2.14.0, types/message_create_params.py and raw_message_stream_event.py.
type Anthropic struct{ Key string }

type anthropicRequest struct {
	Model      string          `json:"model"`
	MaxTokens  *int            `json:"max_tokens"`
	Messages   []anthropicTurn `json:"messages"`
	System     json.RawMessage `json:"system"`
	Tools      []anthropicTool `json:"tools"`
	ToolChoice *struct {
		Type                   string `json:"type"`
		Name                   string `json:"name"`
		DisableParallelToolUse bool   `json:"disable_parallel_tool_use"`
	} `json:"tool_choice"`
	StopSequences []string        `json:"stop_sequences"`
	Temperature   *float64        `json:"temperature"`
	TopP          *float64        `json:"top_p"`
	TopK          *int            `json:"top_k"`
	Thinking      json.RawMessage `json:"thinking"`
	OutputConfig  *struct {
		Effort string `json:"effort"`
		Format *struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"output_config"`
	Metadata *struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
	Stream bool `json:"stream"`
}

type anthropicTurn struct {
	Role    string           `json:"role"`
	Content anthropicContent `json:"content"`
}

// anthropicContent is a string or a list of blocks.
type anthropicContent []anthropicBlock

// UnmarshalJSON takes both forms.
func (c *anthropicContent) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*c = anthropicContent{{Type: "text", Text: text}}
		return nil
	}
	return json.Unmarshal(raw, (*[]anthropicBlock)(c))
}

type anthropicBlock struct {
	Type      string           `json:"type"`
	Text      string           `json:"text"`
	Source    json.RawMessage  `json:"source"`
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Input     json.RawMessage  `json:"input"`
	ToolUseID string           `json:"tool_use_id"`
	Content   anthropicContent `json:"content"`
}

type anthropicTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict"`
}

var anthropicTypes = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
	500: "api_error", 529: "overloaded_error",
}

func anthropicError(status int, message string) object {
	return object{"type": "error", "error": object{"type": anthropicTypes[status], "message": message}, "request_id": "req_1"}
}

// ServeHTTP answers POST /v1/messages.
func (a *Anthropic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, message string) {
		if status == 429 {
			w.Header().Set("Retry-After", "2")
		}
		reply(w, status, anthropicError(status, message))
	}
	key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		key = r.Header.Get("X-Api-Key")
	}
	version := r.Header.Get("Anthropic-Version")
	var q anthropicRequest
	switch err := strictly(r, &q); {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/messages":
		refuse(404, "Not found")
		return
	case key != a.Key:
		refuse(401, "invalid x-api-key "+key)
		return
	case version != "2026-10-21" && version != "2023-06-01":
		refuse(400, "anthropic-version: header is required")
		return
	case err != nil:
		refuse(400, err.Error())
		return
	}
	last, err := q.check()
	if err == nil && version == "2026-10-21" && (q.Temperature != nil || q.TopP != nil || q.TopK != nil) {
		err = errors.New("temperature, top_p and top_k were removed in 2026-10-21")
	}
	if err != nil {
		refuse(400, err.Error())
		return
	}
	tool := ""
	if len(q.Tools) > 0 {
		tool = q.Tools[0].Name
	}
	s := script("anthropic", last, tool)
	switch {
	case s.Status != 0:
		refuse(s.Status, "as asked for")
	case q.Stream:
		anthropicStream(w, q.Model, s)
	default:
		reply(w, 200, anthropicAnswer(q.Model, s))
	}
}

// check finds what is wrong with a request, and its last text.
func (q *anthropicRequest) check() (last string, err error) {
	if q.Model == "" || q.MaxTokens == nil || *q.MaxTokens < 1 {
		return "", errors.New("max_tokens: Field required")
	}
	var roles []string
	var pairs paired
	for _, m := range q.Messages {
		roles = append(roles, m.Role)
		var calls, results []string
		for _, b := range m.Content {
			switch b.Type {
			case "text":
				if b.Text == "" {
					return "", errors.New("messages: text content blocks must be non-empty")
				}
				last = b.Text
			case "image":
				if len(b.Source) == 0 {
					return "", errors.New("image.source: Field required")
				}
			case "tool_use":
				if len(b.Input) == 0 || b.Input[0] != '{' {
					return "", errors.New("tool_use.input: Input should be an object")
				}
				calls = append(calls, b.ID)
			case "tool_result":
				results = append(results, b.ToolUseID)
			default:
				return "", fmt.Errorf("unexpected block %q", b.Type)
			}
		}
		if err := pairs.results(results...); err != nil {
			return "", err
		}
		pairs.calls(calls...)
	}
	return last, alternate(roles, "user")
}

func anthropicUsage(output int) object {
	return object{
		"input_tokens": FreshTokens, "cache_read_input_tokens": CachedTokens, "cache_creation_input_tokens": 0, "output_tokens": output,
	}
}

func anthropicAnswer(model string, s *Script) object {
	var content []any
	if s.Thought != "" {
		content = append(content, object{"type": "thinking", "thinking": s.Thought, "signature": "c2ln"})
	}
	text := ""
	for _, word := range s.Words {
		text += word
	}
	if text != "" {
		content = append(content, object{"type": "text", "text": text})
	}
	stop := "end_turn"
	for i, c := range s.Calls {
		stop = "tool_use"
		content = append(content, object{"type": "tool_use", "id": fmt.Sprintf("toolu_%d", i), "name": c.Name, "input": json.RawMessage(c.Args)})
	}
	return object{
		"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": stop, "stop_sequence": nil,
		"usage": anthropicUsage(OutputTokens),
	}
}

func anthropicStream(w http.ResponseWriter, model string, s *Script) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	out := sse{w}
	send := func(kind string, v object) {
		v["type"] = kind
		out.send(kind, v)
	}
	send("message_start", object{"message": object{
		"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []any{}, "stop_reason": nil, "stop_sequence": nil,
		"usage": anthropicUsage(1),
	}})
	send("ping", object{})
	index := 0
	block := func(start object, deltas ...object) {
		send("content_block_start", object{"index": index, "content_block": start})
		for _, d := range deltas {
			send("content_block_delta", object{"index": index, "delta": d})
		}
		send("content_block_stop", object{"index": index})
		index++
	}
	if s.Thought != "" {
		block(object{"type": "thinking", "thinking": "", "signature": ""},
			object{"type": "thinking_delta", "thinking": s.Thought}, object{"type": "signature_delta", "signature": "c2ln"})
	}
	var words []object
	for _, word := range s.Words {
		words = append(words, object{"type": "text_delta", "text": word})
	}
	if s.Break || s.Cut {
		words = words[:2]
	}
	if len(words) > 0 {
		block(object{"type": "text", "text": ""}, words...)
	}
	switch {
	case s.Break:
		out.send("error", anthropicError(529, "Overloaded"))
		return
	case s.Cut:
		panic(http.ErrAbortHandler)
	}
	stop := "end_turn"
	for i, c := range s.Calls {
		stop = "tool_use"
		half := halves(c.Args)
		block(object{"type": "tool_use", "id": fmt.Sprintf("toolu_%d", i), "name": c.Name, "input": object{}},
			object{"type": "input_json_delta", "partial_json": half[0]}, object{"type": "input_json_delta", "partial_json": half[1]})
	}
	send("message_delta", object{"delta": object{"stop_reason": stop, "stop_sequence": nil}, "usage": object{"output_tokens": OutputTokens}})
	send("message_stop", object{})
}

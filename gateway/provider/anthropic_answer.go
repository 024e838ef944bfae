package provider

import (
	"encoding/json"

	"github.com/warmlane/warmlane/gateway/failure"
)

// anthropicReply translates the answers of Anthropic.
type anthropicReply struct{ naming }

// anthropicBlock is a content block of an answer.
type anthropicBlock struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Input    json.RawMessage `json:"input"`
}

type anthropicUsage struct {
	Input   *int64 `json:"input_tokens"`
	Read    *int64 `json:"cache_read_input_tokens"`
	Written *int64 `json:"cache_creation_input_tokens"`
	Output  *int64 `json:"output_tokens"`
	Details struct {
		Thinking int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// update takes what a later event tells; its numbers are cumulative.
func (u *anthropicUsage) update(later *anthropicUsage) {
	for _, p := range [][2]**int64{{&u.Input, &later.Input}, {&u.Read, &later.Read}, {&u.Written, &later.Written}, {&u.Output, &later.Output}} {
		if *p[1] != nil {
			*p[0] = *p[1]
		}
	}
	u.Details.Thinking = max(u.Details.Thinking, later.Details.Thinking)
}

// usage is nil where nothing was told. Anthropic counts cached tokens beside input_tokens, not in them.
func (u *anthropicUsage) usage() *usage {
	if u.Input == nil || u.Output == nil {
		return nil
	}
	read, written := value(u.Read), value(u.Written)
	return newUsage(*u.Input+read+written, read, written, *u.Output, u.Details.Thinking)
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// anthropicFinish are the stop reasons (types/stop_reason.py); others are "stop".
var anthropicFinish = map[string]string{
	"max_tokens": "length", "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}

func finishOf(table map[string]string, reason string) string {
	if f := table[reason]; f != "" {
		return f
	}
	return "stop"
}

// Answer is part of Reply.
func (a *anthropicReply) Answer(body []byte) ([]byte, *failure.Error) {
	var m struct {
		Type       string           `json:"type"`
		ID         string           `json:"id"`
		Content    []anthropicBlock `json:"content"`
		StopReason string           `json:"stop_reason"`
		Usage      anthropicUsage   `json:"usage"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, malformedAnswer(err)
	}
	switch m.Type {
	case "message":
	case "error":
		fail, _ := anthropicRefusal(0, body).judge()
		return nil, fail
	default:
		return nil, malformedAnswer(nil)
	}
	n := a.naming
	if m.ID != "" {
		n.id = m.ID
	}
	var said message
	for i := range m.Content {
		b := &m.Content[i]
		switch b.Type {
		case "text":
			said.text.WriteString(b.Text)
		case "thinking":
			said.reasoning.WriteString(b.Thinking)
		case "tool_use":
			said.call(b.ID, b.Name, string(b.Input), "")
		}
	}
	return n.render(m.Usage.usage(), said.choice(0, finishOf(anthropicFinish, m.StopReason))), nil
}

// Failure is part of Reply.
func (*anthropicReply) Failure(status int, header func(string) []byte, body []byte) (*failure.Error, KeyFate) {
	r := anthropicRefusal(status, body)
	r.retryAfter = readRetryAfter(header("Retry-After"))
	return r.judge()
}

// anthropicStatus are the error types with their statuses: types/shared/error_type.py, and _exceptions.py for the numbers.
var anthropicStatus = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403, "not_found_error": 404,
	"conflict_error": 409, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}

// anthropicRefusal reads an error; with status 0, in answers of status 200, its type tells the status.
func anthropicRefusal(status int, body []byte) *refusal {
	var e struct {
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &e) // what is no JSON has no words
	r := &refusal{status: status, kind: e.Error.Type, message: e.Error.Message}
	if r.status == 0 {
		r.status = anthropicStatus[r.kind]
	}
	if r.status == 0 {
		r.status = 500
	}
	r.badKey = r.kind == "authentication_error" || r.kind == "billing_error" || r.kind == "permission_error"
	return r
}

package provider

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/warmlane/warmlane/gateway/failure"
)

// geminiReply translates the answers of generateContent.
type geminiReply struct {
	naming
	n int // choices asked for
}

// geminiAnswer is a GenerateContentResponse: an answer, or an event of a stream.
type geminiAnswer struct {
	Candidates     []geminiCandidate `json:"candidates"`
	PromptFeedback struct {
		BlockReason string `json:"blockReason"`
	} `json:"promptFeedback"`
	UsageMetadata *geminiUsage `json:"usageMetadata"`
	ResponseID    string       `json:"responseId"`
	Error         *geminiError `json:"error"`
}

type geminiCandidate struct {
	Index        int           `json:"index"`
	Content      geminiContent `json:"content"`
	FinishReason string        `json:"finishReason"`
}

type geminiUsage struct {
	Prompt     int64 `json:"promptTokenCount"`
	ToolPrompt int64 `json:"toolUsePromptTokenCount"`
	Cached     int64 `json:"cachedContentTokenCount"`
	Candidates int64 `json:"candidatesTokenCount"`
	Thoughts   int64 `json:"thoughtsTokenCount"`
}

func (u *geminiUsage) usage() *usage {
	if u == nil {
		return nil
	}
	return newUsage(u.Prompt+u.ToolPrompt, u.Cached, 0, u.Candidates+u.Thoughts, u.Thoughts)
}

// geminiFinish are the reasons of types.py, FinishReason; "" stands for an answer that is a failure, others are "stop".
var geminiFinish = map[string]string{
	"MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter", "LANGUAGE": "content_filter",
	"BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter", "MODEL_ARMOR": "content_filter",
	"IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter", "IMAGE_RECITATION": "content_filter",
	"MALFORMED_FUNCTION_CALL": "", "UNEXPECTED_TOOL_CALL": "", "TOO_MANY_TOOL_CALLS": "", "MISSING_THOUGHT_SIGNATURE": "",
	"MALFORMED_RESPONSE": "",
}

// finish is a candidate's finish_reason, or the failure that it is.
func (c *geminiCandidate) finish(calls int) (string, *failure.Error) {
	reason, known := geminiFinish[c.FinishReason]
	switch {
	case known && reason == "":
		return "", failure.Newf(failure.EngineError, "The model gave up its answer (%s). Please try again.", c.FinishReason)
	case known:
		return reason, nil
	case calls > 0:
		return "tool_calls", nil
	}
	return "stop", nil
}

// Answer is part of Reply.
func (g *geminiReply) Answer(body []byte) ([]byte, *failure.Error) {
	var m geminiAnswer
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, malformedAnswer(err)
	}
	if m.Error != nil {
		fail, _ := m.Error.refusal(m.Error.Code).judge()
		return nil, fail
	}
	n := g.naming
	if m.ResponseID != "" {
		n.id = m.ResponseID
	}
	var choices []answerChoice
	for i := range m.Candidates {
		c := &m.Candidates[i]
		var said message
		for _, p := range c.Content.Parts {
			switch {
			case p.FunctionCall != nil:
				f := p.FunctionCall
				said.call(n.callID(f, c.Index, len(said.calls)), f.Name, string(f.Args), p.ThoughtSignature)
			case p.Thought:
				said.reasoning.WriteString(p.Text)
			default:
				said.text.WriteString(p.Text)
			}
		}
		finish, fail := c.finish(len(said.calls))
		if fail != nil {
			return nil, fail
		}
		choices = append(choices, said.choice(c.Index, finish))
	}
	if len(choices) == 0 {
		if m.PromptFeedback.BlockReason == "" {
			return nil, malformedAnswer(nil)
		}
		choices = append(choices, new(message).choice(0, "content_filter"))
	}
	return n.render(m.UsageMetadata.usage(), choices...), nil
}

// callID is the id of a function call, made up where Gemini gives none.
func (n *naming) callID(f *geminiCall, choice, call int) string {
	if f.ID != "" {
		return f.ID
	}
	return "call_" + n.id + "_" + strconv.Itoa(choice) + "_" + strconv.Itoa(call)
}

// Failure is part of Reply.
func (*geminiReply) Failure(status int, header func(string) []byte, body []byte) (*failure.Error, KeyFate) {
	return geminiFailure(status, header, body)
}

func geminiFailure(status int, header func(string) []byte, body []byte) (*failure.Error, KeyFate) {
	r := readGeminiError(body).refusal(status)
	if r.retryAfter == 0 {
		r.retryAfter = readRetryAfter(header("Retry-After"))
	}
	return r.judge()
}

// geminiError is google.rpc.Status as the API writes it.
type geminiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
	Details []struct {
		Reason     string `json:"reason"`     // of ErrorInfo
		RetryDelay string `json:"retryDelay"` // of RetryInfo, such as 34.07s
	} `json:"details"`
}

// readGeminiError reads {"error":{...}}, which a stream's head may bring in a list.
func readGeminiError(body []byte) *geminiError {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
	var m geminiAnswer
	if json.Unmarshal(body, &m) != nil || m.Error == nil {
		return &geminiError{}
	}
	return m.Error
}

func (e *geminiError) refusal(status int) *refusal {
	r := &refusal{status: status, kind: e.Status, message: e.Message}
	if r.status < 300 {
		r.status = 500
	}
	r.badKey = e.Status == "UNAUTHENTICATED" || e.Status == "PERMISSION_DENIED"
	for _, d := range e.Details {
		if strings.HasPrefix(d.Reason, "API_KEY_") {
			r.badKey = true
		}
		if s, err := strconv.ParseFloat(strings.TrimSuffix(d.RetryDelay, "s"), 64); err == nil {
			r.retryAfter = seconds(s)
		}
	}
	return r
}

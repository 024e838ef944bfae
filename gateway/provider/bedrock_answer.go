package provider

import (
	"encoding/json"
	"strings"

	"github.com/warmlane/warmlane/gateway/failure"
)

// bedrockReply translates the answers of Converse.
type bedrockReply struct{ naming }

type bedrockUsage struct {
	Input   int64 `json:"inputTokens"`
	Output  int64 `json:"outputTokens"`
	Total   int64 `json:"totalTokens"`
	Read    int64 `json:"cacheReadInputTokens"`
	Written int64 `json:"cacheWriteInputTokens"`
}

// usage counts cached tokens into the prompt, unless the total says that they are in it already.
func (u *bedrockUsage) usage() *usage {
	if u == nil {
		return nil
	}
	prompt := u.Input
	if whole := u.Input + u.Read + u.Written; u.Total >= whole+u.Output {
		prompt = whole
	}
	return newUsage(prompt, u.Read, u.Written, u.Output, 0)
}

// bedrockFinish are the stop reasons of the service model; "" stands for an answer that is a failure, others are "stop".
var bedrockFinish = map[string]string{
	"tool_use": "tool_calls", "max_tokens": "length", "model_context_window_exceeded": "length",
	"guardrail_intervened": "content_filter", "content_filtered": "content_filter",
	"malformed_model_output": "", "malformed_tool_use": "",
}

func bedrockReason(reason string) (string, *failure.Error) {
	if f, known := bedrockFinish[reason]; known && f == "" {
		return "", failure.Newf(failure.EngineError, "The model gave up its answer (%s). Please try again.", reason)
	}
	return finishOf(bedrockFinish, reason), nil
}

// Answer is part of Reply.
func (b *bedrockReply) Answer(body []byte) ([]byte, *failure.Error) {
	var m struct {
		Output struct {
			Message *bedrockMessage `json:"message"`
		} `json:"output"`
		StopReason string        `json:"stopReason"`
		Usage      *bedrockUsage `json:"usage"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, malformedAnswer(err)
	}
	if m.Output.Message == nil {
		return nil, malformedAnswer(nil)
	}
	finish, fail := bedrockReason(m.StopReason)
	if fail != nil {
		return nil, fail
	}
	var said message
	for _, block := range m.Output.Message.Content {
		switch {
		case block.ToolUse != nil:
			said.call(block.ToolUse.ID, block.ToolUse.Name, string(block.ToolUse.Input), "")
		case block.Reasoning != nil:
			said.reasoning.WriteString(block.Reasoning.ReasoningText.Text)
		default:
			said.text.WriteString(block.Text)
		}
	}
	return b.render(m.Usage.usage(), said.choice(0, finish)), nil
}

// bedrockError is what the service calls an error, and what that means.
type bedrockError struct {
	status int // HTTP status by the service model, or a truer one
	badKey bool
}

// bedrockErrors are the errors of the service model, by names with a small initial, as streams have them; and those of the signature,
// which every AWS service may answer with.
var bedrockErrors = map[string]bedrockError{
	"validationException": {status: 400}, "resourceNotFoundException": {status: 404}, "throttlingException": {status: 429},
	"serviceQuotaExceededException": {status: 429}, "modelNotReadyException": {status: 503}, "serviceUnavailableException": {status: 503},
	"modelTimeoutException": {status: 408}, "modelErrorException": {status: 424}, "modelStreamErrorException": {status: 424},
	"internalServerException": {status: 500}, "accessDeniedException": {403, true}, "unrecognizedClientException": {403, true},
	"invalidSignatureException": {403, true}, "expiredTokenException": {403, true}, "missingAuthenticationTokenException": {403, true},
	"incompleteSignatureException": {403, true}, "signatureDoesNotMatch": {403, true}, "invalidClientTokenId": {403, true},
}

// Failure is part of Reply.
func (*bedrockReply) Failure(status int, header func(string) []byte, body []byte) (*failure.Error, KeyFate) {
	var e struct {
		Message string `json:"message"` // in either spelling: names match without regard to case
		Type    string `json:"__type"`
	}
	_ = json.Unmarshal(body, &e) // what is no JSON has no words
	kind := string(header("X-Amzn-Errortype"))
	if kind == "" {
		kind = e.Type
	}
	r := bedrockRefusal(kind, e.Message, status)
	r.retryAfter = readRetryAfter(header("Retry-After"))
	return r.judge()
}

// bedrockRefusal reads a type such as ThrottlingException:http://internal.amazon.com/coral/ or com.amazonaws#ThrottlingException.
// status counts where the type is unknown.
func bedrockRefusal(kind, message string, status int) *refusal {
	kind, _, _ = strings.Cut(kind, ":")
	if i := strings.LastIndexByte(kind, '#'); i >= 0 {
		kind = kind[i+1:]
	}
	if kind != "" {
		kind = strings.ToLower(kind[:1]) + kind[1:]
	}
	r := &refusal{status: status, kind: kind, message: message}
	if e, known := bedrockErrors[kind]; known {
		r.status, r.badKey = e.status, e.badKey
	}
	return r
}

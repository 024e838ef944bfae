package provider

import (
	"bytes"
	"encoding/json"
	"time"
)

// answer is a whole answer in OpenAI's form: openai 3.57.0, types/chat/chat_completion.py, with reasoning_content as DeepSeek and
// vLLM have it.
type answer struct {
	ID      string         `json:"id"`
	Object  string         `json:"object"`
	Created int64          `json:"created"`
	Model   string         `json:"model"`
	Choices []answerChoice `json:"choices"`
	Usage   *usage         `json:"usage,omitempty"`
}

type answerChoice struct {
	Index        int           `json:"index"`
	Message      answerMessage `json:"message"`
	Logprobs     *struct{}     `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

type answerMessage struct {
	Role             string       `json:"role"`
	Content          *string      `json:"content"`
	ReasoningContent string       `json:"reasoning_content,omitempty"`
	Refusal          *string      `json:"refusal"`
	ToolCalls        []answerCall `json:"tool_calls,omitempty"`
}

// answerCall is a tool call, or in a stream a piece of one.
type answerCall struct {
	Index        *int          `json:"index,omitempty"` // in streams
	ID           string        `json:"id,omitempty"`
	Type         string        `json:"type,omitempty"`
	Function     callFunction  `json:"function"`
	ExtraContent *extraContent `json:"extra_content,omitempty"`
}

type callFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// extraContent is where Google's own OpenAI endpoint has the thought signature of a call.
type extraContent struct {
	Google googleContent `json:"google"`
}

type googleContent struct {
	ThoughtSignature string `json:"thought_signature"`
}

func signed(signature string) *extraContent {
	if signature == "" {
		return nil
	}
	return &extraContent{googleContent{signature}}
}

// usage is what the provider counted, as in openai 3.57.0, types/completion_usage.py.
type usage struct {
	PromptTokens     int64             `json:"prompt_tokens"`
	CompletionTokens int64             `json:"completion_tokens"`
	TotalTokens      int64             `json:"total_tokens"`
	Prompt           promptDetails     `json:"prompt_tokens_details"`
	Completion       completionDetails `json:"completion_tokens_details"`
}

type promptDetails struct {
	CachedTokens     int64 `json:"cached_tokens"`
	CacheWriteTokens int64 `json:"cache_write_tokens,omitempty"`
}

type completionDetails struct {
	ReasoningTokens int64 `json:"reasoning_tokens"`
}

// newUsage makes a usage of the whole prompt, cached tokens included, and the whole answer, reasoning included.
func newUsage(prompt, cached, written, output, reasoning int64) *usage {
	return &usage{
		PromptTokens: prompt, CompletionTokens: output, TotalTokens: prompt + output,
		Prompt: promptDetails{cached, written}, Completion: completionDetails{reasoning},
	}
}

// naming is what all parts of an answer say about it.
type naming struct {
	id, model string
	created   int64
}

func namingOf(q *Query) naming {
	return naming{"chatcmpl-" + q.ID, q.Model, q.Now.Unix()}
}

// called is the id of the n-th tool call where the provider gives none.
// message gathers what a choice says.
type message struct {
	text, reasoning bytes.Buffer
	calls           []answerCall
}

func (m *message) call(id, name, arguments, signature string) {
	if arguments == "" {
		arguments = "{}"
	}
	m.calls = append(m.calls, answerCall{
		ID: id, Type: "function", Function: callFunction{name, arguments}, ExtraContent: signed(signature),
	})
}

func (m *message) choice(index int, finish string) answerChoice {
	c := answerChoice{Index: index, FinishReason: finish, Message: answerMessage{
		Role: "assistant", ReasoningContent: m.reasoning.String(), ToolCalls: m.calls,
	}}
	if m.text.Len() > 0 || len(m.calls) == 0 {
		text := m.text.String()
		c.Message.Content = &text
	}
	return c
}

// render is the answer's JSON.
func (n *naming) render(u *usage, choices ...answerChoice) []byte {
	return encode(&answer{ID: n.id, Object: "chat.completion", Created: n.created, Model: n.model, Choices: choices, Usage: u})
}

// encode is v's JSON without the escapes that only HTML needs. v holds nothing that has no JSON but raw pieces that were
// validated when they were read.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// seconds reads a duration given in seconds, fractions included; 0 if it is none.
func seconds(s float64) time.Duration {
	if !(s > 0) || s > maxRetryAfter.Seconds() {
		return 0
	}
	return time.Duration(s * float64(time.Second))
}

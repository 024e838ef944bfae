package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/warmlane/warmlane/gateway/failure"
)

// chat is a request to chat/completions, read once for all kinds: system messages apart, the others as turns that alternate.
type chat struct {
	system []string
	turns  []turn
	tools  []tool
	choice toolChoice
	chatOptions
}

// chatOptions are the members that need no other reading than JSON's. Names are those of openai 3.57.0,
// types/chat/completion_create_params.py.
type chatOptions struct {
	MaxTokens           *int64          `json:"max_tokens"`
	MaxCompletionTokens *int64          `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	TopK                *int64          `json:"top_k"`
	Stop                stops           `json:"stop"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	ResponseFormat      *responseFormat `json:"response_format"`
	ReasoningEffort     string          `json:"reasoning_effort"`
	Thinking            json.RawMessage `json:"thinking"`
	N                   *int64          `json:"n"`
	Seed                *int64          `json:"seed"`
	FrequencyPenalty    *float64        `json:"frequency_penalty"`
	PresencePenalty     *float64        `json:"presence_penalty"`
	User                string          `json:"user"`
	SafetyIdentifier    string          `json:"safety_identifier"`
}

// limit is the client's limit on output tokens, nil if it set none.
func (o *chatOptions) limit() *int64 {
	if o.MaxCompletionTokens != nil {
		return o.MaxCompletionTokens
	}
	return o.MaxTokens
}

// stops is a string or a list of strings.
type stops []string

// UnmarshalJSON takes both forms.
func (s *stops) UnmarshalJSON(raw []byte) error {
	var one string
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		*s = stops{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(s))
}

type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Schema      json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// wantsJSON tells whether the answer has to be JSON, and by which schema (nil: any object).
func (o *chatOptions) wantsJSON() (schema json.RawMessage, wanted bool) {
	if o.ResponseFormat == nil {
		return nil, false
	}
	switch o.ResponseFormat.Type {
	case "json_object":
		return nil, true
	case "json_schema":
		return o.ResponseFormat.JSONSchema.Schema, true
	}
	return nil, false
}

// jsonInstruction asks for what json_object means where there is no field for it.
const jsonInstruction = "Answer with one JSON object and nothing else: no text around it and no code fence."

// turn is what one side says before the other does.
type turn struct {
	assistant bool
	parts     []part
}

// part is one of its members.
type part struct {
	text   string
	image  *image
	call   *toolCall
	result *toolResult
}

type toolCall struct {
	id, name  string
	arguments json.RawMessage // an object
	signature string          // Gemini's thought signature, as an answer told it
}

// toolResult is what a tool answered to a call.
type toolResult struct {
	id, name string
	parts    []part // text and images
}

// text is the result's text in one piece.
func (r *toolResult) text() string {
	var b strings.Builder
	for _, p := range r.parts {
		b.WriteString(p.text)
	}
	return b.String()
}

// readChat reads a request of q for a kind of provider.
func readChat(q *Query, at dialect) (*chat, *failure.Error) {
	if fail := checkFields(q.Body, at); fail != nil {
		return nil, fail
	}
	var body struct {
		Messages   []wireMessage   `json:"messages"`
		Tools      []wireTool      `json:"tools"`
		ToolChoice json.RawMessage `json:"tool_choice"`
		chatOptions
	}
	if err := json.Unmarshal(q.Body, &body); err != nil {
		return nil, wrongKind(err)
	}
	c := &chat{chatOptions: body.chatOptions}
	if fail := c.readTools(body.Tools, body.ToolChoice); fail != nil {
		return nil, fail
	}
	if f := c.ResponseFormat; f != nil && f.Type == "json_schema" && len(f.JSONSchema.Schema) == 0 {
		return nil, failure.Bad("response_format.json_schema.schema", "response_format.json_schema.schema is missing.")
	}
	if n := c.limit(); n != nil && *n <= 0 {
		return nil, failure.Bad("max_tokens", "The limit on output tokens must be at least 1.")
	}
	return c, c.readMessages(body.Messages)
}

func wrongKind(err error) *failure.Error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		field := strings.TrimPrefix(kind.Field, "chatOptions.")
		return failure.Bad(field, "%s must not be a %s.", field, kind.Value).Because(err)
	}
	return failure.New(failure.BadRequest, "The request cannot be read.").Because(err)
}

type wireMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []wireCall      `json:"tool_calls"`
}

type wireCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
	ExtraContent struct {
		Google struct {
			ThoughtSignature string `json:"thought_signature"`
		} `json:"google"`
	} `json:"extra_content"`
}

type wirePart struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Refusal  string `json:"refusal"`
	ImageURL struct {
		URL string `json:"url"`
	} `json:"image_url"`
}

// readMessages sorts the messages into system and turns.
func (c *chat) readMessages(messages []wireMessage) *failure.Error {
	names := map[string]string{} // of the functions called, by call
	for i := range messages {
		m, at := &messages[i], fmt.Sprintf("messages[%d]", i)
		parts, fail := readContent(m.Content, at+".content")
		if fail != nil {
			return fail
		}
		switch m.Role {
		case "system", "developer":
			for _, p := range parts {
				if p.image != nil {
					return unsupported(at+".content", "A system message of this model holds text only.")
				}
				c.system = append(c.system, p.text)
			}
		case "user":
			c.say(false, parts)
		case "assistant":
			for j := range m.ToolCalls {
				call, fail := m.ToolCalls[j].read(fmt.Sprintf("%s.tool_calls[%d]", at, j))
				if fail != nil {
					return fail
				}
				names[m.ToolCalls[j].ID] = call.name
				parts = append(parts, part{call: call})
			}
			c.say(true, parts)
		case "tool":
			name, known := names[m.ToolCallID]
			if !known {
				return failure.Bad(at+".tool_call_id", "%s.tool_call_id names no tool call of an earlier message.", at)
			}
			c.say(false, []part{{result: &toolResult{toolID(m.ToolCallID), name, parts}}})
		default:
			return unsupported(at+".role", "A message's role must be system, developer, user, assistant or tool.")
		}
	}
	if len(c.turns) == 0 {
		return unsupported("messages", "This model needs at least one message of a user that is not empty.")
	}
	return nil
}

// say adds to the turn of one side. Providers want the sides to alternate.
func (c *chat) say(assistant bool, parts []part) {
	if len(parts) == 0 {
		return
	}
	if n := len(c.turns); n > 0 && c.turns[n-1].assistant == assistant {
		c.turns[n-1].parts = append(c.turns[n-1].parts, parts...)
		return
	}
	c.turns = append(c.turns, turn{assistant, parts})
}

// called says whether any message holds a tool call.
func (c *chat) called() bool {
	for _, t := range c.turns {
		for _, p := range t.parts {
			if p.call != nil {
				return true
			}
		}
	}
	return false
}

// readContent reads a string, null, or a list of parts. Empty texts, which providers refuse, are left out.
func readContent(raw json.RawMessage, at string) ([]part, *failure.Error) {
	if len(raw) == 0 || raw[0] == 'n' {
		return nil, nil
	}
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, wrongKind(err)
		}
		if text == "" {
			return nil, nil
		}
		return []part{{text: text}}, nil
	}
	var wire []wirePart
	if err := json.Unmarshal(raw, &wire); err != nil {
		return nil, failure.Bad(at, "%s must be a string or a list of parts.", at).Because(err)
	}
	parts := make([]part, 0, len(wire))
	for i := range wire {
		p := &wire[i]
		switch p.Type {
		case "text", "refusal":
			if text := p.Text + p.Refusal; text != "" {
				parts = append(parts, part{text: text})
			}
		case "image_url":
			img, fail := readImage(p.ImageURL.URL, fmt.Sprintf("%s[%d].image_url.url", at, i))
			if fail != nil {
				return nil, fail
			}
			parts = append(parts, part{image: img})
		default:
			return nil, unsupported(fmt.Sprintf("%s[%d].type", at, i), "Content parts of type %.40q cannot be used with this model.", p.Type)
		}
	}
	return parts, nil
}

func (w *wireCall) read(at string) (*toolCall, *failure.Error) {
	if w.Type != "" && w.Type != "function" {
		return nil, unsupported(at+".type", "Tool calls of type %.40q cannot be used with this model.", w.Type)
	}
	if w.ID == "" || w.Function.Name == "" {
		return nil, failure.Bad(at, "%s needs an id and a function.name.", at)
	}
	args := w.Function.Arguments
	if len(args) > 0 && args[0] == '"' {
		var text string
		if err := json.Unmarshal(args, &text); err != nil {
			return nil, wrongKind(err)
		}
		args = json.RawMessage(strings.TrimSpace(text))
	}
	if len(args) == 0 || string(args) == "null" {
		args = json.RawMessage("{}")
	}
	args = bytes.TrimSpace(args)
	if args[0] != '{' || !json.Valid(args) {
		return nil, failure.Bad(at+".function.arguments", "%s.function.arguments must be a JSON object.", at)
	}
	return &toolCall{id: toolID(w.ID), name: w.Function.Name, arguments: args, signature: w.ExtraContent.Google.ThoughtSignature}, nil
}

// toolID is the id of a tool call in the characters and the length that all providers take; another target may have made it.
func toolID(id string) string {
	plain := len(id) <= 64
	for i := range len(id) {
		c := id[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		plain = plain && (letter || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if plain {
		return id
	}
	return "call_" + strconv.FormatUint(xxhash.Sum64String(id), 16)
}

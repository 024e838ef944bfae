package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/valyala/fasthttp"
)

// body is what the server reads of a request; other fields are ignored, as engines ignore most of what they do not know.
type body struct {
	Model               string          `json:"model"`
	Messages            []message       `json:"messages"`
	Prompt              json.RawMessage `json:"prompt"`
	Input               json.RawMessage `json:"input"`
	Tokens              []uint32        `json:"tokens"`
	Tools               json.RawMessage `json:"tools"`
	Stream              bool            `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	MinTokens           int             `json:"min_tokens"`
	IgnoreEOS           bool            `json:"ignore_eos"`
	N                   *int            `json:"n"`
	Temperature         *float64        `json:"temperature"`
	CacheSalt           *string         `json:"cache_salt"`
	EncodingFormat      string          `json:"encoding_format"`
	Dimensions          int             `json:"dimensions"`
	AddGenerationPrompt *bool           `json:"add_generation_prompt"`
}

type streamOptions struct {
	IncludeUsage    bool `json:"include_usage"`
	ContinuousUsage bool `json:"continuous_usage_stats"`
}

type message struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// readBody decodes a request's body or says what vLLM says of a wrong one.
func readBody(ctx *fasthttp.RequestCtx) (*body, *problem) {
	raw := ctx.Request.Body()
	if len(raw) == 0 {
		return nil, invalidBody("missing", "body", "Field required", "None")
	}
	if media, _, err := mime.ParseMediaType(string(ctx.Request.Header.ContentType())); err != nil || media != "application/json" {
		return nil, &problem{status: 400, kind: "Bad Request", message: "Unsupported Media Type: Only 'application/json' is allowed"}
	}
	b := new(body)
	err := json.Unmarshal(raw, b)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return b, nil
	case errors.As(err, &wrongType):
		return nil, invalidBody("type_error", "body."+wrongType.Field, "Input should be a valid "+typeName(wrongType), wrongType.Value)
	}
	at := len(raw)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = int(syntax.Offset)
	}
	loc := fmt.Sprintf("body.%d", at)
	return nil, &problem{
		status: 400, kind: "Bad Request", param: loc,
		message: fmt.Sprintf("1 validation error:\n  {'type': 'json_invalid', 'loc': '%s', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {'error': '%v'}}", loc, err),
	}
}

// missing is the answer to a body that lacks a field.
func missing(ctx *fasthttp.RequestCtx, field string) *problem {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(ctx.Request.Body(), &fields) // readBody has accepted it
	return invalidBody("missing", "body."+field, "Field required", fmt.Sprintf("<dict of %d items>", len(fields)))
}

func typeName(err *json.UnmarshalTypeError) string {
	switch name := err.Type.String(); name {
	case "int":
		return "integer"
	case "bool":
		return "boolean"
	case "float64":
		return "number"
	case "string":
		return name
	}
	return "object or list"
}

// text returns the content of a message as one string: lists of parts give the same text as plain strings. What is not
// text (an image, audio) stands as a few words that depend on its bytes.
func (m *message) text() (string, *problem) {
	content := bytes.TrimSpace(m.Content)
	if len(content) == 0 || string(content) == "null" {
		return string(compact(m.ToolCalls)), nil
	}
	var plain string
	if json.Unmarshal(content, &plain) == nil {
		return plain + string(compact(m.ToolCalls)), nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	var raw []json.RawMessage
	if json.Unmarshal(content, &parts) != nil || json.Unmarshal(content, &raw) != nil {
		return "", invalidBody("string_type", "body.messages.content", "Input should be a valid string or list", "...")
	}
	var texts []string
	for i, p := range parts {
		if p.Type == "text" || p.Type == "" {
			texts = append(texts, p.Text)
			continue
		}
		texts = append(texts, Text(hashString(0, string(compact(raw[i]))), imageTokens))
	}
	return strings.Join(texts, "\n") + string(compact(m.ToolCalls)), nil
}

// imageTokens is what a content part that is not text counts.
const imageTokens = 256

// compact returns raw JSON without insignificant blanks, nothing for null.
func compact(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// chatTokens renders a chat with the template. The key stands for what the users said: it decides the answer.
func (b *body) chatTokens(seed uint64) (tokens []uint32, key uint64, p *problem) {
	key = mix(seed)
	if tools := compact(b.Tools); tools != nil {
		tokens = templateMessage(tokens, "tools", string(tools))
	}
	for i := range b.Messages {
		text, p := b.Messages[i].text()
		if p != nil {
			return nil, 0, p
		}
		if b.Messages[i].Role == "user" {
			key = hashString(key, text)
		}
		tokens = templateMessage(tokens, b.Messages[i].Role, text)
	}
	if b.AddGenerationPrompt == nil || *b.AddGenerationPrompt {
		tokens = templateAnswer(tokens)
	}
	return tokens, key, nil
}

// textTokens reads a field that is a string, a list of strings, a list of token ids or a list of such lists.
func textTokens(raw json.RawMessage, field string) ([][]uint32, *problem) {
	var one string
	var many []string
	var ids []uint32
	var lists [][]uint32
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, invalidBody("missing", "body."+field, "Field required", "<dict>")
	case json.Unmarshal(raw, &one) == nil:
		lists = [][]uint32{appendTokens(nil, one)}
	case json.Unmarshal(raw, &ids) == nil && len(ids) > 0:
		lists = [][]uint32{ids}
	case json.Unmarshal(raw, &many) == nil:
		for _, text := range many {
			lists = append(lists, appendTokens(nil, text))
		}
	default:
		if json.Unmarshal(raw, &lists) != nil {
			return nil, invalidBody("type_error", "body."+field, "Input should be a valid string or list", "...")
		}
	}
	if len(lists) == 0 {
		return nil, badRequest(field, "Either prompt or prompt_embeds must be provided and non-empty.")
	}
	for _, tokens := range lists {
		if len(tokens) == 0 {
			return nil, badRequest(field, "The decoder prompt cannot be empty")
		}
	}
	return lists, nil
}

// tokenKey is the key of an answer to bare tokens.
func tokenKey(seed uint64, tokens []uint32) uint64 {
	key := mix(seed)
	for _, t := range tokens {
		key = mix(key ^ uint64(t))
	}
	return key
}

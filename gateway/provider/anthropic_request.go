package provider

import (
	"encoding/json"

	"github.com/warmlane/warmlane/gateway/failure"
)

type anthropicRequest struct {
	Model         string             `json:"model"`
	MaxTokens     int64              `json:"max_tokens"`
	System        []anthropicText    `json:"system,omitempty"`
	Messages      []anthropicMessage `json:"messages"`
	Tools         []anthropicTool    `json:"tools,omitempty"`
	ToolChoice    *anthropicChoice   `json:"tool_choice,omitempty"`
	StopSequences []string           `json:"stop_sequences,omitempty"`
	Temperature   *float64           `json:"temperature,omitempty"`
	TopP          *float64           `json:"top_p,omitempty"`
	Thinking      json.RawMessage    `json:"thinking,omitempty"`
	OutputConfig  *anthropicOutput   `json:"output_config,omitempty"`
	Metadata      *anthropicMetadata `json:"metadata,omitempty"`
	Stream        bool               `json:"stream,omitempty"`
}

type anthropicText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type anthropicMessage struct {
	Role    string `json:"role"`
	Content []any  `json:"content"` // of the blocks below
}

type anthropicImage struct {
	Type   string          `json:"type"`
	Source anthropicSource `json:"source"`
}

type anthropicSource struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
}

type anthropicToolUse struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

type anthropicToolResult struct {
	Type      string `json:"type"`
	ToolUseID string `json:"tool_use_id"`
	Content   []any  `json:"content,omitempty"`
}

type anthropicTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict,omitempty"`
}

type anthropicChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name,omitempty"`
	DisableParallel bool   `json:"disable_parallel_tool_use,omitempty"`
}

type anthropicOutput struct {
	Effort string           `json:"effort,omitempty"`
	Format *anthropicFormat `json:"format,omitempty"`
}

type anthropicFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

type anthropicMetadata struct {
	UserID string `json:"user_id"`
}

// defaultMaxTokens is the limit on output tokens where the client set none: there is no request without one. Every model of anthropic
// 2.14.0, types/model.py, writes at least 64,000.
const defaultMaxTokens = 16384

// Request is part of Translator.
func (anthropic) Request(q *Query) (*Call, *failure.Error) {
	c, fail := readChat(q, atAnthropic)
	if fail != nil {
		return nil, fail
	}
	r := &anthropicRequest{
		Model: q.Model, MaxTokens: defaultMaxTokens, StopSequences: c.Stop, Stream: q.Stream,
		Tools: anthropicTools(c.tools), ToolChoice: anthropicChoose(c),
	}
	if n := c.limit(); n != nil {
		r.MaxTokens = *n
	}
	r.Temperature, r.TopP = c.sampling(q.Model)
	if user := c.User + c.SafetyIdentifier; user != "" {
		r.Metadata = &anthropicMetadata{user}
	}
	r.think(c)
	r.format(c)
	for _, text := range c.system {
		r.System = append(r.System, anthropicText{"text", text})
	}
	for _, t := range c.turns {
		m := anthropicMessage{Role: role(t.assistant, "user", "assistant"), Content: anthropicBlocks(t.parts)}
		r.Messages = append(r.Messages, m)
	}
	return &Call{
		Method: "POST", Path: "/v1/messages", Body: encode(r),
		Header: []byte(jsonHeader + "Anthropic-Version: " + r.version() + "\r\n"),
		Reply:  &anthropicReply{namingOf(q)},
	}, nil
}

// version is the API's version (anthropic 2.14.0, _constants.py). It takes no temperature and no top_p; the one before it, which goes on
// working, does (platform.claude.com/docs/en/api/migration-2026-10-21).
func (r *anthropicRequest) version() string {
	if r.Temperature != nil || r.TopP != nil {
		return "2023-06-01"
	}
	return "2026-10-21"
}

func role(assistant bool, user, model string) string {
	if assistant {
		return model
	}
	return user
}

// think asks for thinking: in Anthropic's own words if the client uses them, else by effort.
func (r *anthropicRequest) think(c *chat) {
	if len(c.Thinking) > 0 && c.Thinking[0] == '{' {
		r.Thinking = c.Thinking
	}
	effort := claudeEffort[c.ReasoningEffort]
	if effort == "" || !thinksByEffort(r.Model) {
		return
	}
	r.OutputConfig = &anthropicOutput{Effort: effort}
	if r.Thinking == nil {
		r.Thinking = json.RawMessage(`{"type":"adaptive","display":"summarized"}`)
	}
}

func (r *anthropicRequest) format(c *chat) {
	schema, wanted := c.wantsJSON()
	switch {
	case !wanted:
	case schema == nil:
		c.system = append(c.system, jsonInstruction)
	default:
		if r.OutputConfig == nil {
			r.OutputConfig = &anthropicOutput{}
		}
		r.OutputConfig.Format = &anthropicFormat{"json_schema", schema}
	}
}

func anthropicBlocks(parts []part) []any {
	blocks := make([]any, 0, len(parts))
	for _, p := range parts {
		switch {
		case p.image != nil && p.image.url != "":
			blocks = append(blocks, anthropicImage{"image", anthropicSource{Type: "url", URL: p.image.url}})
		case p.image != nil:
			blocks = append(blocks, anthropicImage{"image", anthropicSource{Type: "base64", MediaType: p.image.mediaType, Data: p.image.data}})
		case p.call != nil:
			blocks = append(blocks, anthropicToolUse{"tool_use", p.call.id, p.call.name, p.call.arguments})
		case p.result != nil:
			blocks = append(blocks, anthropicToolResult{"tool_result", p.result.id, anthropicBlocks(p.result.parts)})
		default:
			blocks = append(blocks, anthropicText{"text", p.text})
		}
	}
	return blocks
}

func anthropicTools(tools []tool) []anthropicTool {
	var out []anthropicTool
	for _, t := range tools {
		out = append(out, anthropicTool{t.name, t.description, t.parameters, t.strict})
	}
	return out
}

// anthropicChoose is tool_choice; nil where nothing has to be said.
func anthropicChoose(c *chat) *anthropicChoice {
	if len(c.tools) == 0 {
		return nil
	}
	one := c.ParallelToolCalls != nil && !*c.ParallelToolCalls
	switch c.choice.mode {
	case chooseNone:
		return &anthropicChoice{Type: "none"}
	case chooseAny:
		return &anthropicChoice{Type: "any", DisableParallel: one}
	case chooseOne:
		return &anthropicChoice{Type: "tool", Name: c.choice.name, DisableParallel: one}
	}
	if one {
		return &anthropicChoice{Type: "auto", DisableParallel: true}
	}
	return nil
}

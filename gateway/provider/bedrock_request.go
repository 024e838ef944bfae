package provider

import (
	"encoding/json"
	"strings"

	"github.com/warmlane/warmlane/gateway/failure"
)

type bedrockRequest struct {
	Messages        []bedrockMessage `json:"messages"`
	System          []bedrockBlock   `json:"system,omitempty"`
	InferenceConfig bedrockInference `json:"inferenceConfig,omitzero"`
	ToolConfig      *bedrockTools    `json:"toolConfig,omitempty"`
	OutputConfig    *bedrockOutput   `json:"outputConfig,omitempty"`
}

type bedrockMessage struct {
	Role    string         `json:"role"`
	Content []bedrockBlock `json:"content"`
}

// bedrockBlock is a ContentBlock of a request or of an answer: one of its members is set.
type bedrockBlock struct {
	Text       string             `json:"text,omitempty"`
	Image      *bedrockImage      `json:"image,omitempty"`
	ToolUse    *bedrockToolUse    `json:"toolUse,omitempty"`
	ToolResult *bedrockToolResult `json:"toolResult,omitempty"`
	Reasoning  *bedrockReasoning  `json:"reasoningContent,omitempty"`
}

type bedrockImage struct {
	Format string `json:"format"`
	Source struct {
		Bytes      string     `json:"bytes,omitempty"` // base64
		S3Location *bedrockS3 `json:"s3Location,omitempty"`
	} `json:"source"`
}

type bedrockS3 struct {
	URI string `json:"uri"`
}

type bedrockToolUse struct {
	ID    string          `json:"toolUseId"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

type bedrockToolResult struct {
	ID      string         `json:"toolUseId"`
	Content []bedrockBlock `json:"content"`
}

type bedrockReasoning struct {
	ReasoningText struct {
		Text string `json:"text"`
	} `json:"reasoningText"`
}

type bedrockInference struct {
	MaxTokens     *int64   `json:"maxTokens,omitempty"`
	Temperature   *float64 `json:"temperature,omitempty"`
	TopP          *float64 `json:"topP,omitempty"`
	StopSequences []string `json:"stopSequences,omitempty"`
}

type bedrockTools struct {
	Tools  []bedrockTool  `json:"tools"`
	Choice *bedrockChoice `json:"toolChoice,omitempty"`
}

type bedrockTool struct {
	Spec bedrockSpec `json:"toolSpec"`
}

type bedrockSpec struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	InputSchema bedrockSchema `json:"inputSchema"`
	Strict      bool          `json:"strict,omitempty"`
}

type bedrockSchema struct {
	JSON json.RawMessage `json:"json"`
}

type bedrockChoice struct {
	Any  *struct{}         `json:"any,omitempty"`
	Tool *bedrockToolNamed `json:"tool,omitempty"`
}

type bedrockToolNamed struct {
	Name string `json:"name"`
}

type bedrockOutput struct {
	TextFormat *bedrockFormat `json:"textFormat,omitempty"`
	Effort     string         `json:"effort,omitempty"`
}

type bedrockFormat struct {
	Type      string `json:"type"`
	Structure struct {
		JSONSchema struct {
			Schema      string `json:"schema"` // JSON in a string
			Name        string `json:"name,omitempty"`
			Description string `json:"description,omitempty"`
		} `json:"jsonSchema"`
	} `json:"structure"`
}

// Request is part of Translator.
func (*bedrock) Request(q *Query) (*Call, *failure.Error) {
	if strings.Trim(q.Model, ".") == "" { // the path would end elsewhere
		return nil, failure.New(failure.ModelNotFound, "The model has no name.")
	}
	c, fail := readChat(q, atBedrock)
	if fail != nil {
		return nil, fail
	}
	r := &bedrockRequest{InferenceConfig: bedrockInference{MaxTokens: c.limit(), StopSequences: c.Stop}}
	r.InferenceConfig.Temperature, r.InferenceConfig.TopP = c.sampling(q.Model)
	if fail := r.choose(c); fail != nil {
		return nil, fail
	}
	r.output(c, q.Model)
	for _, text := range c.system {
		r.System = append(r.System, bedrockBlock{Text: text})
	}
	for _, t := range c.turns {
		content, fail := bedrockBlocks(t.parts)
		if fail != nil {
			return nil, fail
		}
		r.Messages = append(r.Messages, bedrockMessage{role(t.assistant, "user", "assistant"), content})
	}
	call := &Call{
		Method: "POST", Path: "/model/" + escape(q.Model) + "/converse", Header: []byte(jsonHeader), Body: encode(r),
		Reply: &bedrockReply{namingOf(q)},
	}
	if q.Stream {
		call.Path += "-stream"
	}
	return call, nil
}

func (r *bedrockRequest) choose(c *chat) *failure.Error {
	if len(c.tools) == 0 {
		return nil
	}
	if c.choice.mode == chooseNone {
		if c.called() { // a conversation that holds calls has to tell the tools, and then the model may call them
			return unsupported("tool_choice", "tool_choice none cannot be used with this model once tools were called.")
		}
		return nil
	}
	r.ToolConfig = &bedrockTools{}
	for _, t := range c.tools {
		r.ToolConfig.Tools = append(r.ToolConfig.Tools, bedrockTool{bedrockSpec{t.name, t.description, bedrockSchema{t.parameters}, t.strict}})
	}
	switch c.choice.mode {
	case chooseAny:
		r.ToolConfig.Choice = &bedrockChoice{Any: &struct{}{}}
	case chooseOne:
		r.ToolConfig.Choice = &bedrockChoice{Tool: &bedrockToolNamed{c.choice.name}}
	}
	return nil
}

// output says how the answer has to look, and how much to think of it: without extended thinking an effort is high at most.
func (r *bedrockRequest) output(c *chat, model string) {
	schema, wanted := c.wantsJSON()
	switch {
	case !wanted:
	case schema == nil:
		c.system = append(c.system, jsonInstruction)
	default:
		f := &bedrockFormat{Type: "json_schema"}
		f.Structure.JSONSchema.Schema = string(schema)
		f.Structure.JSONSchema.Name, f.Structure.JSONSchema.Description = c.ResponseFormat.JSONSchema.Name, c.ResponseFormat.JSONSchema.Description
		r.OutputConfig = &bedrockOutput{TextFormat: f}
	}
	effort := claudeEffort[c.ReasoningEffort]
	if effort == "" || !thinksByEffort(model) {
		return
	}
	if effort == "xhigh" || effort == "max" {
		effort = "high"
	}
	if r.OutputConfig == nil {
		r.OutputConfig = &bedrockOutput{}
	}
	r.OutputConfig.Effort = effort
}

func bedrockBlocks(parts []part) ([]bedrockBlock, *failure.Error) {
	blocks := make([]bedrockBlock, 0, len(parts))
	for _, p := range parts {
		b := bedrockBlock{Text: p.text}
		var fail *failure.Error
		switch {
		case p.image != nil:
			b.Image, fail = bedrockPicture(p.image)
		case p.call != nil:
			b.ToolUse = &bedrockToolUse{p.call.id, p.call.name, p.call.arguments}
		case p.result != nil:
			b.ToolResult = &bedrockToolResult{ID: p.result.id}
			b.ToolResult.Content, fail = bedrockBlocks(p.result.parts)
		}
		if fail != nil {
			return nil, fail
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func bedrockPicture(i *image) (*bedrockImage, *failure.Error) {
	b := &bedrockImage{Format: strings.TrimPrefix(i.mediaType, "image/")}
	b.Source.Bytes = i.data
	switch {
	case i.url == "":
	case strings.HasPrefix(i.url, "s3:"):
		b.Source.S3Location = &bedrockS3{i.url}
	default:
		return nil, unsupported("messages", "This model takes images as data: URLs only.")
	}
	return b, nil
}

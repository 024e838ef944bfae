package provider

import (
	"encoding/json"

	"github.com/warmlane/warmlane/gateway/failure"
)

type geminiRequest struct {
	SystemInstruction *geminiContent    `json:"systemInstruction,omitempty"`
	Contents          []geminiContent   `json:"contents"`
	Tools             []geminiTools     `json:"tools,omitempty"`
	ToolConfig        *geminiToolConfig `json:"toolConfig,omitempty"`
	GenerationConfig  geminiConfig      `json:"generationConfig,omitzero"`
}

type geminiContent struct {
	Role  string       `json:"role,omitempty"`
	Parts []geminiPart `json:"parts"`
}

// geminiPart is a part of a request or of an answer.
type geminiPart struct {
	Text             string          `json:"text,omitempty"`
	Thought          bool            `json:"thought,omitempty"`
	ThoughtSignature string          `json:"thoughtSignature,omitempty"`
	InlineData       *geminiBlob     `json:"inlineData,omitempty"`
	FileData         *geminiFile     `json:"fileData,omitempty"`
	FunctionCall     *geminiCall     `json:"functionCall,omitempty"`
	FunctionResponse *geminiResponse `json:"functionResponse,omitempty"`
}

type geminiBlob struct {
	MimeType string `json:"mimeType"`
	Data     string `json:"data"`
}

type geminiFile struct {
	MimeType string `json:"mimeType"`
	FileURI  string `json:"fileUri"`
}

type geminiCall struct {
	ID   string          `json:"id,omitempty"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

type geminiResponse struct {
	ID       string          `json:"id,omitempty"`
	Name     string          `json:"name"`
	Response json.RawMessage `json:"response"`
	Parts    []geminiPart    `json:"parts,omitempty"`
}

type geminiTools struct {
	FunctionDeclarations []geminiFunction `json:"functionDeclarations"`
}

type geminiFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parametersJsonSchema"`
}

type geminiToolConfig struct {
	FunctionCallingConfig struct {
		Mode    string   `json:"mode"`
		Allowed []string `json:"allowedFunctionNames,omitempty"`
	} `json:"functionCallingConfig"`
}

type geminiConfig struct {
	Temperature        *float64        `json:"temperature,omitempty"`
	TopP               *float64        `json:"topP,omitempty"`
	TopK               *int64          `json:"topK,omitempty"`
	CandidateCount     *int64          `json:"candidateCount,omitempty"`
	MaxOutputTokens    *int64          `json:"maxOutputTokens,omitempty"`
	StopSequences      []string        `json:"stopSequences,omitempty"`
	PresencePenalty    *float64        `json:"presencePenalty,omitempty"`
	FrequencyPenalty   *float64        `json:"frequencyPenalty,omitempty"`
	Seed               *int64          `json:"seed,omitempty"`
	ResponseMimeType   string          `json:"responseMimeType,omitempty"`
	ResponseJSONSchema json.RawMessage `json:"responseJsonSchema,omitempty"`
	ThinkingConfig     *geminiThinking `json:"thinkingConfig,omitempty"`
}

type geminiThinking struct {
	IncludeThoughts bool   `json:"includeThoughts,omitempty"`
	ThinkingBudget  *int   `json:"thinkingBudget,omitempty"`
	ThinkingLevel   string `json:"thinkingLevel,omitempty"`
}

// geminiEfforts are the levels and the budgets, in tokens, for a reasoning_effort; both are those of Google's own OpenAI endpoint
// (ai.google.dev/gemini-api/docs/openai). Gemini 3 cannot be kept from thinking.
var geminiEfforts = map[string]struct {
	level  string
	budget int
}{
	"none": {"MINIMAL", 0}, "minimal": {"MINIMAL", 1024}, "low": {"LOW", 1024}, "medium": {"MEDIUM", 8192},
	"high": {"HIGH", 24576}, "xhigh": {"HIGH", 24576}, "max": {"HIGH", 24576},
}

// noSignature stands for the thought signature of a call that Gemini has not made, or whose signature the client has dropped: from
// version 3 on it refuses calls without any (ai.google.dev/gemini-api/docs/thought-signatures).
const noSignature = "skip_thought_signature_validator"

func geminiChat(q *Query) (*Call, *failure.Error) {
	c, fail := readChat(q, atGemini)
	if fail != nil {
		return nil, fail
	}
	r := &geminiRequest{GenerationConfig: geminiConfig{
		Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK, CandidateCount: c.N, MaxOutputTokens: c.limit(), StopSequences: c.Stop,
		PresencePenalty: c.PresencePenalty, FrequencyPenalty: c.FrequencyPenalty, Seed: c.Seed,
	}}
	if schema, wanted := c.wantsJSON(); wanted {
		r.GenerationConfig.ResponseMimeType, r.GenerationConfig.ResponseJSONSchema = "application/json", schema
	}
	if effort, ok := geminiEfforts[c.ReasoningEffort]; ok {
		r.GenerationConfig.ThinkingConfig = &geminiThinking{IncludeThoughts: c.ReasoningEffort != "none", ThinkingLevel: effort.level}
		if !thinksByLevel(q.Model) {
			r.GenerationConfig.ThinkingConfig.ThinkingLevel, r.GenerationConfig.ThinkingConfig.ThinkingBudget = "", &effort.budget
		}
	}
	r.choose(c)
	if len(c.system) > 0 {
		r.SystemInstruction = &geminiContent{}
		for _, text := range c.system {
			r.SystemInstruction.Parts = append(r.SystemInstruction.Parts, geminiPart{Text: text})
		}
	}
	for _, t := range c.turns {
		parts := geminiParts(t.parts)
		if t.assistant && thinksByLevel(q.Model) {
			sign(parts)
		}
		r.Contents = append(r.Contents, geminiContent{role(t.assistant, "user", "model"), parts})
	}
	call := &Call{
		Method: "POST", Path: "/v1/" + geminiModel(q.Model) + ":generateContent", Header: []byte(jsonHeader), Body: encode(r),
	}
	if q.Stream {
		call.Path, call.Query = "/v1/"+geminiModel(q.Model)+":streamGenerateContent", "alt=sse"
	}
	n := 1
	if c.N != nil {
		n = int(max(1, min(*c.N, maxChoices)))
	}
	call.Reply = &geminiReply{namingOf(q), n}
	return call, nil
}

func (r *geminiRequest) choose(c *chat) {
	if len(c.tools) == 0 {
		return
	}
	var t geminiTools
	for _, f := range c.tools {
		t.FunctionDeclarations = append(t.FunctionDeclarations, geminiFunction{f.name, f.description, f.parameters})
	}
	r.Tools = []geminiTools{t}
	if c.choice.mode == chooseAuto {
		return
	}
	r.ToolConfig = &geminiToolConfig{}
	config := &r.ToolConfig.FunctionCallingConfig
	switch c.choice.mode {
	case chooseNone:
		config.Mode = "NONE"
	case chooseOne:
		config.Mode, config.Allowed = "ANY", []string{c.choice.name}
	default:
		config.Mode = "ANY"
	}
}

// sign sees to it that the first call of a turn has a signature; those beside it need none.
func sign(parts []geminiPart) {
	for i := range parts {
		if parts[i].FunctionCall != nil {
			if parts[i].ThoughtSignature == "" {
				parts[i].ThoughtSignature = noSignature
			}
			return
		}
	}
}

func geminiParts(parts []part) []geminiPart {
	out := make([]geminiPart, 0, len(parts))
	for _, p := range parts {
		switch {
		case p.image != nil:
			out = append(out, geminiImage(p.image))
		case p.call != nil:
			call := &geminiCall{p.call.id, p.call.name, p.call.arguments}
			out = append(out, geminiPart{FunctionCall: call, ThoughtSignature: p.call.signature})
		case p.result != nil:
			r := &geminiResponse{ID: p.result.id, Name: p.result.name, Response: geminiResult(p.result.text())}
			for _, inner := range p.result.parts {
				if inner.image != nil {
					r.Parts = append(r.Parts, geminiImage(inner.image))
				}
			}
			out = append(out, geminiPart{FunctionResponse: r})
		default:
			out = append(out, geminiPart{Text: p.text})
		}
	}
	return out
}

func geminiImage(i *image) geminiPart {
	if i.url != "" {
		return geminiPart{FileData: &geminiFile{i.mediaType, i.url}}
	}
	return geminiPart{InlineData: &geminiBlob{i.mediaType, i.data}}
}

// geminiResult is a function's answer as the object that Gemini wants: as it is if it is one, else as its output.
func geminiResult(text string) json.RawMessage {
	if raw := json.RawMessage(text); json.Valid(raw) && firstByte(raw) == '{' {
		return raw
	}
	return encode(map[string]string{"output": text})
}

func firstByte(raw []byte) byte {
	for _, c := range raw {
		if c > ' ' {
			return c
		}
	}
	return 0
}

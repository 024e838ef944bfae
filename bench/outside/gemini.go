package outside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Gemini simulates generateContent, streamGenerateContent and batchEmbedContents of the Gemini API: google-genai 3.6.1, models.py,
// the converters named *_to_mldev and *_from_mldev.
type Gemini struct{ Key string }

type geminiRequest struct {
	Contents          []geminiContent `json:"contents"`
	SystemInstruction *geminiContent  `json:"systemInstruction"`
	Tools             []struct {
		FunctionDeclarations []struct {
			Name                 string          `json:"name"`
			Description          string          `json:"description"`
			Parameters           json.RawMessage `json:"parameters"`
			ParametersJSONSchema json.RawMessage `json:"parametersJsonSchema"`
			ParametersAsProto    json.RawMessage `json:"parameters_json_schema"` // how the SDK writes it; the API takes both
		} `json:"functionDeclarations"`
	} `json:"tools"`
	ToolConfig *struct {
		FunctionCallingConfig struct {
			Mode                 string   `json:"mode"`
			AllowedFunctionNames []string `json:"allowedFunctionNames"`
		} `json:"functionCallingConfig"`
	} `json:"toolConfig"`
	GenerationConfig struct {
		Temperature        *float64        `json:"temperature"`
		TopP               *float64        `json:"topP"`
		TopK               *float64        `json:"topK"`
		CandidateCount     *int            `json:"candidateCount"`
		MaxOutputTokens    *int            `json:"maxOutputTokens"`
		StopSequences      []string        `json:"stopSequences"`
		PresencePenalty    *float64        `json:"presencePenalty"`
		FrequencyPenalty   *float64        `json:"frequencyPenalty"`
		Seed               *int            `json:"seed"`
		ResponseMimeType   string          `json:"responseMimeType"`
		ResponseJSONSchema json.RawMessage `json:"responseJsonSchema"`
		ThinkingConfig     *struct {
			IncludeThoughts bool   `json:"includeThoughts"`
			ThinkingBudget  *int   `json:"thinkingBudget"`
			ThinkingLevel   string `json:"thinkingLevel"`
		} `json:"thinkingConfig"`
	} `json:"generationConfig"`
}

type geminiContent struct {
	Role  string       `json:"role"`
	Parts []geminiPart `json:"parts"`
}

type geminiPart struct {
	Text             *string         `json:"text"`
	Thought          bool            `json:"thought"`
	ThoughtSignature string          `json:"thoughtSignature"`
	InlineData       json.RawMessage `json:"inlineData"`
	FileData         json.RawMessage `json:"fileData"`
	FunctionCall     *struct {
		ID   string         `json:"id"`
		Name string         `json:"name"`
		Args map[string]any `json:"args"`
	} `json:"functionCall"`
	FunctionResponse *struct {
		ID       string         `json:"id"`
		Name     string         `json:"name"`
		Response map[string]any `json:"response"`
		Parts    []geminiPart   `json:"parts"`
	} `json:"functionResponse"`
}

var geminiStatuses = map[int]string{
	400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}

func geminiError(status int, message, reason string) object {
	e := object{"code": status, "message": message, "status": geminiStatuses[status]}
	switch {
	case reason != "":
		e["details"] = []any{object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}}
	case status == 429:
		e["details"] = []any{object{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}}
	}
	return object{"error": e}
}

// ServeHTTP answers POST /v1/models/NAME:METHOD.
func (g *Gemini) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, found := strings.CutPrefix(r.URL.Path, "/v1/models/")
	model, method, _ := strings.Cut(path, ":")
	switch {
	case r.Method != http.MethodPost || !found || model == "":
		reply(w, 404, geminiError(404, "Not found", ""))
	case r.Header.Get("X-Goog-Api-Key") != g.Key:
		reply(w, 400, geminiError(400, "API key not valid: "+r.Header.Get("X-Goog-Api-Key"), "API_KEY_INVALID"))
	case method == "batchEmbedContents":
		geminiEmbed(w, r, model)
	case method == "generateContent", method == "streamGenerateContent" && r.URL.Query().Get("alt") == "sse":
		geminiGenerate(w, r, model, method != "generateContent")
	default:
		reply(w, 404, geminiError(404, "No method "+method, ""))
	}
}

func geminiGenerate(w http.ResponseWriter, r *http.Request, model string, stream bool) {
	var q geminiRequest
	if err := strictly(r, &q); err != nil {
		reply(w, 400, geminiError(400, err.Error(), ""))
		return
	}
	last, err := q.check(model)
	if err != nil {
		reply(w, 400, geminiError(400, err.Error(), ""))
		return
	}
	tool := ""
	if len(q.Tools) > 0 && len(q.Tools[0].FunctionDeclarations) > 0 {
		tool = q.Tools[0].FunctionDeclarations[0].Name
	}
	s := script("gemini", last, tool)
	switch {
	case s.Status != 0:
		reply(w, s.Status, geminiError(s.Status, "as asked for", ""))
	case stream:
		geminiStream(w, model, s)
	default:
		reply(w, 200, geminiAnswer(model, "STOP", geminiParts(s)...))
	}
}

// check finds what is wrong with a request, and its last text.
func (q *geminiRequest) check(model string) (last string, err error) {
	var roles []string
	var pairs paired
	for _, c := range q.Contents {
		roles = append(roles, c.Role)
		var calls, results []string
		for _, p := range c.Parts {
			switch {
			case p.Text != nil:
				last = *p.Text
			case p.FunctionCall != nil:
				if len(calls) == 0 && p.ThoughtSignature == "" && strings.HasPrefix(model, "gemini-3") {
					return "", errors.New("function call is missing a thought_signature in functionCall parts")
				}
				calls = append(calls, p.FunctionCall.ID)
			case p.FunctionResponse != nil:
				if p.FunctionResponse.Response == nil || p.FunctionResponse.Name == "" {
					return "", errors.New("function_response needs a name and a response")
				}
				results = append(results, p.FunctionResponse.ID)
			case p.InlineData == nil && p.FileData == nil:
				return "", errors.New("a part without data")
			}
		}
		if err := pairs.results(results...); err != nil {
			return "", err
		}
		pairs.calls(calls...)
	}
	return last, alternate(roles, "user")
}

func geminiParts(s *Script) []any {
	var parts []any
	if s.Thought != "" {
		parts = append(parts, object{"text": s.Thought, "thought": true})
	}
	for _, word := range s.Words {
		parts = append(parts, object{"text": word})
	}
	for i, c := range s.Calls {
		part := object{"functionCall": object{"id": fmt.Sprintf("fc_%d", i), "name": c.Name, "args": json.RawMessage(c.Args)}}
		if i == 0 {
			part["thoughtSignature"] = "c2lnbmF0dXJl"
		}
		parts = append(parts, part)
	}
	return parts
}

func geminiAnswer(model, finish string, parts ...any) object {
	candidate := object{"index": 0, "content": object{"role": "model", "parts": parts}}
	if finish != "" {
		candidate["finishReason"] = finish
	}
	return object{
		"candidates": []any{candidate}, "modelVersion": model, "responseId": "resp-1",
		"usageMetadata": object{
			"promptTokenCount": FreshTokens + CachedTokens, "cachedContentTokenCount": CachedTokens,
			"candidatesTokenCount": OutputTokens - ThoughtTokens, "thoughtsTokenCount": ThoughtTokens, "totalTokenCount": FreshTokens + CachedTokens + OutputTokens,
		},
	}
}

func geminiStream(w http.ResponseWriter, model string, s *Script) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := sse{w}
	parts := geminiParts(s)
	for i, part := range parts {
		if (s.Break || s.Cut) && i == 2 {
			break
		}
		finish := ""
		if i == len(parts)-1 {
			finish = "STOP"
		}
		out.send("", geminiAnswer(model, finish, part))
	}
	switch {
	case s.Break: // errors come bare, over several lines
		text, err := json.MarshalIndent(geminiError(503, "The model is overloaded.", ""), "", "  ")
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(append(text, '\n'))
	case s.Cut:
		panic(http.ErrAbortHandler)
	}
}

func geminiEmbed(w http.ResponseWriter, r *http.Request, model string) {
	var q struct {
		Requests []struct {
			Model                string        `json:"model"`
			Content              geminiContent `json:"content"`
			OutputDimensionality *int          `json:"outputDimensionality"`
		} `json:"requests"`
	}
	if err := strictly(r, &q); err != nil {
		reply(w, 400, geminiError(400, err.Error(), ""))
		return
	}
	embeddings := []any{}
	for i, one := range q.Requests {
		if one.Model != "models/"+model || len(one.Content.Parts) != 1 {
			reply(w, 400, geminiError(400, "model and content are required", ""))
			return
		}
		embeddings = append(embeddings, object{"values": []float64{float64(i), 0.5, -0.25}})
	}
	reply(w, 200, object{"embeddings": embeddings})
}

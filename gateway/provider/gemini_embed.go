package provider

import (
	"encoding/json"
	"errors"

	"github.com/warmlane/warmlane/gateway/failure"
)

type geminiEmbedRequest struct {
	Requests []geminiEmbedText `json:"requests"`
}

type geminiEmbedText struct {
	Model                string        `json:"model"`
	Content              geminiContent `json:"content"`
	OutputDimensionality *int64        `json:"outputDimensionality,omitempty"`
}

// geminiEmbed translates a request to batchEmbedContents (google-genai 3.6.1, models.py, _EmbedContentParametersPrivate_to_mldev).
func geminiEmbed(q *Query) (*Call, *failure.Error) {
	e, fail := readEmbedding(q.Body)
	if fail != nil {
		return nil, fail
	}
	model := geminiModel(q.Model)
	var r geminiEmbedRequest
	for _, text := range e.texts {
		r.Requests = append(r.Requests, geminiEmbedText{model, geminiContent{Parts: []geminiPart{{Text: text}}}, e.dimensions})
	}
	return &Call{
		Method: "POST", Path: "/v1/" + model + ":batchEmbedContents", Header: []byte(jsonHeader), Body: encode(&r),
		Reply: &geminiEmbedReply{e, q.Model},
	}, nil
}

// geminiEmbedReply translates the answers of batchEmbedContents.
type geminiEmbedReply struct {
	*embedding
	model string
}

// Answer is part of Reply. The API tells the tokens of newer models only; 0 elsewhere.
func (g *geminiEmbedReply) Answer(body []byte) ([]byte, *failure.Error) {
	var m struct {
		Embeddings []struct {
			Values []float64 `json:"values"`
		} `json:"embeddings"`
		UsageMetadata geminiUsage `json:"usageMetadata"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, malformedAnswer(err)
	}
	values := make([][]float64, 0, len(m.Embeddings))
	for _, e := range m.Embeddings {
		if e.Values == nil {
			return nil, malformedAnswer(errors.New("an embedding without values"))
		}
		values = append(values, e.Values)
	}
	return g.vectors(g.model, values, m.UsageMetadata.Prompt)
}

// Decoder is part of Reply. Embeddings do not stream.
func (*geminiEmbedReply) Decoder() Decoder { return silence{} }

// Failure is part of Reply.
func (*geminiEmbedReply) Failure(status int, header func(string) []byte, body []byte) (*failure.Error, KeyFate) {
	return geminiFailure(status, header, body)
}

// silence is the decoder of what does not stream: the stream is incomplete.
type silence struct{}

// Feed is part of Decoder.
func (silence) Feed([]byte) []byte { return nil }

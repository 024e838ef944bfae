package provider

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/warmlane/warmlane/gateway/failure"
)

// embedding is a request to embeddings: openai 3.57.0, types/embedding_create_params.py.
type embedding struct {
	texts      []string
	dimensions *int64
	base64     bool // the SDKs' default
}

func readEmbedding(body []byte) (*embedding, *failure.Error) {
	var wire struct {
		Input          json.RawMessage `json:"input"`
		Dimensions     *int64          `json:"dimensions"`
		EncodingFormat string          `json:"encoding_format"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return nil, wrongKind(err)
	}
	e := &embedding{dimensions: wire.Dimensions, base64: wire.EncodingFormat == "base64"}
	var texts stops
	if json.Unmarshal(wire.Input, &texts) != nil {
		return nil, unsupported("input", "input must be a string or a list of strings for this model.")
	}
	e.texts = texts
	if len(e.texts) == 0 {
		return nil, failure.Bad("input", "input is empty.")
	}
	for i, text := range e.texts {
		if text == "" {
			return nil, failure.Bad("input", "input[%d] is empty.", i)
		}
	}
	return e, nil
}

// embeddings is an answer: openai 3.57.0, types/create_embedding_response.py.
type embeddings struct {
	Object string            `json:"object"`
	Data   []embeddingVector `json:"data"`
	Model  string            `json:"model"`
	Usage  embeddingUsage    `json:"usage"`
}

type embeddingVector struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or their base64
}

type embeddingUsage struct {
	PromptTokens int64 `json:"prompt_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

// vectors is the answer with these vectors, one a text that was asked for.
func (e *embedding) vectors(model string, values [][]float64, tokens int64) ([]byte, *failure.Error) {
	if len(values) != len(e.texts) {
		return nil, malformedAnswer(fmt.Errorf("%d vectors for %d texts", len(values), len(e.texts)))
	}
	out := embeddings{Object: "list", Model: model, Usage: embeddingUsage{tokens, tokens}}
	for i, v := range values {
		vector := embeddingVector{Object: "embedding", Index: i, Embedding: v}
		if e.base64 {
			raw := make([]byte, 0, 4*len(v))
			for _, x := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(x)))
			}
			vector.Embedding = base64.StdEncoding.EncodeToString(raw)
		}
		out.Data = append(out.Data, vector)
	}
	return encode(&out), nil
}

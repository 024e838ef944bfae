package api

import (
	"fmt"
	"strconv"

	"github.com/warmlane/warmlane/tokenize"
)

// Model is one entry of a model list, in what OpenAI's form and the engines' extensions share. An engine's root, the
// path of its weights, is never read.
type Model struct {
	ID      string
	Created int64 // seconds since 1970
	OwnedBy string
	// MaxModelLen is the context length in tokens, 0 if unknown.
	MaxModelLen int
	// Parent is the base model of an adapter, "" if it is none.
	Parent string
}

// ModelList returns the answer to GET /v1/models.
func ModelList(models []Model) []byte {
	out := []byte(`{"object":"list","data":[`)
	for i := range models {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendModel(out, &models[i])
	}
	return append(out, `]}`...)
}

// ModelCard returns the answer to GET /v1/models/{id}.
func ModelCard(m Model) []byte { return appendModel(nil, &m) }

func appendModel(out []byte, m *Model) []byte {
	out = appendString(append(out, `{"id":`...), m.ID)
	out = strconv.AppendInt(append(out, `,"object":"model","created":`...), m.Created, 10)
	out = appendString(append(out, `,"owned_by":`...), m.OwnedBy)
	if m.MaxModelLen > 0 {
		out = strconv.AppendInt(append(out, `,"max_model_len":`...), int64(m.MaxModelLen), 10)
	}
	if m.Parent != "" {
		out = appendString(append(out, `,"parent":`...), m.Parent)
	}
	return append(out, '}')
}

// ParseModels reads an engine's answer to GET /v1/models.
func ParseModels(body []byte) ([]Model, error) {
	var data []byte
	w := tokenize.Walk(body, tokenize.MaxDepth)
	for w.Next() {
		if string(w.Key) == "data" {
			data = w.Value
		}
	}
	if err := w.Err(); err != nil {
		return nil, fmt.Errorf("reading a model list: %w", err)
	}
	if tokenize.KindOf(data) != tokenize.Array {
		return nil, fmt.Errorf("reading a model list: data is %s, not an array", tokenize.KindOf(data))
	}
	var models []Model
	entries := tokenize.WalkTrusted(data)
	for entries.Next() {
		if m := parseModel(entries.Value); m.ID != "" {
			models = append(models, m)
		}
	}
	return models, nil
}

func parseModel(raw []byte) (m Model) {
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		switch string(w.Key) {
		case "id":
			m.ID = tokenize.StringOf(w.Value)
		case "created":
			m.Created = int64(number(w.Value, 0))
		case "owned_by":
			m.OwnedBy = tokenize.StringOf(w.Value)
		case "max_model_len":
			m.MaxModelLen = number(w.Value, 0)
		case "parent":
			m.Parent = tokenize.StringOf(w.Value)
		case "meta": // llama.cpp
			if n := number(tokenize.Find(w.Value, "n_ctx"), 0); n > 0 && m.MaxModelLen == 0 {
				m.MaxModelLen = n
			}
		}
	}
	return m
}

// MergeModels joins the lists of several engines: one entry a name, in the order of first sight, with the smallest
// context length and the earliest creation that any of them tells.
func MergeModels(lists ...[]Model) []Model {
	merged := []Model{}
	place := map[string]int{}
	for _, list := range lists {
		for _, m := range list {
			i, known := place[m.ID]
			if !known {
				place[m.ID] = len(merged)
				merged = append(merged, m)
				continue
			}
			old := &merged[i]
			if m.MaxModelLen > 0 && (old.MaxModelLen == 0 || m.MaxModelLen < old.MaxModelLen) {
				old.MaxModelLen = m.MaxModelLen
			}
			if m.Created > 0 && (old.Created == 0 || m.Created < old.Created) {
				old.Created = m.Created
			}
		}
	}
	return merged
}

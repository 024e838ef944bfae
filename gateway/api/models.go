package api

import "strconv"

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

package scraper

import (
	"errors"

	"github.com/tidwall/gjson"
)

// modelsPath is OpenAI's list of models, which every engine of a known family serves.
const modelsPath = "/v1/models"

// models is what an engine's model list tells.
type models struct {
	names    []string // served names and LoRA adapters, in the engine's order
	adapters []string // those of them that name a model as their parent
	maxLen   int      // longest context in tokens, 0 when not told
}

// readModels reads OpenAI's list with what engines add to it: vLLM, SGLang and LMDeploy the context as max_model_len, llama.cpp that of one
// slot as meta.n_ctx.
func readModels(body []byte) (models, error) {
	if !gjson.ValidBytes(body) {
		return models{}, errors.New("the model list is no JSON")
	}
	cards := gjson.GetBytes(body, "data")
	if !cards.IsArray() {
		return models{}, errors.New("the model list has no data")
	}
	var m models
	cards.ForEach(func(_, card gjson.Result) bool {
		if id := card.Get("id"); id.Type == gjson.String && id.Str != "" {
			m.names = append(m.names, id.Str)
			if parent := card.Get("parent"); parent.Type == gjson.String && parent.Str != "" {
				m.adapters = append(m.adapters, id.Str)
			}
		}
		for _, length := range []string{"max_model_len", "meta.n_ctx"} {
			if v := card.Get(length); v.Type == gjson.Number && v.Num >= 1 && v.Num < 1<<40 {
				m.maxLen = max(m.maxLen, int(v.Num))
			}
		}
		return true
	})
	return m, nil
}

package api

import "github.com/warmlane/warmlane/tokenize"

// Usage is what an engine counted, in tokens; -1 where it did not tell.
type Usage struct {
	// Prompt is the whole prompt, cached tokens included.
	Prompt int
	// Cached is the part of the prompt that was taken from the engine's cache.
	Cached int
	// Output is the answer, reasoning included, over all choices.
	Output int
}

// NoUsage is the usage of an engine that told nothing.
var NoUsage = Usage{Prompt: -1, Cached: -1, Output: -1}

// read takes what a raw usage object tells, in OpenAI's names, those of responses, or Anthropic's. What it does not
// tell stays.
func (u *Usage) read(raw []byte) {
	if tokenize.KindOf(raw) != tokenize.Object {
		return
	}
	input, fromCache, intoCache := -1, -1, -1
	w := tokenize.WalkTrusted(raw)
	for w.Next() {
		switch string(w.Key) {
		case "prompt_tokens":
			u.Prompt = number(w.Value, u.Prompt)
		case "completion_tokens", "output_tokens":
			u.Output = number(w.Value, u.Output)
		case "input_tokens":
			input = number(w.Value, -1)
		case "cache_read_input_tokens":
			fromCache = number(w.Value, -1)
		case "cache_creation_input_tokens":
			intoCache = number(w.Value, -1)
		case "prompt_tokens_details", "input_tokens_details":
			u.Cached = number(tokenize.Find(w.Value, "cached_tokens"), u.Cached)
		}
	}
	if input < 0 {
		return
	}
	// Anthropic counts cached tokens beside input_tokens, not in them. A later event may repeat input_tokens alone.
	u.Prompt = max(u.Prompt, input+max(0, fromCache)+max(0, intoCache))
	if fromCache >= 0 {
		u.Cached = fromCache
	}
}

// readTimings takes the cached tokens from llama.cpp's timings where usage did not tell them.
func (u *Usage) readTimings(raw []byte) {
	if u.Cached < 0 && tokenize.KindOf(raw) == tokenize.Object {
		u.Cached = number(tokenize.Find(raw, "cache_n"), -1)
	}
}

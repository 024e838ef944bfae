package api

import (
	"math"
	"strconv"

	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/tokenize"
)

// fill checks the kinds of the members and takes over their values.
func (v *View) fill(m *members) *failure.Error {
	for _, step := range [...]func(*View, *members) *failure.Error{
		(*View).fillModel, (*View).fillStream, (*View).fillNumbers, (*View).fillCaller, (*View).fillPrompt, (*View).fillChoices,
	} {
		if fail := step(v, m); fail != nil {
			return fail
		}
	}
	v.fillSource(m)
	return nil
}

func absent(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// oneOf fails unless the member is absent, null or of one of the kinds, of which want tells in words.
func oneOf(name string, raw []byte, want string, kinds ...tokenize.Kind) *failure.Error {
	if absent(raw) {
		return nil
	}
	k := tokenize.KindOf(raw)
	for _, allowed := range kinds {
		if k == allowed {
			return nil
		}
	}
	return failure.Bad(name, "%s must be %s, not %s.", name, want, k)
}

func (v *View) fillModel(m *members) *failure.Error {
	if absent(m.model) {
		return failure.Bad("model", "model is missing: name the model that shall answer.")
	}
	if fail := oneOf("model", m.model, "a string", tokenize.String); fail != nil {
		return fail
	}
	if v.Model = tokenize.StringOf(m.model); v.Model == "" {
		return failure.Bad("model", "model is empty: name the model that shall answer.")
	}
	return nil
}

func (v *View) fillStream(m *members) *failure.Error {
	if fail := oneOf("stream", m.stream, "true or false", tokenize.Bool); fail != nil {
		return fail
	}
	v.Stream = isTrue(m.stream) || v.Family == Speech && tokenize.TextIs(m.streamFormat, "sse")
	if fail := oneOf("stream_options", m.options, "an object", tokenize.Object); fail != nil {
		return fail
	}
	if absent(m.options) {
		return nil
	}
	w := tokenize.WalkTrusted(m.options)
	for w.Next() {
		switch string(w.Key) {
		case "include_usage":
			if fail := oneOf("stream_options.include_usage", w.Value, "true or false", tokenize.Bool); fail != nil {
				return fail
			}
			v.IncludeUsage = isTrue(w.Value)
		case "continuous_usage_stats":
			v.ContinuousUsage = isTrue(w.Value)
		}
	}
	return nil
}

func isTrue(raw []byte) bool { return len(raw) > 0 && raw[0] == 't' }

// integer reads a whole number of at least least; an absent one is none.
func integer(name string, raw []byte, none, least int) (int, *failure.Error) {
	if absent(raw) {
		return none, nil
	}
	if tokenize.KindOf(raw) != tokenize.Number {
		return 0, failure.Bad(name, "%s must be a whole number, not %s.", name, tokenize.KindOf(raw))
	}
	n := number(raw, none)
	if f, err := strconv.ParseFloat(string(raw), 64); err != nil || f != float64(n) && f < 1<<53 && f > -1<<53 {
		return 0, failure.Bad(name, "%s must be a whole number, not %s.", name, clip(raw))
	}
	if n < least {
		return 0, failure.Bad(name, "%s must be at least %d, not %s.", name, least, clip(raw))
	}
	return n, nil
}

// noLeast marks numbers that may be negative.
const noLeast = -1 << 62

func (v *View) fillNumbers(m *members) *failure.Error {
	var fail *failure.Error
	if v.N, fail = integer("n", m.n, 1, 1); fail != nil {
		return fail
	}
	if v.N > maxChoices {
		return failure.Bad("n", "n must be at most %d.", maxChoices)
	}
	if v.Priority, fail = integer("priority", m.priority, 0, noLeast); fail != nil {
		return fail
	}
	// The later name wins where both are given, as in vLLM. What a limit below one means is the engine's affair.
	for _, limit := range [...]struct {
		name string
		raw  []byte
	}{{"max_output_tokens", m.maxOutput}, {"max_tokens", m.maxTokens}, {"max_completion_tokens", m.maxCompletion}} {
		n, fail := integer(limit.name, limit.raw, 0, noLeast)
		if fail != nil {
			return fail
		}
		if n > 0 {
			v.MaxTokens = min(n, math.MaxInt32)
		}
	}
	return nil
}

// fillCaller takes what names the user and the conversation.
func (v *View) fillCaller(m *members) *failure.Error {
	if fail := oneOf("user", m.user, "a string", tokenize.String); fail != nil {
		return fail
	}
	v.User = tokenize.StringOf(m.user)
	if v.User == "" && tokenize.KindOf(m.metadata) == tokenize.Object && (v.Family == Messages || v.Family == CountTokens) {
		v.User = tokenize.StringOf(tokenize.Find(m.metadata, "user_id"))
	}
	conversation := m.conversation
	if tokenize.KindOf(conversation) == tokenize.Object {
		conversation = tokenize.Find(conversation, "id")
	}
	for _, raw := range [...][]byte{m.session, m.cacheKey, conversation} {
		if v.Session == "" {
			v.Session = tokenize.StringOf(raw)
		}
	}
	if v.Family == Responses {
		v.PreviousResponse = tokenize.StringOf(m.previous)
		v.Background = isTrue(m.background)
	}
	return nil
}

// fillPrompt checks the kinds of what makes the prompt.
func (v *View) fillPrompt(m *members) *failure.Error {
	if v.Family == Chat || v.Family == Messages || v.Family == CountTokens {
		if absent(m.messages) {
			return failure.Bad("messages", "messages is missing.")
		}
	}
	if fail := oneOf("messages", m.messages, "an array", tokenize.Array); fail != nil {
		return fail
	}
	if fail := oneOf("tools", m.tools, "an array", tokenize.Array); fail != nil {
		return fail
	}
	if fail := oneOf("system", m.system, "a string or an array", tokenize.String, tokenize.Array); fail != nil {
		return fail
	}
	if v.Family == Completions || v.Family == Tokenize {
		if fail := oneOf("prompt", m.prompt, "a string or an array", tokenize.String, tokenize.Array); fail != nil {
			return fail
		}
	}
	if v.Family == Responses || v.Family == Embeddings {
		if fail := oneOf("input", m.input, "a string or an array", tokenize.String, tokenize.Array); fail != nil {
			return fail
		}
	}
	return v.countMessages("messages", m.messages)
}

// countMessages counts the messages and fails at one that is no object.
func (v *View) countMessages(name string, raw []byte) *failure.Error {
	if absent(raw) {
		return nil
	}
	w := tokenize.WalkTrusted(raw)
	for ; w.Next(); v.MessageCount++ {
		if k := tokenize.KindOf(w.Value); k != tokenize.Object {
			where := name + "[" + strconv.Itoa(v.MessageCount) + "]"
			return failure.Bad(where, "%s must be an object, not %s.", where, k)
		}
	}
	return nil
}

// fillChoices multiplies the choices by the prompts of a completions request.
func (v *View) fillChoices(m *members) *failure.Error {
	if v.Family == Responses {
		if tokenize.KindOf(m.input) == tokenize.Array {
			return v.countMessages("input", m.input)
		}
		v.MessageCount = 1
	}
	if v.Family != Completions || tokenize.KindOf(m.prompt) != tokenize.Array {
		return nil
	}
	prompts := 0
	w := tokenize.WalkTrusted(m.prompt)
	for w.Next() {
		if tokenize.KindOf(w.Value) == tokenize.Number { // one prompt, of token ids
			return nil
		}
		prompts++
	}
	v.N *= max(1, prompts)
	return nil
}

// fillSource names the spans that make the prompt.
func (v *View) fillSource(m *members) {
	s := &v.Source
	s.Model, s.Salt = v.Model, m.salt
	switch v.Family {
	case Chat:
		s.Form, s.Messages, s.Tools = tokenize.Chat, m.messages, m.tools
		s.TemplateArgs, s.Documents = m.args, m.documents
		if absent(m.tools) {
			s.Tools = m.functions
		}
	case Completions:
		s.Form, s.Prompt = tokenize.Completion, m.prompt
	case Responses:
		s.Form, s.Instructions, s.Input, s.Tools, s.TemplateArgs = tokenize.Responses, m.instructions, m.input, m.tools, m.args
	case Messages, CountTokens:
		s.Form, s.System, s.Messages, s.Tools, s.TemplateArgs = tokenize.Messages, m.system, m.messages, m.tools, m.args
	case Rerank:
		s.Prompt, s.Input = m.query, m.documents
	case Score:
		s.Prompt, s.Input = first(m.text1, m.queries, m.data1), first(m.text2, m.documents, m.data2)
	case Detokenize:
		s.Input = m.tokens
	default:
		s.Messages, s.Prompt, s.Input = m.messages, m.prompt, first(m.input, m.text)
	}
}

func first(raws ...[]byte) []byte {
	for _, raw := range raws {
		if !absent(raw) {
			return raw
		}
	}
	return nil
}

package provider

import (
	"encoding/json"

	"github.com/warmlane/warmlane/gateway/failure"
)

// treatment is what becomes of a field of chat/completions at a kind of provider.
type treatment uint8

const (
	dropped treatment = iota // a hint or a preference: the answer is right without it
	taken                    // it has a counterpart
	refused                  // the answer would not be what was asked for: 400, unless the value is harmless
)

// dialect is a column of the table of fields.
type dialect uint8

const (
	atAnthropic dialect = iota
	atGemini
	atBedrock
)

// chatFields is the whole table; a field that is not in it is dropped everywhere. README.md shows it.
var chatFields = []struct {
	name string
	at   [3]treatment
	how  string
}{
	{"max_completion_tokens, max_tokens", [3]treatment{taken, taken, taken}, "Anthropic needs one: 16384 where the client has none"},
	{"temperature", [3]treatment{taken, taken, taken}, "Claude: up to 1, and only by models before 4.7; later ones refuse it"},
	{"top_p", [3]treatment{taken, taken, taken}, "Claude: as temperature, and only without it"},
	{"top_k", [3]treatment{dropped, taken, dropped}, "not OpenAI's, but common"},
	{"stop", [3]treatment{taken, taken, taken}, ""},
	{"tools, tool_choice", [3]treatment{taken, taken, taken}, "functions only; Bedrock has no choice none: the tools are left out, or 400 where the conversation has called some"},
	{"parallel_tool_calls", [3]treatment{taken, dropped, dropped}, ""},
	{"response_format", [3]treatment{taken, taken, taken}, "json_schema has a counterpart everywhere; json_object at Anthropic and Bedrock is an instruction"},
	{"reasoning_effort", [3]treatment{taken, taken, taken}, "Claude from 4.6 on: adaptive thinking (Bedrock: effort, up to high); Gemini 2: a budget, later: a level"},
	{"thinking", [3]treatment{taken, dropped, dropped}, "Anthropic's own, passed on as it is"},
	{"n", [3]treatment{refused, taken, refused}, ""},
	{"seed", [3]treatment{dropped, taken, dropped}, ""},
	{"frequency_penalty", [3]treatment{dropped, taken, dropped}, ""},
	{"presence_penalty", [3]treatment{dropped, taken, dropped}, ""},
	{"user, safety_identifier", [3]treatment{taken, dropped, dropped}, "metadata.user_id"},
	{"logprobs", [3]treatment{refused, refused, refused}, ""},
	{"top_logprobs", [3]treatment{refused, refused, refused}, ""},
	{"logit_bias", [3]treatment{refused, refused, refused}, "token numbers mean something else there"},
	{"functions", [3]treatment{refused, refused, refused}, "OpenAI's old form; use tools"},
	{"function_call", [3]treatment{refused, refused, refused}, ""},
	{"modalities", [3]treatment{refused, refused, refused}, "[\"text\"] is harmless"},
	{"audio", [3]treatment{refused, refused, refused}, ""},
	{"web_search_options", [3]treatment{refused, refused, refused}, ""},
	{"moderation", [3]treatment{refused, refused, refused}, ""},
}

// harmless are the values with which a field asks for nothing.
var harmless = map[string]bool{"null": true, "false": true, "0": true, "\"\"": true, "[]": true, "{}": true}

// checkFields refuses what the provider cannot do.
func checkFields(body []byte, at dialect) *failure.Error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return failure.New(failure.BadRequest, "The request is no JSON object.").Because(err)
	}
	for i := range chatFields {
		f := &chatFields[i]
		value, ok := fields[f.name]
		if !ok || f.at[at] != refused || harmless[string(value)] ||
			f.name == "n" && string(value) == "1" || f.name == "modalities" && asksTextOnly(value) {
			continue
		}
		return unsupported(f.name, "%s cannot be used with this model: its provider has no counterpart.", f.name)
	}
	return nil
}

func asksTextOnly(value []byte) bool {
	var names []string
	return json.Unmarshal(value, &names) == nil && len(names) == 1 && names[0] == "text"
}

// unsupported is the failure of what cannot be translated.
func unsupported(param, format string, args ...any) *failure.Error {
	e := failure.Newf(failure.Unsupported, format, args...)
	e.Param = param
	return e
}

package provider

import (
	"slices"
	"strings"
)

// Kind is one sort of outside service: where it is found, and in what it differs from OpenAI.
type Kind struct {
	Name string
	// Bases are its base URLs, up to and including the version. The first is the default, the others are chosen by region. None: the
	// configuration has to name one.
	Bases []Base
	// RegionNeeded services are found by a region that the account has, in place of a base URL.
	RegionNeeded bool
	// Keyless services may be used without a key.
	Keyless bool
	// Versioned services take an api_version; Version is the default, "" = the configuration has to name one.
	Versioned bool
	Version   string
	// Organized services take an organization and a project.
	Organized bool

	// Deployments are paths that name the model, as dated versions of Azure's API have them.
	Deployments bool
	// KeyHeader carries the bare key; "" = Authorization: Bearer.
	KeyHeader string
	// Strict services refuse requests with fields that they do not know: those that only inference engines have are taken out,
	// as far as the answer stays what was asked for.
	Strict bool
	// Known are such fields that it takes all the same.
	Known []string
	// Renamed fields have another name there; those renamed to "" are taken out.
	Renamed map[string]string
	// CountsUnasked services send usage with each stream and know no stream_options.
	CountsUnasked bool
	// PromptForbidden services answer 403 to prompts rather than to keys.
	PromptForbidden bool
}

// Base is where a service is found in one region.
type Base struct{ Region, URL string }

// Kinds returns what can be configured, by name: the kinds that speak OpenAI's protocol and those with a translation.
//
// The sources of URLs and quirks are the services' own pages and SDKs as of November 2026, named at each entry. None of them was
// tried against the live service.
func Kinds() []Kind {
	kinds := []Kind{
		// Base URL: openai 3.57.0 (PyPI), _client.py. max_tokens is deprecated and refused by reasoning models:
		// types/chat/completion_create_params.py.
		{
			Name: "openai", Bases: []Base{{"", openAIBase}}, Organized: true, Strict: true,
			Renamed: map[string]string{"max_tokens": "max_completion_tokens"},
		},
		// Paths, api-key header and api-version: openai 3.57.0 (PyPI), lib/azure.py. 2024-10-21 is the latest dated stable version:
		// learn.microsoft.com/azure/ai-services/openai/reference. "v1" is the undated API, in which the model is the deployment:
		// openai-node, docs/azure.md.
		{
			Name: "azure", Versioned: true, Version: "2024-10-21", Deployments: true, KeyHeader: "Api-Key", Strict: true,
			Renamed: map[string]string{"max_tokens": "max_completion_tokens"},
		},
		// www.alibabacloud.com/help/model-studio/base-url; keys belong to one region.
		{Name: "dashscope", Bases: []Base{
			{"cn", "https://dashscope.aliyuncs.com/compatible-mode/v1"},
			{"intl", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"},
			{"us", "https://dashscope-us.aliyuncs.com/compatible-mode/v1"},
			{"hk", "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1"},
		}},
		// api-docs.deepseek.com (first call; rate limit: blank lines and comments while a request waits; error codes: 402 without credit).
		{
			Name: "deepseek", Bases: []Base{{"", "https://api.deepseek.com"}},
			Renamed: map[string]string{"max_completion_tokens": "max_tokens"},
		},
		// platform.moonshot.cn and platform.moonshot.ai, docs/api; keys belong to one of the two.
		{Name: "moonshot", Bases: []Base{{"cn", "https://api.moonshot.cn/v1"}, {"intl", "https://api.moonshot.ai/v1"}}},
		// docs.bigmodel.cn and docs.z.ai/api-reference/api-code: 429 tells of an empty account too.
		{
			Name: "zhipu", Bases: []Base{{"cn", "https://open.bigmodel.cn/api/paas/v4"}, {"intl", "https://api.z.ai/api/paas/v4"}},
			Renamed: map[string]string{"max_completion_tokens": "max_tokens"},
		},
		// docs.siliconflow.cn/en/faqs/error-code and docs.siliconflow.com: errors are flat, {"code", "message", "data"}.
		{Name: "siliconflow", Bases: []Base{{"cn", "https://api.siliconflow.cn/v1"}, {"intl", "https://api.siliconflow.com/v1"}}},
		// cloudwego.io/docs/eino/ecosystem/chat_model/chat_model_ark: the model may be an endpoint's id, ep-...
		{Name: "volcengine", Bases: []Base{{"", "https://ark.cn-beijing.volces.com/api/v3"}}},
		// openrouter.ai/docs/api/reference/streaming (comments; errors within a stream) and .../errors-and-debugging (402 without
		// credit, 403 for flagged prompts).
		{Name: "openrouter", Bases: []Base{{"", "https://openrouter.ai/api/v1"}}, PromptForbidden: true},
		// docs.ollama.com/api/openai-compatibility: a local server wants no key.
		{
			Name: "ollama", Bases: []Base{{"", "http://localhost:11434/v1"}, {"cloud", "https://ollama.com/v1"}}, Keyless: true,
			Renamed: map[string]string{"max_completion_tokens": "max_tokens"},
		},
		// console.groq.com/docs/openai; groq 1.7.0 (PyPI).
		{
			Name: "groq", Bases: []Base{{"", "https://api.groq.com/openai/v1"}}, Strict: true, Known: []string{"include_reasoning"},
			Renamed: map[string]string{"max_tokens": "max_completion_tokens"},
		},
		// mistralai 3.7.0 (PyPI), client/sdkconfiguration.py and client/models/chatcompletionrequest.py: fields beyond the latter's
		// are refused with 422, stream_options among them (github.com/dnakov/anon-kode/issues/53).
		{
			Name: "mistral", Bases: []Base{
				{"", "https://api.mistral.ai/v1"}, {"eu", "https://api.eu.mistral.ai/v1"}, {"us", "https://api.us.mistral.ai/v1"},
			},
			Strict: true, Known: []string{"top_k", "min_tokens", "repetition_penalty"}, CountsUnasked: true,
			Renamed: map[string]string{"max_completion_tokens": "max_tokens", "seed": "random_seed", "user": "", "store": ""},
		},
		// docs.x.ai/api/integrations
		{Name: "xai", Bases: []Base{{"", "https://api.x.ai/v1"}}},
		// docs.together.ai/docs/inference/openai-compatibility and .../error-codes: 403 is a prompt that is too long.
		{Name: "together", Bases: []Base{{"", "https://api.together.ai/v1"}}, PromptForbidden: true},
		// fireworks.ai/docs: models are called accounts/fireworks/models/NAME.
		{Name: "fireworks", Bases: []Base{{"", "https://api.fireworks.ai/inference/v1"}}},
	}
	for _, k := range []Kind{{Name: "anthropic"}, {Name: "gemini"}, {Name: "bedrock", RegionNeeded: true}} {
		if translator, ok := Translation(k.Name, Options{}); ok {
			if base := translator.BaseURL(); base != "" && !k.RegionNeeded {
				k.Bases = []Base{{"", base}}
			}
			kinds = append(kinds, k)
		}
	}
	return kinds
}

const openAIBase = "https://api.openai.com/v1"

// KindOf returns the kind of that name, nil if there is none.
func KindOf(name string) *Kind {
	kinds := Kinds()
	if i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return &kinds[i]
	}
	return nil
}

// Names returns the names of all kinds.
func Names() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// Base returns the base URL in a region, "" = the default one; false if the kind has no such region, or no base URL at all.
func (k *Kind) Base(region string) (string, bool) {
	if k.RegionNeeded && region != "" {
		t, ok := Translation(k.Name, Options{Region: region})
		return t.BaseURL(), ok
	}
	for _, b := range k.Bases {
		if region == "" || b.Region == region {
			return b.URL, true
		}
	}
	return "", false
}

// Regions returns the names of the regions that can be chosen, none if there is nothing to choose.
func (k *Kind) Regions() []string {
	var names []string
	for _, b := range k.Bases {
		if b.Region != "" {
			names = append(names, b.Region)
		}
	}
	return names
}

// at returns the kind as it is at a base URL: another address than OpenAI's own is some server that speaks its protocol, of whose
// habits nothing is known.
func (k Kind) at(base string) Kind {
	if k.Name == "openai" && strings.TrimRight(base, "/") != openAIBase {
		k.Strict, k.Renamed = false, nil
	}
	return k
}

// engineOnly says whether a field is one that inference engines have beyond OpenAI's API, and without which the answer still is
// what was asked for: sampling, scheduling and transport of vLLM 0.11 and SGLang 0.5. Fields that shape the answer, such as
// guided_json, are not among them: a service that cannot do that has to refuse.
func engineOnly(field string) bool {
	switch field {
	case "top_k", "min_p", "repetition_penalty", "length_penalty", "min_tokens", "ignore_eos", "skip_special_tokens",
		"spaces_between_special_tokens", "include_stop_str_in_output", "truncate_prompt_tokens", "add_generation_prompt",
		"add_special_tokens", "chat_template_kwargs", "mm_processor_kwargs", "include_reasoning", "return_token_ids",
		"return_tokens_as_token_ids", "request_id", "cache_salt", "kv_transfer_params", "priority", "vllm_xargs",
		"session_id", "rid", "separate_reasoning", "stream_reasoning", "no_stop_trim", "data_parallel_rank":
		return true
	}
	return false
}

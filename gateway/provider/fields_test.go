package provider

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/failure"
)

// The README's table is the one that the code goes by.
func TestFields_ReadmeShowsTheTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	words := [...]string{dropped: "dropped", taken: "yes", refused: "400"}
	for _, f := range chatFields {
		row := fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", strings.ReplaceAll(f.name, ", ", "`, `"),
			words[f.at[atAnthropic]], words[f.at[atGemini]], words[f.at[atBedrock]], f.how)
		if !strings.Contains(string(readme), row) {
			t.Errorf("README.md has no row\n%s", row)
		}
	}
}

func TestFields_WhatAsksForNothingIsHarmless(t *testing.T) {
	f := func(field string, refused bool) {
		t.Helper()
		body := `{"model":"m","messages":[{"role":"user","content":"hi"}],` + field + `}`
		for kind := range kindsUnderTest {
			_, fail := translator(t, kind).Request(asked(t, "/v1/chat/completions", []byte(body)))
			if (fail != nil) != refused {
				t.Errorf("%s, %s: %v", kind, field, fail)
			}
			if fail != nil && (fail.Kind != failure.Unsupported || fail.HTTPStatus() != 400 || fail.Param == "") {
				t.Errorf("%s, %s: status %d, code %q, param %q", kind, field, fail.HTTPStatus(), fail.Code, fail.Param)
			}
		}
	}
	f(`"n":1`, false)
	f(`"logprobs":false,"top_logprobs":0,"logit_bias":{},"functions":[],"audio":null`, false)
	f(`"modalities":["text"]`, false)
	f(`"modalities":["text","audio"]`, true)
	f(`"logprobs":true`, true)
	f(`"top_logprobs":2`, true)
	f(`"logit_bias":{"50256":-100}`, true)
	f(`"functions":[{"name":"f"}]`, true)
	f(`"web_search_options":{"search_context_size":"low"}`, true)
	f(`"seed":1,"store":true,"prediction":{"type":"content","content":"x"},"service_tier":"flex","guided_json":{}`, false)
	f(`"tools":[{"type":"custom","custom":{"name":"x"}}]`, true)
	f(`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools"}`, true)
}

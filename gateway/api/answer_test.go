package api

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/failure"
)

func TestInspect_RealEngines(t *testing.T) {
	for _, c := range []struct {
		file   string
		family Family
		text   string
		usage  Usage
	}{
		{"vllm-chat.json", Chat, ".YES fabulous.YES fabulous.YES fabulous", Usage{10, 0, 6}},
		{"vllm-completions.json", Completions, "", Usage{4, -1, 4}},
		{"vllm-messages.json", Messages, ".homblocksazersboards", Usage{9, -1, 4}},
		{"vllm-responses.json", Responses, " Foster副市长 gerektiğini曰", Usage{9, 0, 4}},
		{"llamacpp-chat.json", Chat, "I'm glad you're here", Usage{32, 0, 6}},
		{"llamacpp-messages.json", Messages, "", Usage{31, 30, 4}},
		{"llamacpp-responses.json", Responses, "", Usage{}},
		{"llamacpp-completions.json", Completions, "", Usage{}},
	} {
		var sink recorder
		a, ok := Inspect(c.family, golden(t, c.file), &sink)
		if !ok || a.Err != nil || a.ID == "" || sink.text.Len() == 0 {
			t.Errorf("%s: %+v, text %q", c.file, a, sink.text.String())
		}
		if c.text != "" && sink.text.String() != c.text || c.usage != (Usage{}) && a.Usage != c.usage {
			t.Errorf("%s: %+v, text %q", c.file, a.Usage, sink.text.String())
		}
	}
}

func TestInspect_ToolsAndReasoning(t *testing.T) {
	for family, body := range map[Family]string{
		Chat:      `{"choices":[{"index":1,"message":{"content":"no"}},{"index":0,"message":{"tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"f"}}],"content":"yes","reasoning":"hm"}}]}`,
		Messages:  `{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"yes"},{"type":"tool_use","name":"f","input":{"a":1}}]}`,
		Responses: `{"output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"yes"}]},{"type":"function_call","name":"f","arguments":"{\"a\":1}"}]}`,
	} {
		var sink recorder
		a, ok := Inspect(family, []byte(body), &sink)
		if !ok || !a.Reasoned || sink.text.String() != "yes" || sink.tools.String() != `|f:{"a":1}` {
			t.Errorf("%v: %+v, text %q, tools %q", family, a, sink.text.String(), sink.tools.String())
		}
	}
}

func TestInspect_ErrorsAndOddBodies(t *testing.T) {
	if a, ok := Inspect(Chat, golden(t, "vllm-refused.json"), nil); !ok || a.Err == nil || a.Err.Code != 503 || a.Usage != NoUsage {
		t.Errorf("%+v", a)
	}
	for _, body := range []string{``, `null`, `[]`, `{"a":`, `{"choices":[]}x`} {
		if a, ok := Inspect(Chat, []byte(body), nil); ok || a.Usage != NoUsage {
			t.Errorf("%q is taken for an answer", body)
		}
	}
	for _, body := range []string{`{}`, `{"choices":1,"usage":[],"content":{},"output":0}`, `{"choices":[1,{"message":2}],"content":[1],"output":[{}]}`} {
		for _, f := range []Family{Chat, Completions, Messages, Responses, Embeddings} {
			if _, ok := Inspect(f, []byte(body), &recorder{}); !ok {
				t.Errorf("%v: %s is no object", f, body)
			}
		}
	}
}

// anthropicError has the types that Anthropic's API documents.
var anthropicError = regexp.MustCompile(`^{"type":"error","error":{"message":"[^"]+","type":"((invalid_request|authentication|permission|not_found|rate_limit|api|overloaded|timeout)_error|request_too_large)",`)

func TestErrorBody_OpenAIForm(t *testing.T) {
	e := failure.Bad("n", "n is \"odd\"\x01\u2028.")
	var got struct {
		Error struct {
			Message, Type, Code string
			Param               *string
		}
	}
	if err := json.Unmarshal(ErrorBody(Chat, e), &got); err != nil {
		t.Fatal(err)
	}
	if got.Error.Message != e.Message || got.Error.Type != "invalid_request_error" || got.Error.Code != "invalid_request" || *got.Error.Param != "n" {
		t.Errorf("%+v", got)
	}
	for _, k := range failure.Kinds() {
		e := failure.New(k, "x\xff")
		if body := string(ErrorBody(Messages, e)); !json.Valid([]byte(body)) || !anthropicError.MatchString(body) {
			t.Errorf("%v: Anthropic's SDK reads %s", k, body)
		}
		e.Code = "own"
		if body := ErrorBody(Chat, e); !json.Valid(body) || !strings.Contains(string(body), `"param":null,"code":"own"`) {
			t.Errorf("%v: %s", k, body)
		}
	}
}

func TestModels_OpenAIForm(t *testing.T) {
	tuned := Model{ID: "tuned", Created: 5, OwnedBy: "warmlane", MaxModelLen: 4096, Parent: "tiny"}
	const card = `{"id":"tuned","object":"model","created":5,"owned_by":"warmlane","max_model_len":4096,"parent":"tiny"}`
	if got := ModelCard(tuned); string(got) != card {
		t.Errorf("%s", got)
	}
	bare := Model{ID: "a\"b", OwnedBy: "warmlane"}
	const want = `{"object":"list","data":[` + card + `,{"id":"a\"b","object":"model","created":0,"owned_by":"warmlane"}]}`
	if got := ModelList([]Model{tuned, bare}); string(got) != want {
		t.Errorf("%s", got)
	}
	if got := ModelList(nil); string(got) != `{"object":"list","data":[]}` {
		t.Errorf("%s", got)
	}
}

func TestFind_Paths(t *testing.T) {
	for path, want := range map[string]Family{
		"/v1/chat/completions": Chat, "/v1/completions": Completions, "/v1/responses": Responses, "/v1/messages": Messages,
		"/v1/messages/count_tokens": CountTokens, "/v1/embeddings": Embeddings, "/rerank": Rerank, "/v1/rerank": Rerank, "/v2/rerank": Rerank,
		"/score": Score, "/v1/score": Score, "/classify": Classify, "/v1/classify": Classify, "/pooling": Pooling, "/tokenize": Tokenize, "/detokenize": Detokenize,
		"/v1/audio/transcriptions": Transcriptions, "/v1/audio/translations": Translations, "/v1/audio/speech": Speech,
		"/v1/models": Models, "/v1/models/org/name": ModelByID, "/health": Health, "/v1/responses/resp_1": ResponseByID, "/v1/responses/resp_1/cancel": ResponseByID,
	} {
		ep, ok := Find([]byte(path))
		if !ok || ep.Family != want || ep.Path != path || ep.Family.String() == "unknown" {
			t.Errorf("%s: %+v", path, ep)
		}
		if !ep.Takes([]byte(ep.Method)) {
			t.Errorf("%s does not take %s", path, ep.Method)
		}
		if ep.Takes([]byte("DELETE")) {
			t.Errorf("%s takes DELETE", path)
		}
	}
	for _, path := range []string{
		"", "/", "/v1", "/v1/chat/completions/", "/v1/Models", "/v1/responses/", "/v1/responses/a/b", "/v1/responses/../x", "/v1/responses/..",
		"/v1/responses/a%2fb", "/v1/responses//cancel", "/v1/models/", "/metrics", "/invocations",
	} {
		if ep, ok := Find([]byte(path)); ok {
			t.Errorf("%s is %+v", path, ep)
		}
	}
	if ep, _ := Find([]byte("/v1/responses/resp_1/cancel")); !ep.Cancel || ep.ID != "resp_1" || ep.Method != "POST" {
		t.Errorf("%+v", ep)
	}
	if ep, _ := Find([]byte("/health")); !ep.Takes([]byte("HEAD")) {
		t.Error("HEAD /health is refused")
	}
}

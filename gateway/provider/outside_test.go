package provider_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/warmlane/warmlane/bench/outside"
	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/provider"
)

// service is a simulated service and the translator for it.
type service struct {
	kind       string
	handler    http.Handler
	key        string
	translator provider.Translator
}

func services(t *testing.T) []*service {
	t.Helper()
	all := []*service{
		{kind: "anthropic", handler: &outside.Anthropic{Key: "sk-ant-1"}, key: "sk-ant-1"},
		{kind: "gemini", handler: &outside.Gemini{Key: "AIza-1"}, key: "AIza-1"},
		{kind: "bedrock", handler: &outside.Bedrock{KeyID: "AKID1", Secret: "secret/1", Region: "eu-west-1"}, key: "AKID1:secret/1"},
	}
	for _, s := range all {
		tr, ok := provider.Translation(s.kind, provider.Options{Region: "eu-west-1"})
		if !ok {
			t.Fatal(s.kind)
		}
		s.translator = tr
	}
	return all
}

// each runs f against every service over real sockets.
func each(t *testing.T, f func(t *testing.T, s *service, ask func(key, body string) (*provider.Call, *http.Response, []byte))) {
	for _, s := range services(t) {
		t.Run(s.kind, func(t *testing.T) {
			server := httptest.NewServer(s.handler)
			defer server.Close()
			f(t, s, func(key, body string) (*provider.Call, *http.Response, []byte) {
				t.Helper()
				path := "/v1/chat/completions"
				if strings.Contains(body, `"input"`) {
					path = "/v1/embeddings"
				}
				ep, _ := api.Find([]byte(path))
				v, fail := api.Read(ep, nil, []byte(body))
				if fail != nil {
					t.Fatal(fail)
				}
				call, fail := s.translator.Request(&provider.Query{
					Family: ep.Family, Body: []byte(body), Model: v.Model, Stream: v.Stream, ID: "r1", Now: time.Unix(1764460800, 0),
				})
				if fail != nil {
					t.Fatal(fail)
				}
				return post(t, s.translator, server.URL, key, call)
			})
		})
	}
}

func post(t *testing.T, tr provider.Translator, base, key string, call *provider.Call) (*provider.Call, *http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), call.Method, base+strings.TrimSuffix(call.Path+"?"+call.Query, "?"), bytes.NewReader(call.Body))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := tr.Authorize(call, r.Host, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(call.Header)+string(lines), "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body) // a stream may be cut on purpose
	return call, answer, body
}

const tools = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"town":{"type":"string"}}}}}]`

func TestOutside_WholeAnswer(t *testing.T) {
	each(t, func(t *testing.T, s *service, ask func(key, body string) (*provider.Call, *http.Response, []byte)) {
		call, answer, body := ask(s.key, `{"model":"gemini-3-x","max_tokens":50,"temperature":0.3,"stop":"x","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"think hard"}]}`)
		if answer.StatusCode != 200 {
			t.Fatalf("status %d: %s", answer.StatusCode, body)
		}
		out, fail := call.Answer(body)
		if fail != nil {
			t.Fatal(fail)
		}
		got := gjson.GetManyBytes(out, "choices.0.message.content", "choices.0.message.reasoning_content", "choices.0.finish_reason",
			"usage.prompt_tokens", "usage.completion_tokens", "usage.prompt_tokens_details.cached_tokens")
		want := []string{"Hello from " + s.kind + ".", "Let me think.", "stop", "120", "12", "100"}
		for i, w := range want {
			if got[i].String() != w {
				t.Errorf("%q in place of %q in %s", got[i], w, out)
			}
		}
	})
}

func TestOutside_ToolsAreCalledAndAnswered(t *testing.T) {
	each(t, func(t *testing.T, s *service, ask func(key, body string) (*provider.Call, *http.Response, []byte)) {
		call, _, body := ask(s.key, `{"model":"gemini-3-x","messages":[{"role":"user","content":"call"}],`+tools+`}`)
		out, fail := call.Answer(body)
		if fail != nil {
			t.Fatalf("%v: %s", fail, body)
		}
		message := gjson.GetBytes(out, "choices.0.message")
		if n := message.Get("tool_calls.#").Int(); n != 2 || gjson.GetBytes(out, "choices.0.finish_reason").Str != "tool_calls" {
			t.Fatalf("%d calls: %s", n, out)
		}
		if args := message.Get("tool_calls.1.function.arguments").Str; gjson.Get(args, "town").Str != "Rome" {
			t.Errorf("arguments %s", args)
		}
		// What a client sends back: the message as it is, and a result for each call.
		_, answer, body := ask(s.key, `{"model":"gemini-3-x","messages":[{"role":"user","content":"call"},`+message.Raw+
			`,{"role":"tool","tool_call_id":"`+message.Get("tool_calls.0.id").Str+`","content":"rain"},{"role":"tool","tool_call_id":"`+
			message.Get("tool_calls.1.id").Str+`","content":"{\"sky\":\"sun\"}"},{"role":"user","content":"so?"}],`+tools+`}`)
		if answer.StatusCode != 200 {
			t.Errorf("status %d: %s", answer.StatusCode, body)
		}
	})
}

func TestOutside_Streams(t *testing.T) {
	each(t, func(t *testing.T, s *service, ask func(key, body string) (*provider.Call, *http.Response, []byte)) {
		f := func(words string, check func(s *api.Stream, out []byte)) {
			t.Helper()
			call, answer, body := ask(s.key, `{"model":"gemini-3-x","stream":true,"messages":[{"role":"user","content":"`+words+`"}],`+tools+`}`)
			if answer.StatusCode != 200 {
				t.Fatalf("status %d: %s", answer.StatusCode, body)
			}
			out := call.Decoder().Feed(body)
			stream := api.NewStream(api.Chat, 1, true)
			stream.Feed(out, nil)
			check(stream, out)
		}
		f("think", func(stream *api.Stream, out []byte) {
			if !stream.Complete || !stream.Terminated || !stream.Reasoned || stream.Usage != (api.Usage{Prompt: 120, Cached: 100, Output: 12}) {
				t.Errorf("%+v of\n%s", stream.Usage, out)
			}
		})
		f("call", func(stream *api.Stream, out []byte) {
			args := map[int64]string{}
			for event := range bytes.SplitSeq(out, []byte("\n\n")) {
				for _, c := range gjson.GetBytes(bytes.TrimPrefix(event, []byte("data: ")), "choices.0.delta.tool_calls").Array() {
					args[c.Get("index").Int()] += c.Get("function.arguments").Str
				}
			}
			if !stream.Complete || len(args) != 2 || gjson.Get(args[1], "town").Str != "Rome" {
				t.Errorf("%v of\n%s", args, out)
			}
		})
		f("break", func(stream *api.Stream, out []byte) {
			if stream.Complete || stream.Err == nil || stream.Err.Code != 503 || stream.Events == 0 {
				t.Errorf("%+v of\n%s", stream.Err, out)
			}
		})
		f("cut", func(stream *api.Stream, out []byte) {
			if stream.Complete || stream.Err != nil || bytes.Contains(out, []byte("[DONE]")) {
				t.Errorf("a cut stream looks whole:\n%s", out)
			}
		})
	})
}

func TestOutside_Refusals(t *testing.T) {
	each(t, func(t *testing.T, s *service, ask func(key, body string) (*provider.Call, *http.Response, []byte)) {
		f := func(key, words string, kind failure.Kind, fate provider.KeyFate) {
			t.Helper()
			call, answer, body := ask(key, `{"model":"gemini-3-x","messages":[{"role":"user","content":"`+words+`"}]}`)
			header := func(name string) []byte { return []byte(answer.Header.Get(name)) }
			fail, got := call.Failure(answer.StatusCode, header, body)
			if fail.Kind != kind || got != fate || strings.Contains(fail.Message, key) {
				t.Errorf("%s: %v, key %d", words, fail, got)
			}
		}
		f("X"+s.key, "hi", failure.KeysRefused, provider.KeyRefused)
		f(s.key, "status 404", failure.ModelNotFound, provider.KeyFine)
		f(s.key, "status 429", failure.KeysRefused, provider.KeyLimited)
		f(s.key, "status 500", failure.EngineError, provider.KeyFine)
		full := "status 503"
		if s.kind == "anthropic" {
			full = "status 529"
		}
		f(s.key, full, failure.EngineRefused, provider.KeyFine)
	})
}

func TestOutside_Embeddings(t *testing.T) {
	each(t, func(t *testing.T, s *service, ask func(key, body string) (*provider.Call, *http.Response, []byte)) {
		if !s.translator.Takes(api.Embeddings) {
			t.Skip("has none")
		}
		call, _, body := ask(s.key, `{"model":"e","input":["a","b"],"encoding_format":"base64"}`)
		out, fail := call.Answer(body)
		if fail != nil || gjson.GetBytes(out, "data.1.embedding").Str != "AACAPwAAAD8AAIC+" { // 1, 0.5, -0.25
			t.Errorf("%v: %s", fail, out)
		}
	})
}

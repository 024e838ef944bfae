package provider

import (
	"net/http"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"

	"github.com/warmlane/warmlane/gateway/failure"
)

// Errors in the words of the services' own documentation, and what they say about the key.
func TestJudge_WhoseFaultAnErrorIs(t *testing.T) {
	f := func(kind string, status int, body string, want failure.Kind, fate KeyFate) {
		t.Helper()
		fail, got := KindOf(kind).Judge(status, none, []byte(body), start)
		if fail.Kind != want || got != fate {
			t.Errorf("%s %d %s: %v (%v), want %v (%v)", kind, status, body, fail.Kind, got, want, fate)
		}
	}
	f("openai", 401, `{"error":{"message":"Incorrect API key provided: sk-ab**ef.","type":"invalid_request_error","code":"invalid_api_key"}}`, failure.KeysRefused, KeyRefused)
	f("openai", 429, `{"error":{"message":"Rate limit reached for gpt-4.1 in organization org-1","type":"tokens","code":"rate_limit_exceeded"}}`, failure.KeysRefused, KeyLimited)
	f("openai", 429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`, failure.KeysRefused, KeyRefused)
	f("openai", 429, `{"error":{"message":"Request too large for gpt-4.1","type":"tokens","code":"rate_limit_exceeded"}}`, failure.EngineRefused, KeyFine)
	f("openai", 403, `{"error":{"message":"Country not supported","code":"unsupported_country_region_territory"}}`, failure.KeysRefused, KeyRefused)
	f("openai", 403, `{"error":{"message":"Project does not have access to model","code":"model_not_found"}}`, failure.BadRequest, KeyFine)
	f("openai", 400, `{"error":{"message":"bad","type":"invalid_request_error","param":"n","code":null}}`, failure.BadRequest, KeyFine)
	f("openai", 404, `{"error":{"message":"The model m does not exist","code":"model_not_found"}}`, failure.ModelNotFound, KeyFine)
	f("openai", 503, `{"error":{"message":"overloaded"}}`, failure.EngineRefused, KeyFine)
	f("openai", 500, `oops`, failure.EngineError, KeyFine)
	f("openai", 302, ``, failure.BadAnswer, KeyFine)
	f("deepseek", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}`, failure.KeysRefused, KeyRefused)
	f("dashscope", 400, `{"error":{"code":"Arrearage","param":null,"message":"Access denied, please make sure your account is in good standing.","type":"Arrearage"}}`, failure.KeysRefused, KeyRefused)
	f("dashscope", 429, `{"error":{"code":"limit_requests","message":"You exceeded your current requests list","type":"limit_requests"}}`, failure.KeysRefused, KeyLimited)
	f("moonshot", 429, `{"error":{"message":"You exceeded your current quota","type":"exceeded_current_quota_error"}}`, failure.KeysRefused, KeyRefused)
	f("moonshot", 429, `{"error":{"message":"The engine is currently overloaded","type":"engine_overloaded_error"}}`, failure.EngineRefused, KeyFine)
	f("zhipu", 429, `{"error":{"code":"1113","message":"no credit"}}`, failure.KeysRefused, KeyRefused)
	f("zhipu", 429, `{"error":{"code":"1302","message":"too many at once"}}`, failure.KeysRefused, KeyLimited)
	f("siliconflow", 403, `{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}`, failure.KeysRefused, KeyRefused)
	f("siliconflow", 400, `{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}`, failure.BadRequest, KeyFine)
	f("openrouter", 403, `{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"]}}}`, failure.BadRequest, KeyFine)
	f("openrouter", 402, `{"error":{"code":402,"message":"Insufficient credits"}}`, failure.KeysRefused, KeyRefused)
	f("together", 403, `{"error":{"message":"Input token count + max_tokens parameter must be less than the context length"}}`, failure.ContextLength, KeyFine)
	f("mistral", 422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","n"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}`, failure.BadRequest, KeyFine)
}

func TestJudge_ClientGetsTheServicesWords(t *testing.T) {
	for body, want := range map[string]string{
		`{"code":20012,"message":"Model does not exist.","data":null}`:                       "Model does not exist.",
		`{"object":"error","message":{"detail":[{"msg":"Extra inputs are not permitted"}]}}`: "Extra inputs are not permitted",
		`{"detail":[{"msg":"Field required"}]}`:                                              "Field required",
		`{"error":"model 'x' not found"}`:                                                    "model 'x' not found",
		`{"error":{"message":"no such thing"}}`:                                              "no such thing",
		`<html>`:                                                                             "The provider failed.",
	} {
		if fail, _ := KindOf("openai").Judge(400, none, []byte(body), start); fail.Message != want || fail.Status != 400 {
			t.Errorf("%s: %d %q", body, fail.Status, fail.Message)
		}
	}
}

func TestJudge_PromptThatIsTooLong(t *testing.T) {
	f := func(kind string, status int, body string) {
		t.Helper()
		if fail, _ := KindOf(kind).Judge(status, none, []byte(body), start); fail.Kind != failure.ContextLength || fail.Code != "" {
			t.Errorf("%s: %v, code %q", body, fail.Kind, fail.Code)
		}
	}
	f("openai", 400, `{"error":{"message":"too long","code":"context_length_exceeded"}}`)
	f("deepseek", 400, `{"error":{"message":"This model's maximum context length is 65536 tokens."}}`)
	f("dashscope", 400, `{"error":{"code":"invalid_parameter_error","message":"Range of input length should be [1, 129024]"}}`)
	f("together", 403, `{"error":{"message":"Input token count + max_tokens parameter must be less than the context length"}}`)
}

func none(string) []byte { return nil }

func TestJudge_RestThatIsTold(t *testing.T) {
	f := func(want time.Duration, header ...string) {
		t.Helper()
		h := map[string]string{}
		for i := 0; i < len(header); i += 2 {
			h[header[i]] = header[i+1]
		}
		fail, _ := KindOf("openai").Judge(429, func(name string) []byte { return []byte(h[name]) }, nil, start)
		if fail.RetryAfter != want {
			t.Errorf("%v: %v, want %v", header, fail.RetryAfter, want)
		}
	}
	f(0)
	f(7*time.Second, "Retry-After", "7")
	f(1500*time.Millisecond, "Retry-After", "1.5")
	f(250*time.Millisecond, "Retry-After-Ms", "250", "Retry-After", "1")
	f(90*time.Second, "Retry-After", start.Add(90*time.Second).Format(http.TimeFormat))
	f(0, "Retry-After", start.Add(-time.Hour).Format(http.TimeFormat))
	f(0, "Retry-After", "soon")
	f(0, "Retry-After", "-3")
	f(0, "Retry-After", "1e300")
	f(6*time.Minute, "X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "6m0s", "X-Ratelimit-Remaining-Tokens", "149984", "X-Ratelimit-Reset-Tokens", "12ms")
	f(7660*time.Millisecond, "X-Ratelimit-Remaining-Tokens", "0", "X-Ratelimit-Reset-Tokens", "7.66s", "X-Ratelimit-Remaining-Requests", "14370", "X-Ratelimit-Reset-Requests", "2m59.56s")
	f(30*time.Second, "X-Ratelimit-Reset", "1796040030000") // milliseconds since 1970
	f(30*time.Second, "X-Ratelimit-Reset", "1796040030")
	f(11*time.Second, "X-Ratelimit-Reset-Tokens", "11")
	f(0, "X-Ratelimit-Reset-Tokens", "6000h") // no client shall hear of that
}

// The kinds that are translated are told in the same words.
func TestJudge_RestThatIsToldAsADate(t *testing.T) {
	for _, kind := range []string{"anthropic", "gemini", "bedrock"} {
		p, err := New(Config{Kind: kind, BaseURL: "https://api.example.com", Region: "eu-west-1", Keys: []Key{{"k", 1}}, Now: func() time.Time { return start }})
		if err != nil {
			t.Fatal(err)
		}
		call, fail := p.translator.Request(&Query{Family: api.Chat, Body: []byte(`{"messages":[{"role":"user","content":"hi"}]}`), Model: "m"})
		if fail != nil {
			t.Fatal(fail)
		}
		date := start.Add(90 * time.Second).Format(http.TimeFormat)
		header := func(name string) []byte {
			if name == "Retry-After" {
				return []byte(date)
			}
			return nil
		}
		if fail := p.Judge(&Sending{call: call}, p.Keys.Take(start, nil), start, 429, header, nil); fail.RetryAfter != 90*time.Second {
			t.Errorf("%s: %v, want 1m30s", kind, fail.RetryAfter)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(429, "1", "6m0s", []byte(`{"error":{"message":"m","type":"t","code":"c"}}`))
	f.Add(400, "Wed, 21 Oct 2026 07:28:00 GMT", "1796040030000", []byte(`{"message":{"detail":[{"msg":"m"}]}}`))
	f.Fuzz(func(t *testing.T, status int, after, reset string, body []byte) {
		if status < 300 || status > 999 {
			return
		}
		header := func(name string) []byte {
			if name == "Retry-After" {
				return []byte(after)
			}
			return []byte(reset)
		}
		fail, fate := KindOf("openai").Judge(status, header, body, start)
		if fail.Kind == failure.None || fail.Message == "" || fail.RetryAfter < 0 || len(fail.Message) > longestWords {
			t.Errorf("%+v", fail)
		}
		if fate != KeyFine && (fail.Body != nil || fail.Kind != failure.KeysRefused) {
			t.Errorf("words about a key go to the client: %+v", fail)
		}
	})
}

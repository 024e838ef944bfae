package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// twoPools is a route over pool a, then pool b; each %s are further keys of a target.
const twoPools = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools:
  - {name: a, endpoints: [A], policy: round_robin, health: {interval: 1h}}
  - {name: b, endpoints: [B], policy: round_robin, health: {interval: 1h}}
routes: [{models: [m], targets: [{pool: a, model: at-a%s}, {pool: b, model: at-b%s}]%s}]
`

func newTwo(t *testing.T, a, b, keysA, keysB, keys string) *rig {
	t.Helper()
	return newRig(t, strings.NewReplacer("[A]", fmt.Sprintf("[%q]", a), "[B]", fmt.Sprintf("[%q]", b)).Replace(fmt.Sprintf(twoPools, keysA, keysB, keys)))
}

// naming is an engine that tells which model it was asked for.
func naming(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, model, _ := strings.Cut(string(body), `"model":"`)
	model, _, _ = strings.Cut(model, `"`)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, strings.Replace(answer, "hi!", model, 1))
}

// What each failure of the first target leads to, by what the route says.
func TestTargets_FallbackOn(t *testing.T) {
	const tooLong = `{"error":{"message":"This model's maximum context length is 10 tokens.","type":"BadRequestError","param":null,"code":400}}`
	dead := engine(t, good)
	dead.Close()
	for _, f := range []struct {
		name, on string
		bad      http.HandlerFunc
		failure  string // in the access line; "" when the second target must not be asked
	}{
		{"refused", "connect", nil, "no_endpoint"},
		{"refused, not named", "429", nil, ""},
		{"503 is a refusal", "429", status(503, `{}`), "engine_refused"},
		{"503 by number", "503", status(503, `{}`), "engine_refused"},
		{"500", "5xx", status(500, `{}`), "engine_error"},
		{"500 by number", "500", status(500, `{}`), "engine_error"},
		{"500, another number", "502", status(500, `{}`), ""},
		{"404 always", "connect", status(404, `{"error":{"message":"The model at-a does not exist.","code":404}}`), "model_unknown"},
		{"too long", "context_length", status(400, tooLong), "context_length"},
		{"too long, not named", "5xx", status(400, tooLong), ""},
		{"too long for vLLM's engine", "context_length", refusal("The decoder prompt (length 93016) is longer than the maximum model length of 65536. Make sure that `max_model_len` is no smaller than the number of text tokens."), "context_length"},
		{"an answer too long for vLLM", "context_length", refusal("max_tokens=8888 cannot be greater than max_model_len=max_total_tokens=3072. Please request fewer output tokens."), "context_length"},
		{"too long for SGLang", "context_length", refusal("The input (31996 tokens) is longer than the model's context length (16384 tokens)."), "context_length"},
		{"too long for SGLang's answer", "context_length", refusal("Requested token count exceeds the model's maximum context length of 16384 tokens. You requested a total of 17000 tokens: 15000 tokens from the input messages and 2000 tokens for the completion."), "context_length"},
		{"too long for SGLang's scheduler", "context_length", refusal("Input length (31996 tokens) exceeds the maximum allowed length (31994 tokens). Use a shorter input or enable --allow-auto-truncate."), "context_length"},
		{"too long, inside a 200", "context_length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, tooLong)
		}, "context_length"},
		{"no images", "connect", refusal("at-a is not a multimodal model"), "unsupported"},
		{"no tools", "connect", refusal(`\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set`), "unsupported"},
		{"501", "connect", status(501, `{"error":{"message":"This server does not support embeddings.","type":"not_supported_error","code":501}}`), "unsupported"},
		{"405", "connect", status(405, `{"detail":"Method Not Allowed"}`), "unsupported"},
		{"400", "connect, timeout, 429, 5xx, queue_full, context_length", status(400, `{"error":{"message":"bad","code":400}}`), ""},
		{"400 by number", "400", status(400, `{"error":{"message":"bad","code":400}}`), "bad_request"},
		{"401 by number", "401", status(401, `{}`), "engine_error"},
	} {
		t.Run(f.name, func(t *testing.T) {
			url := dead.URL
			if f.bad != nil {
				url, _ = counting(t, f.bad)
			}
			well, hits := counting(t, naming)
			r := newTwo(t, url, well, "", "", ", fallback_on: ["+f.on+"]")
			a := r.post(chat, plainChat)
			line := r.lastLine()
			if f.failure == "" {
				if a.status == 200 || hits.Load() != 0 || line["passed_over"] != nil {
					t.Errorf("answered %d %s by %v", a.status, a.body, line["pool"])
				}
				return
			}
			if a.status != 200 || !strings.Contains(a.body, "at-b") || a.header.Get("X-Warmlane-Target") != "b" {
				t.Errorf("answered %d %s, target %q", a.status, a.body, a.header.Get("X-Warmlane-Target"))
			}
			if line["passed_over"] != "a="+f.failure {
				t.Errorf("the access line says %v, want a=%s", line["passed_over"], f.failure)
			}
		})
	}
}

// refusal is an engine's 400 with these words, which are written as in JSON.
func refusal(words string) http.HandlerFunc {
	return status(400, `{"error":{"message":"`+words+`","type":"BadRequestError","param":null,"code":400}}`)
}

// A provider that has no counterpart for a field, or no such API, is passed over before anything is sent there.
func TestTargets_ProviderThatCannotExpressTheRequest(t *testing.T) {
	anthropic, asked := counting(t, good)
	well, _ := counting(t, good)
	r := newRig(t, fmt.Sprintf(claudeFirst, anthropic, well, "connect"))
	for path, body := range map[string]string{
		chat:             strings.Replace(plainChat, `"model"`, `"n":2,"model"`, 1),
		"/v1/embeddings": `{"model":"m","input":"hello"}`,
	} {
		a := r.post(path, body)
		if line := r.lastLine(); a.status != 200 || line["passed_over"] != "claude=unsupported" || a.header.Get("X-Warmlane-Tries") != "1" {
			t.Errorf("%s: answered %d %s, passed over %v", path, a.status, a.body, line["passed_over"])
		}
	}
	if asked.Load() != 0 {
		t.Errorf("%d requests reached the provider", asked.Load())
	}
}

// A provider whose model's context is too short is passed over by its own protocol's words.
func TestTargets_PromptTooLongForAProvider(t *testing.T) {
	anthropic, _ := counting(t, status(400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`))
	well, _ := counting(t, good)
	r := newRig(t, fmt.Sprintf(claudeFirst, anthropic, well, "context_length"))
	if a := r.post(chat, plainChat); a.status != 200 || r.lastLine()["passed_over"] != "claude=context_length" {
		t.Errorf("answered %d %s, passed over %v", a.status, a.body, r.lastLine()["passed_over"])
	}
}

// claudeFirst is a route over a provider, then a pool, with the conditions for the latter.
const claudeFirst = `
server: {lame_duck: 0s, drain: 2s}
providers: [{name: claude, kind: anthropic, base_url: %q, keys: [k]}]
pools: [{name: b, endpoints: [%q]}]
routes: [{models: [m], targets: [{provider: claude, model: c}, {pool: b}], fallback_on: [%s]}]
`

// When the last target cannot serve such requests, the client hears of the one before it, which may do so in a while.
func TestTargets_WorthComingBack(t *testing.T) {
	busy, _ := counting(t, status(503, `{"error":{"message":"busy","code":503}}`))
	small, _ := counting(t, refusal("This model's maximum context length is 10 tokens."))
	for name, order := range map[string][2]string{"busy, then too small": {busy, small}, "too small, then busy": {small, busy}} {
		a := newTwo(t, order[0], order[1], "", "", "").post(chat, plainChat)
		if a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: answered %d %s", name, a.status, a.body)
		}
	}
	if a := newTwo(t, small, small, "", "", "").post(chat, plainChat); a.status != 400 {
		t.Errorf("both too small: answered %d %s", a.status, a.body)
	}
}

// A target's own bounds on a stream's first event and on an answer in one piece hold, whatever its pool allows.
func TestTargets_FirstEvent(t *testing.T) {
	for body, bounds := range map[string]string{streamChat: ", first_event: 200ms", plainChat: ", answer: 200ms"} {
		passesAfter(t, body, bounds, 200*time.Millisecond)
	}
}

func passesAfter(t *testing.T, body, bounds string, least time.Duration) {
	t.Helper()
	slow, _ := counting(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	well, _ := counting(t, good)
	r := newTwo(t, slow, well, bounds, "", "")
	start := time.Now()
	if a := r.post(chat, body); a.status != 200 || a.header.Get("X-Warmlane-Target") != "b" || a.header.Get("X-Warmlane-Tries") != "2" {
		t.Errorf("answered %d %v", a.status, a.header)
	}
	if took := time.Since(start); took < least || took > 10*time.Second {
		t.Errorf("%s: it took %v, want a little more than %v", bounds, took, least)
	}
}

// A prompt that is too long for the first target is not sent there, unless no other target could take it.
func TestTargets_ContextIsRespectedBeforeSending(t *testing.T) {
	long := strings.Replace(plainChat, "hello", strings.Repeat("hello world ", 2000), 1)
	for _, f := range []struct{ a, b, body, want string }{
		{"100", "0", long, "b"},
		{"100", "100000", long, "b"},
		{"100", "50", long, "a"}, // neither fits: the first tells the caller
		{"100000", "0", long, "a"},
		{"100", "0", plainChat, "a"},
		{"100", "0", strings.Replace(plainChat, `"model"`, `"max_tokens":5000,"model"`, 1), "b"},
	} {
		first, _ := counting(t, good)
		second, _ := counting(t, good)
		r := newTwo(t, first, second, ", context: "+f.a, ", context: "+f.b, "")
		if a := r.post(chat, f.body); a.status != 200 || a.header.Get("X-Warmlane-Target") != f.want || a.header.Get("X-Warmlane-Tries") != "1" {
			t.Errorf("contexts %s and %s: answered %d by %s after %s tries, want %s after 1", f.a, f.b, a.status,
				a.header.Get("X-Warmlane-Target"), a.header.Get("X-Warmlane-Tries"), f.want)
		}
	}
}

// Weighted targets share the traffic, each conversation stays with one, and a canary that fails is not seen.
func TestTargets_StickyCanary(t *testing.T) {
	stable, _ := counting(t, naming)
	canary, hits := counting(t, naming)
	r := newTwo(t, stable, canary, ", weight: 70", ", weight: 30", "")
	const users = 60
	at := map[string]int{}
	for i := range users {
		body := strings.Replace(plainChat, `"model"`, fmt.Sprintf(`"user":"u%d","model"`, i), 1)
		first := r.post(chat, body).header.Get("X-Warmlane-Target")
		at[first]++
		for range 2 {
			if again := r.post(chat, body).header.Get("X-Warmlane-Target"); again != first {
				t.Fatalf("user %d went to %s, then to %s", i, first, again)
			}
		}
	}
	if n := at["b"]; n < users/10 || n > users*6/10 {
		t.Errorf("%d of %d users are at the canary of 30 %%", n, users)
	}
	drawn := map[string]int{}
	for range users {
		drawn[r.post(chat, plainChat).header.Get("X-Warmlane-Target")]++
	}
	if drawn["a"] == 0 || drawn["b"] == 0 {
		t.Errorf("requests without a user went to %v, want both", drawn)
	}
	if hits.Load() == 0 {
		t.Error("the canary saw nothing")
	}
	broken, _ := counting(t, status(500, `{}`))
	r = newTwo(t, stable, broken, "", ", weight: 1", "")
	for range 5 {
		if a := r.post(chat, plainChat); a.status != 200 || r.lastLine()["passed_over"] != "b=engine_error" {
			t.Errorf("answered %d, passed over %v", a.status, r.lastLine()["passed_over"])
		}
	}
}

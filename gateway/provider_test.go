package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// outsiders is a configuration of one provider that serves the model m; SETTINGS are its further keys.
func outsiders(url, settings string) string {
	return `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
providers: [{name: out, base_url: "` + url + `", models: [m], ` + settings + `}]
`
}

// byKey answers by the key of the request.
func byKey(t *testing.T, answers map[string]http.HandlerFunc) (url string, hits func(key string) int64) {
	counts := map[string]*atomic.Int64{}
	for key := range answers {
		counts[key] = new(atomic.Int64)
	}
	s := engine(t, func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		counts[key].Add(1)
		answers[key](w, r)
	})
	return s.URL, func(key string) int64 { return counts[key].Load() }
}

const (
	badKey   = `{"error":{"message":"Incorrect API key provided: sk-first-secret.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`
	noCredit = `{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`
	tooFast  = `{"error":{"message":"Rate limit reached for m in organization org-hidden on tokens per min.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`
)

// A key that is refused rests alone: no client sees it while another one is good, and it costs one attempt, not one a request.
func TestProvider_RefusedKeyRestsAlone(t *testing.T) {
	for name, refusal := range map[string]http.HandlerFunc{
		"401":   status(401, badKey),
		"402":   status(402, `{"error":{"message":"Insufficient Balance"}}`),
		"quota": status(429, noCredit),
		"403":   status(403, `{"error":{"message":"Country not supported"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			url, hits := byKey(t, map[string]http.HandlerFunc{"sk-first-secret": refusal, "sk-second-secret": good})
			r := newRig(t, outsiders(url, "keys: [sk-first-secret, sk-second-secret]"))
			for range 10 {
				if a := r.post(chat, streamChat); a.status != 200 || a.err != nil || a.body != delta+finish+done {
					t.Fatalf("answered %d %v %s", a.status, a.err, a.body)
				}
			}
			if hits("sk-first-secret") != 1 || hits("sk-second-secret") != 10 {
				t.Errorf("%d attempts with the refused key, %d with the other one; want 1 and 10", hits("sk-first-secret"), hits("sk-second-secret"))
			}
		})
	}
}

func TestProvider_AllKeysResting(t *testing.T) {
	limited := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "17")
		status(429, tooFast)(w, r)
	}
	url, hits := byKey(t, map[string]http.HandlerFunc{"sk-first-secret": limited, "sk-second-secret": limited})
	r := newRig(t, outsiders(url, "keys: [sk-first-secret, sk-second-secret]"))
	for range 3 {
		a := r.post(chat, plainChat)
		after := a.header.Get("Retry-After")
		if a.status != 429 || after != "17" && after != "16" || a.code() != "provider_unavailable" || strings.Contains(a.body, "org-hidden") {
			t.Errorf("answered %d, Retry-After %q: %s", a.status, after, a.body)
		}
	}
	if hits("sk-first-secret") != 1 || hits("sk-second-secret") != 1 {
		t.Errorf("%d and %d attempts, want one each", hits("sk-first-secret"), hits("sk-second-secret"))
	}
}

// With all keys at rest the next target answers; nothing is sent to the provider meanwhile.
func TestProvider_AllKeysRestingPassesOn(t *testing.T) {
	url, hits := byKey(t, map[string]http.HandlerFunc{"sk-first-secret": status(401, badKey)})
	well, _ := counting(t, good)
	r := newRig(t, onePool+`
providers: [{name: out, base_url: "`+url+`", keys: [sk-first-secret]}]
routes: [{models: [m], targets: [{provider: out}, {pool: m}]}]
`, well)
	for range 5 {
		if a := r.post(chat, plainChat); a.status != 200 {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
	if hits("sk-first-secret") != 1 {
		t.Errorf("%d attempts with a refused key, want 1", hits("sk-first-secret"))
	}
}

// A provider learns nothing of the caller but the body, and the caller nothing of the gateway's account.
func TestProvider_HeadersStayBehind(t *testing.T) {
	got := make(chan http.Header, 1)
	s := engine(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Query", r.URL.RawQuery)
		got <- h
		for name, value := range map[string]string{
			"Openai-Organization": "org-hidden", "X-Ratelimit-Remaining-Requests": "3", "Set-Cookie": "a=b", "Cf-Ray": "1", "Server": "cloudflare",
			"Openai-Processing-Ms": "12",
		} {
			w.Header().Set(name, value)
		}
		good(w, r)
	})
	r := newRig(t, outsiders(s.URL, "keys: [sk-out], organization: org-1, project: proj-1"))
	a := r.post(chat+"?key=sk-caller", plainChat, "Authorization", "Bearer sk-caller", "Api-Key", "sk-caller", "Cookie", "session=1", "X-App", "shop",
		"X-User-Email", "a@example.com", "Openai-Organization", "org-caller", "X-Request-Id", "id-1")
	if a.status != 200 || a.header.Get("X-Request-Id") != "id-1" || a.header.Get("Openai-Processing-Ms") != "12" {
		t.Fatalf("answered %d %v %s", a.status, a.header, a.body)
	}
	for _, name := range []string{"Openai-Organization", "X-Ratelimit-Remaining-Requests", "Set-Cookie", "Cf-Ray"} {
		if v := a.header.Get(name); v != "" {
			t.Errorf("the client got %s: %s", name, v)
		}
	}
	want := map[string]string{
		"Authorization": "Bearer sk-out", "Openai-Organization": "org-1", "Openai-Project": "proj-1", "Content-Type": "application/json",
		"X-Request-Id": "id-1", "User-Agent": "warmlane", "Accept": "*/*", "Content-Length": fmt.Sprint(len(plainChat)), "Query": "",
	}
	h := <-got
	for name := range h {
		if v, expected := want[name]; !expected || h.Get(name) != v {
			t.Errorf("the provider got %s: %s", name, h.Get(name))
		}
	}
}

// The habits of services that speak OpenAI's protocol, each as its own documentation tells it.
func TestProvider_Habits(t *testing.T) {
	final := `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}` + "\n\n"
	filter := `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}` + "\n\n"
	for _, c := range []struct {
		name, kind, more string
		ask              string
		serve            http.HandlerFunc
		want             string // body
		status           int
		tokens           bool // usage is in the access line
	}{
		{
			"OpenRouter's comments", "openrouter", "", streamChat,
			func(w http.ResponseWriter, _ *http.Request) {
				events(w, ": OPENROUTER PROCESSING\n\n", ": OPENROUTER PROCESSING\n\n", delta, finish, usage, done)
			},
			": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + delta + finish + done, 200, true,
		},
		{
			"OpenRouter's error in a stream of status 200", "openrouter", "", streamChat,
			func(w http.ResponseWriter, _ *http.Request) {
				events(w, ": OPENROUTER PROCESSING\n\n", `data: {"id":"c1","error":{"code":400,"message":"no image input"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`+"\n\n")
			},
			`{"error":{"message":"no image input","type":"invalid_request_error","param":null,"code":"invalid_request"}}`, 400, false,
		},
		{
			"DeepSeek's blank lines before an answer", "deepseek", "", plainChat,
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for range 3 {
					_, _ = io.WriteString(w, "\n")
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.WriteString(w, answer)
			},
			"\n\n\n" + answer, 200, true,
		},
		{
			"DeepSeek's comments", "deepseek", "", streamChat,
			func(w http.ResponseWriter, _ *http.Request) {
				events(w, ": keep-alive\n\n", delta, finish, usage, done)
			},
			": keep-alive\n\n" + delta + finish + done, 200, true,
		},
		{
			"Azure's filter results", "azure", `, api_version: "2024-10-21"`, streamChat,
			func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != "/openai/deployments/m/chat/completions?api-version=2024-10-21" || r.Header.Get("Api-Key") != "sk-out" || r.Header.Get("Authorization") != "" {
					status(404, `{"error":{"code":"404","message":"Resource not found"}}`)(w, r)
					return
				}
				events(w, filter, delta, finish, usage, done)
			},
			filter + delta + finish + done, 200, true,
		},
		{
			"Mistral's usage without being asked, and its strictness", "mistral", "", streamChat,
			func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "stream_options") {
					status(422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","msg":"Extra inputs are not permitted"}]}}`)(w, r)
					return
				}
				events(w, delta, final, done)
			},
			delta + final + done, 200, true,
		},
		{
			"a stream without [DONE]", "zhipu", "", streamChat,
			func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish, usage) },
			delta + finish, 200, true,
		},
		{
			"SiliconFlow's flat errors", "siliconflow", "", plainChat,
			status(400, `{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}`),
			`{"error":{"message":"Model does not exist. Please check it carefully.","type":"invalid_request_error","param":null,"code":"20012"}}`, 400, false,
		},
		{
			"Ollama without a key", "ollama", "", plainChat,
			func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					w.WriteHeader(400)
				}
				good(w, r)
			},
			answer, 200, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := engine(t, c.serve)
			keys := "keys: [sk-out]"
			if c.kind == "ollama" {
				keys = "keys: []"
			}
			r := newRig(t, outsiders(s.URL, "kind: "+c.kind+c.more+", "+keys))
			a := r.post(chat, c.ask)
			if a.status != c.status || a.body != c.want || a.err != nil {
				t.Errorf("answered %d %v\n got %s\nwant %s", a.status, a.err, a.body, c.want)
			}
			await(t, "the access line", func() bool { return len(r.lines.access()) == 1 })
			line := r.lines.access()[0]
			if line["pool"] != "out" || c.tokens && (line["prompt_tokens"] != 9.0 || line["output_tokens"] != 2.0) {
				t.Errorf("access line %v", line)
			}
		})
	}
}

// A stream that breaks after its first event is not repeated and does not look complete.
func TestProvider_CutStreamIsTold(t *testing.T) {
	s, n := counting(t, func(w http.ResponseWriter, _ *http.Request) {
		events(w, delta)
		panic(http.ErrAbortHandler)
	})
	r := newRig(t, outsiders(s, "keys: [sk-out]"))
	a := r.post(chat, streamChat)
	if a.err == nil || !strings.HasPrefix(a.body, delta+`data: {"error":`) || strings.Contains(a.body, "[DONE]") || n.Load() != 1 {
		t.Errorf("answered %v %s after %d attempts", a.err, a.body, n.Load())
	}
}

// No key is ever told: not in answers, logs, metrics, the admin API, decisions or traces, whatever the provider says.
func TestProvider_KeysAreNeverTold(t *testing.T) {
	const first, second = "sk-first-secret", "sk-second-secret"
	echo := `{"error":{"message":"Your key ` + first + ` and ` + second + ` are no good","type":"x ` + second + `","code":"` + first + `"}}`
	at := 0
	script := []http.HandlerFunc{
		status(401, echo), status(429, echo), status(400, echo), status(500, echo), status(503, echo), status(404, echo), status(302, echo),
		func(w http.ResponseWriter, _ *http.Request) { events(w, "data: "+echo+"\n\n", done) },
		func(w http.ResponseWriter, _ *http.Request) { events(w, delta, "data: "+echo+"\n\n", done) },
		func(w http.ResponseWriter, _ *http.Request) { events(w, delta+"data: "+echo+"\n\n") },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, echo)
		},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Key", first)
			_, _ = io.WriteString(w, "no JSON: "+first)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	s := engine(t, func(w http.ResponseWriter, r *http.Request) { script[at](w, r) })
	trace := filepath.Join(t.TempDir(), "trace.jsonl")
	var all strings.Builder
	for at = range script {
		r := newRig(t, strings.Replace(outsiders(s.URL, "keys: ["+first+", {key: "+second+", weight: 2}]"), "explain: true", "explain: true, trace_file: "+trace, 1))
		for _, ask := range []string{plainChat, streamChat} {
			a := r.post(chat, ask, "X-Warmlane-Explain", "1")
			fmt.Fprintln(&all, a.header)
			if !strings.Contains(a.body, "no JSON") { // an answer's own bytes pass
				fmt.Fprintln(&all, a.body)
			}
		}
		for _, path := range []string{"/metrics", "/admin/v1/", "/admin/v1/providers", "/admin/v1/pools", "/readyz"} {
			resp, err := http.Get(r.Admin + path)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
			all.Write(text)
		}
		r.lines.mu.Lock()
		all.Write(r.lines.buf.Bytes())
		r.lines.mu.Unlock()
	}
	text, _ := os.ReadFile(trace)
	all.Write(text)
	for _, key := range []string{first, second} {
		for line := range strings.Lines(all.String()) {
			if strings.Contains(line, key) {
				t.Errorf("told: %s", line)
			}
		}
	}
	if !strings.Contains(all.String(), "warmlane_provider_key_requests_total") || !strings.Contains(all.String(), `"number": 2`) {
		t.Error("nothing is told of keys at all")
	}
}

// Services with protocols of their own answer in OpenAI's, streamed and whole, and are accounted for like any other.
func TestProvider_Translated(t *testing.T) {
	anthropic := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/messages" || r.Header.Get("X-Api-Key") != "sk-out" || r.Header.Get("Authorization") != "" {
			status(404, `{"type":"error","error":{"type":"not_found_error","message":"nothing here"}}`)(w, r)
			return
		}
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Anthropic-Organization-Id", "org-hidden")
			_, _ = io.WriteString(w, `{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hi!"}],"stop_reason":"end_turn","usage":{"input_tokens":9,"output_tokens":2}}`)
			return
		}
		events(w,
			"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
			"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi!\"}}\n\n",
			"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
	}
	gemini := func(w http.ResponseWriter, r *http.Request) {
		whole := `{"candidates":[{"content":{"parts":[{"text":"hi!"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11},"responseId":"r1"}`
		switch {
		case r.Header.Get("X-Goog-Api-Key") != "sk-out":
			w.WriteHeader(401)
		case strings.HasSuffix(r.URL.Path, ":streamGenerateContent"):
			events(w, "data: "+whole+"\r\n\r\n")
		case strings.HasSuffix(r.URL.Path, ":generateContent"):
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			_, _ = io.WriteString(w, whole)
		default:
			w.WriteHeader(404)
		}
	}
	for kind, serve := range map[string]http.HandlerFunc{"anthropic": anthropic, "gemini": gemini} {
		t.Run(kind, func(t *testing.T) {
			s := engine(t, serve)
			r := newRig(t, outsiders(s.URL, "kind: "+kind+", keys: [sk-out]"))
			a := r.post(chat, streamChat)
			if a.status != 200 || a.err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") ||
				!strings.Contains(a.body, `"content":"hi!"`) || !strings.Contains(a.body, `"finish_reason":"stop"`) || !strings.HasSuffix(a.body, done) ||
				strings.Contains(a.body, `"usage":{`) {
				t.Errorf("streamed: %d %v %v\n%s", a.status, a.err, a.header, a.body)
			}
			a = r.post(chat, plainChat)
			if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Anthropic-Organization-Id") != "" ||
				!strings.Contains(a.body, `"content":"hi!"`) || !strings.Contains(a.body, `"object":"chat.completion"`) {
				t.Errorf("whole: %d %v %s", a.status, a.header, a.body)
			}
			await(t, "the access lines", func() bool { return len(r.lines.access()) == 2 })
			for _, line := range r.lines.access() {
				if line["pool"] != "out" || line["prompt_tokens"] != 9.0 || line["output_tokens"] != 2.0 || line["failure"] != nil {
					t.Errorf("access line %v", line)
				}
			}
		})
	}
}

// What a protocol of its own cannot carry is said in words, and does not cost a key its rest.
func TestProvider_FamilyThatIsNotServed(t *testing.T) {
	s, n := counting(t, good)
	r := newRig(t, outsiders(s, "kind: anthropic, keys: [sk-out]"))
	a := r.post("/v1/audio/speech", `{"model":"m","input":"x","voice":"y"}`)
	if a.status != 400 || a.code() != "unsupported_parameter" || !strings.Contains(a.body, "does not serve /v1/audio/speech") || n.Load() != 0 {
		t.Errorf("answered %d %v %s after %d attempts", a.status, a.header, a.body, n.Load())
	}
}

package engine_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/bench/engine"
)

// captured returns the body of a real vLLM's answer.
func captured(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "vllm-0.32.0", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

// shape writes JSON as its keys, in order, with the types of the values; a list counts by its first element.
func shape(t *testing.T, text string) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	var b strings.Builder
	var value func()
	token := func() json.Token {
		tok, err := dec.Token()
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return tok
	}
	value = func() {
		switch v := token().(type) {
		case json.Delim:
			b.WriteString(v.String())
			for dec.More() {
				if v == '{' {
					fmt.Fprintf(&b, "%v:", token())
				}
				value()
				b.WriteByte(' ')
			}
			b.WriteString(token().(json.Delim).String())
		case string:
			b.WriteString("text")
		case float64:
			b.WriteString("number")
		default:
			fmt.Fprint(&b, v)
		}
	}
	value()
	return b.String()
}

// eventShapes returns the shapes of a stream's events, each kind once and in order: equal neighbours are one.
func eventShapes(t *testing.T, stream string) []string {
	t.Helper()
	var all []string
	for line := range strings.SplitSeq(stream, "\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		s := data
		if data != "[DONE]" {
			s = shape(t, data)
		}
		if len(all) == 0 || all[len(all)-1] != s {
			all = append(all, s)
		}
	}
	return all
}

func tiny(t *testing.T, cfg engine.Config) *engine.Server {
	t.Helper()
	cfg.Model, cfg.Aliases, cfg.MaxModelLen = "tiny", []string{"tiny-alias"}, 8192
	if cfg.TimeScale == 0 {
		cfg.TimeScale = 2 // slow enough that a busy machine does not merge all tokens into one event
	}
	return start(t, cfg)
}

func TestWire_AnswersHaveTheShapeOfTheRealOnes(t *testing.T) {
	detailed, plain := tiny(t, engine.Config{}), tiny(t, engine.Config{NoTokenDetails: true})
	chat := func(more string) string {
		return `{"model": "tiny", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 20, "ignore_eos": true` + more + `}`
	}
	text := func(more string) string {
		return `{"model": "tiny", "prompt": "Once upon a time", "max_tokens": 20, "ignore_eos": true` + more + `}`
	}
	for _, c := range []struct {
		capture string
		server  *engine.Server
		path    string
		body    string
	}{
		{"chat", detailed, "/v1/chat/completions", chat("")},
		{"completions", plain, "/v1/completions", text("")},
		{"tokenize", plain, "/tokenize", `{"model": "tiny", "prompt": "Hello world"}`},
		{"detokenize", plain, "/detokenize", `{"model": "tiny", "tokens": [9707, 1879]}`},
	} {
		status, raw := post(t, c.server, c.path, c.body)
		if got, want := shape(t, string(raw)), shape(t, captured(t, c.capture)); status != 200 || got != want {
			t.Errorf("%s: status %d\n got %s\nwant %s", c.capture, status, got, want)
		}
	}
	for _, c := range []struct {
		capture string
		server  *engine.Server
		path    string
		body    string
	}{
		{"chat-stream", plain, "/v1/chat/completions", chat(`, "stream": true`)},
		{"chat-stream-usage", detailed, "/v1/chat/completions", chat(`, "stream": true, "stream_options": {"include_usage": true}`)},
		{"chat-stream-n2", plain, "/v1/chat/completions", chat(`, "stream": true, "n": 2`)},
		{"completions-stream-usage", plain, "/v1/completions", text(`, "stream": true, "stream_options": {"include_usage": true}`)},
	} {
		_, raw := post(t, c.server, c.path, c.body)
		got, want := eventShapes(t, string(raw)), eventShapes(t, captured(t, c.capture))
		if c.capture == "chat-stream-n2" { // the order of the choices differs from run to run
			got, want = distinct(got), distinct(want)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n got %s\nwant %s", c.capture, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

func distinct(all []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, s := range all {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}

func TestWire_ContinuousUsageIsInEveryChunk(t *testing.T) {
	s := tiny(t, engine.Config{NoTokenDetails: true})
	_, raw := post(t, s, "/v1/chat/completions", `{"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 6, "ignore_eos": true,
		"stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true}}`)
	got := eventShapes(t, string(raw))
	for i, want := range eventShapes(t, captured(t, "chat-stream-continuous")) {
		// The capture has one content chunk; ours may have some without a finish_reason before it.
		at := i
		if i > 0 {
			at = len(got) - (4 - i)
		}
		if got[at] != want {
			t.Errorf("event %d:\n got %s\nwant %s", i, got[at], want)
		}
	}
	for _, data := range got[:len(got)-1] {
		if !strings.Contains(data, "usage:{") {
			t.Errorf("a chunk without usage: %s", data)
		}
	}
}

func TestWire_ErrorsAreTheRealOnes(t *testing.T) {
	s := tiny(t, engine.Config{})
	chat := "/v1/chat/completions"
	message := `"messages": [{"role": "user", "content": "Say hello"}]`
	for _, c := range []struct {
		capture, path, body string
		status              int
	}{
		{"err-empty-body", chat, "", 400},
		{"err-unknown-model", chat, `{"model": "no-such", ` + message + `}`, 404},
		{"err-max-tokens-0", chat, `{"model": "tiny", ` + message + `, "max_tokens": 0}`, 400},
		{"err-max-tokens-huge", chat, `{"model": "tiny", ` + message + `, "max_tokens": 1000000}`, 400},
		{"err-no-messages", chat, `{"model": "tiny"}`, 400},
		{"err-too-long", chat, `{"model": "tiny", "messages": [{"role": "user", "content": "` + strings.Repeat("word ", 20000) + `"}]}`, 400},
		{"err-temperature", chat, `{"model": "tiny", ` + message + `, "temperature": -3}`, 400},
		{"err-cache-salt", chat, `{"model": "tiny", ` + message + `, "cache_salt": ""}`, 400},
		{"err-404", "/v1/nope", "{}", 404},
	} {
		status, raw := post(t, s, c.path, c.body)
		if want := captured(t, c.capture); status != c.status || string(raw) != want {
			t.Errorf("%s: status %d\n got %s\nwant %s", c.capture, status, raw, want)
		}
	}
	status, raw := post(t, s, chat, `{"model": "x", `)
	if got, want := shape(t, string(raw)), shape(t, captured(t, "err-bad-json")); status != 400 || got != want || !strings.Contains(string(raw), `"type":"Bad Request","param":"body.15"`) {
		t.Errorf("bad JSON: status %d: %s", status, raw)
	}
	if status, body := get(t, s, chat); status != 405 || body != captured(t, "err-405") {
		t.Errorf("GET: status %d: %s", status, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+chat, strings.NewReader(`{`+message+`}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), "Unsupported Media Type") {
		t.Errorf("without a content type: status %d: %s", resp.StatusCode, body)
	}
}

func TestWire_BusyIsTheRealOne(t *testing.T) {
	for _, inStream := range []bool{false, true} {
		s := tiny(t, engine.Config{TimeScale: 1, MaxQueuedReqs: 1, RejectInStream: inStream})
		body := `{"messages":[{"role":"user","content":"hi"}],"max_tokens":2000,"ignore_eos":true,"stream":true}`
		open(t, s, body)
		eventually(t, "one request runs", func() bool { return s.Counters().Running == 1 })
		capture := "busy"
		if inStream {
			capture = "busy-stream"
		}
		if _, raw := post(t, s, "/v1/chat/completions", body); strings.TrimSpace(string(raw)) != captured(t, capture) {
			t.Errorf("%s: got %s\nwant %s", capture, raw, captured(t, capture))
		}
	}
}

func TestWire_RequestIDsAndKeys(t *testing.T) {
	s := tiny(t, engine.Config{APIKey: "secret"})
	ask := func(key string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/v1/chat/completions",
			strings.NewReader(`{"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Request-Id", "my-req-0001")
		req.Header.Set("endpoint-load-metrics-format", "TEXT")
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(raw)
	}
	if resp, body := ask("wrong"); resp.StatusCode != 401 || body != captured(t, "err-401") {
		t.Errorf("wrong key: status %d: %s", resp.StatusCode, body)
	}
	resp, body := ask("secret")
	if resp.Header.Get("X-Request-Id") != "my-req-0001" || !strings.Contains(body, `"id":"chatcmpl-my-req-0001"`) {
		t.Errorf("request id: header %q, body %s", resp.Header.Get("X-Request-Id"), body)
	}
	if got := resp.Header.Get("endpoint-load-metrics"); !strings.HasPrefix(got, "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=") {
		t.Errorf("load report %q", got)
	}
	for path, want := range map[string]string{"/version": captured(t, "version"), "/load": captured(t, "load"), "/health": "", "/ping": ""} {
		if status, body := get(t, s, path); status != 200 || body != want {
			t.Errorf("%s without a key: status %d: %s", path, status, body)
		}
	}
}

func TestWire_Models(t *testing.T) {
	s := tiny(t, engine.Config{Adapters: []string{"tuned"}})
	_, body := get(t, s, "/v1/models")
	var list struct {
		Data []struct {
			ID, Parent  string
			MaxModelLen int `json:"max_model_len"`
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Data) != 3 || list.Data[2].ID != "tuned" || list.Data[2].Parent != "tiny" || list.Data[0].MaxModelLen != 8192 {
		t.Errorf("got %s", body)
	}
	two := tiny(t, engine.Config{})
	_, body = get(t, two, "/v1/models")
	if got, want := shape(t, body), shape(t, captured(t, "models")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

package engine_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// start opens a fast replica that ends with the test.
func start(t *testing.T, cfg engine.Config) *engine.Server {
	t.Helper()
	if cfg.TimeScale == 0 {
		cfg.TimeScale = 20
	}
	s, err := engine.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// client returns an HTTP client whose connections end with the test.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// post sends JSON and returns status and body.
func post(t *testing.T, s *engine.Server, path string, body any) (int, []byte) {
	t.Helper()
	resp := send(t, s, path, body)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the answer of %s: %v", path, err)
	}
	return resp.StatusCode, raw
}

func send(t *testing.T, s *engine.Server, path string, body any) *http.Response {
	t.Helper()
	raw, ok := body.(string)
	if !ok {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	resp, err := client(t).Post(s.URL()+path, "application/json", strings.NewReader(raw))
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	return resp
}

func get(t *testing.T, s *engine.Server, path string) (int, string) {
	t.Helper()
	resp, err := client(t).Get(s.URL() + path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// eventually polls until ok or fails after five seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 5 s in vain: %s", what)
		}
		<-tick.C
	}
}

type object = map[string]any

// completion is what the tests read of a whole answer.
type completion struct {
	Choices []struct {
		Index        int
		Text         string
		Message      struct{ Content string }
		FinishReason string `json:"finish_reason"`
	}
	Usage struct {
		PromptTokens        int `json:"prompt_tokens"`
		CompletionTokens    int `json:"completion_tokens"`
		PromptTokensDetails struct {
			CachedTokens int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
}

func complete(t *testing.T, s *engine.Server, path string, body any) completion {
	t.Helper()
	status, raw := post(t, s, path, body)
	if status != 200 {
		t.Fatalf("%s: status %d: %s", path, status, raw)
	}
	var c completion
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("%s: %v in %s", path, err, raw)
	}
	return c
}

// events reads the data lines of a stream until it ends.
func events(t *testing.T, r io.Reader) []string {
	t.Helper()
	var all []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			all = append(all, data)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("the stream broke: %v", err)
	}
	return all
}

// streamed collects the text of choice 0, the reason and the number of events with text.
func streamed(t *testing.T, all []string) (text, reason string, n int) {
	t.Helper()
	for _, data := range all {
		if data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Index        int
				Text         string
				Delta        struct{ Content string }
				FinishReason string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("event %q: %v", data, err)
		}
		for _, c := range chunk.Choices {
			if c.Index == 0 && c.Delta.Content+c.Text != "" {
				text += c.Delta.Content + c.Text
				n++
			}
			if c.FinishReason != "" {
				reason = c.FinishReason
			}
		}
	}
	return text, reason, n
}

func user(text string) object      { return object{"role": "user", "content": text} }
func assistant(text string) object { return object{"role": "assistant", "content": text} }

func TestServer_TheNextTurnFindsPromptAndAnswerInTheCache(t *testing.T) {
	s := start(t, engine.Config{})
	messages := []object{{"role": "system", "content": engine.Text(1, 50)}, user(engine.Text(2, 120))}
	known := 0
	for turn := range 4 {
		c := complete(t, s, "/v1/chat/completions", object{"model": "llama3", "messages": messages, "max_tokens": 90})
		u := c.Usage
		// What the turn before computed: all its tokens but the last one, in whole blocks.
		want := 0
		if turn > 0 {
			want = (known - 1) / 16 * 16
		}
		if u.PromptTokensDetails.CachedTokens != want {
			t.Errorf("turn %d: %d of %d prompt tokens cached, want %d", turn, u.PromptTokensDetails.CachedTokens, u.PromptTokens, want)
		}
		text := c.Choices[0].Message.Content
		if n := engine.CountTokens(text); n != u.CompletionTokens {
			t.Errorf("turn %d: the text has %d tokens, usage says %d", turn, n, u.CompletionTokens)
		}
		known = u.PromptTokens + u.CompletionTokens
		messages = append(messages, assistant(text), user(engine.Text(uint64(turn+10), 60)))
	}
}

func TestServer_CompletionsContinueTheirPrompt(t *testing.T) {
	s := start(t, engine.Config{})
	prompt := engine.Text(5, 100)
	first := complete(t, s, "/v1/completions", object{"prompt": prompt, "max_tokens": 61, "ignore_eos": true})
	second := complete(t, s, "/v1/completions", object{"prompt": prompt + first.Choices[0].Text + " and so on", "max_tokens": 5})
	if first.Usage.CompletionTokens != 61 {
		t.Errorf("%d tokens generated, want the 61 that were forced", first.Usage.CompletionTokens)
	}
	if got := second.Usage.PromptTokensDetails.CachedTokens; got != 160 {
		t.Errorf("%d tokens cached, want 160", got)
	}
}

func TestServer_AnswersDependOnTheConversationNotOnTheReplica(t *testing.T) {
	a, b := start(t, engine.Config{Seed: 3, Replica: 0}), start(t, engine.Config{Seed: 3, Replica: 1, Preset: "h100-80-llama3-8b"})
	other := start(t, engine.Config{Seed: 4})
	plain := object{"messages": []object{user("tell me a story about stones")}}
	parts := object{"messages": []object{{"role": "user", "content": []object{{"type": "text", "text": "tell me a story about stones"}}}}}
	one := complete(t, a, "/v1/chat/completions", plain)
	two := complete(t, b, "/v1/chat/completions", parts)
	three := complete(t, other, "/v1/chat/completions", plain)
	if one.Choices[0] != two.Choices[0] || one.Usage.PromptTokens != two.Usage.PromptTokens {
		t.Errorf("replicas of one seed differ: %+v and %+v", one, two)
	}
	if one.Choices[0].Message.Content == three.Choices[0].Message.Content {
		t.Error("another seed gave the same answer")
	}
	if one.Choices[0].FinishReason != "stop" {
		t.Errorf("finish_reason %q of a free answer, want stop", one.Choices[0].FinishReason)
	}
	// Text that only the prompt's other roles say does not change the answer, a LoRA adapter or salt only its cache.
	again := complete(t, a, "/v1/chat/completions", object{"messages": plain["messages"], "cache_salt": "x"})
	if again.Choices[0] != one.Choices[0] || again.Usage.PromptTokensDetails.CachedTokens != 0 {
		t.Errorf("with a salt: %+v, want the same text and nothing cached", again)
	}
}

func TestServer_FreeLengthsHaveTheMeanThatWasSet(t *testing.T) {
	s := start(t, engine.Config{OutputMean: 40, TimeScale: 500})
	sum := 0
	const n = 200
	c := complete(t, s, "/v1/completions", object{"prompt": prompts(n), "max_tokens": 800})
	if len(c.Choices) != n {
		t.Fatalf("%d choices, want %d", len(c.Choices), n)
	}
	for _, choice := range c.Choices {
		sum += engine.CountTokens(choice.Text)
	}
	if mean := float64(sum) / n; mean < 33 || mean > 47 {
		t.Errorf("mean length %.1f, want about 40", mean)
	}
}

func prompts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("prompt number %d", i)
	}
	return all
}

func TestServer_StreamsTokenByTokenWhatTheWholeAnswerSays(t *testing.T) {
	s := start(t, engine.Config{TimeScale: 1})
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		body := object{"messages": []object{user("hello there")}, "max_tokens": 12, "ignore_eos": true}
		if path == "/v1/completions" {
			body = object{"prompt": "hello there", "max_tokens": 12, "ignore_eos": true}
		}
		whole := complete(t, s, path, body)
		body["stream"] = true
		resp := send(t, s, path, body)
		all := events(t, resp.Body)
		resp.Body.Close()
		text, reason, n := streamed(t, all)
		if want := whole.Choices[0].Message.Content + whole.Choices[0].Text; text != want {
			t.Errorf("%s streamed %q, want %q", path, text, want)
		}
		if reason != "length" || n < 4 || all[len(all)-1] != "[DONE]" {
			t.Errorf("%s: reason %q, %d events, last %q", path, reason, n, all[len(all)-1])
		}
	}
}

func TestServer_SeveralChoices(t *testing.T) {
	s := start(t, engine.Config{})
	body := object{"messages": []object{user("hello")}, "max_tokens": 5, "ignore_eos": true, "n": 3}
	whole := complete(t, s, "/v1/chat/completions", body)
	if len(whole.Choices) != 3 || whole.Usage.CompletionTokens != 15 {
		t.Fatalf("%d choices, %d tokens; want 3 and 15", len(whole.Choices), whole.Usage.CompletionTokens)
	}
	if whole.Choices[0].Message.Content == whole.Choices[1].Message.Content {
		t.Error("two choices have the same text")
	}
	body["stream"] = true
	resp := send(t, s, "/v1/chat/completions", body)
	defer resp.Body.Close()
	all := events(t, resp.Body)
	roles := 0
	for _, data := range all[:3] {
		if strings.Contains(data, `"role":"assistant"`) {
			roles++
		}
	}
	if roles != 3 {
		t.Errorf("%d role chunks lead the stream, want 3", roles)
	}
	if got := strings.Count(strings.Join(all, ""), `"finish_reason":"length"`); got != 3 {
		t.Errorf("%d finish reasons, want 3", got)
	}
}

func TestServer_EmbeddingsInBothEncodings(t *testing.T) {
	s := start(t, engine.Config{})
	status, raw := post(t, s, "/v1/embeddings", object{"input": []string{"one two", "three"}, "dimensions": 8})
	var list struct {
		Data  []struct{ Embedding []float64 }
		Usage struct {
			PromptTokens int `json:"prompt_tokens"`
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil || status != 200 {
		t.Fatalf("status %d: %v: %s", status, err, raw)
	}
	if len(list.Data) != 2 || len(list.Data[0].Embedding) != 8 || list.Usage.PromptTokens != 3 {
		t.Errorf("got %s", raw)
	}
	status, raw = post(t, s, "/v1/embeddings", object{"input": "one two", "encoding_format": "base64"})
	if status != 200 || !bytes.Contains(raw, []byte(`"embedding":"`)) {
		t.Errorf("base64: status %d: %s", status, raw)
	}
}

func TestServer_TokenizeAndBack(t *testing.T) {
	s := start(t, engine.Config{})
	var got struct {
		Count  int
		Tokens []uint32
		Prompt string
	}
	_, raw := post(t, s, "/tokenize", object{"prompt": "Hello wide  world"})
	if err := json.Unmarshal(raw, &got); err != nil || got.Count != 3 {
		t.Fatalf("tokenize: %v: %s", err, raw)
	}
	_, raw = post(t, s, "/detokenize", object{"tokens": got.Tokens})
	if err := json.Unmarshal(raw, &got); err != nil || got.Prompt != "Hello wide  world" {
		t.Errorf("detokenize: %v: %s", err, raw)
	}
	_, raw = post(t, s, "/tokenize", object{"messages": []object{user("Say hello")}})
	if err := json.Unmarshal(raw, &got); err != nil || got.Count != 10 {
		t.Errorf("a chat of two words counts %d tokens, want 10: %s", got.Count, raw)
	}
}

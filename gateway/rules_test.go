package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// guarded is a pool with content rules in flow style.
func guarded(rules string) string { return onePool + "guard: [" + rules + "]\n" }

// echo answers with what it was sent, and with text.
func echo(t *testing.T, seen chan<- string, serve http.HandlerFunc) string {
	t.Helper()
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case seen <- string(body):
		default:
		}
		serve(w, r)
	})
	return u
}

func TestRules_InputIsMaskedBeforeAnyEngineSeesIt(t *testing.T) {
	seen := make(chan string, 1)
	u := echo(t, seen, good)
	r := newRig(t, guarded(`{name: pii, detect: [phone, email], check: input, action: mask}`), u)
	a := r.post(chat, `{"model":"m","messages":[{"role":"user","content":"I am 13812345678, \u0061@b.cn"}],"x":1.0}`, "x-warmlane-explain", "1")
	if a.status != 200 || a.body != answer {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	if got := <-seen; got != `{"model":"m","messages":[{"role":"user","content":"I am [PHONE], [EMAIL]"}],"x":1.0}` {
		t.Errorf("the engine got %s", got)
	}
	if d := a.header.Get("X-Warmlane-Decision"); !strings.Contains(d, `"guard":"pii=mask:2"`) {
		t.Errorf("decision %s", d)
	}
	if line := r.lastLine(); line["guard"] != "pii=mask:2" {
		t.Errorf("access line %v", line)
	}
	m := r.metrics()
	if !strings.Contains(m, `warmlane_guard_matches_total{action="mask",rule="pii",side="input"} 2`) {
		t.Error("the metrics do not count it")
	}
	r.lines.mu.Lock()
	defer r.lines.mu.Unlock()
	for _, text := range []string{r.lines.buf.String(), m} {
		if strings.Contains(text, "13812345678") || strings.Contains(text, "a@b.cn") {
			t.Error("what was found is in the log or the metrics")
		}
	}
}

func TestRules_InputIsRefusedInTheFamilysForm(t *testing.T) {
	u, calls := counting(t, good)
	const word = `"content":"敏\u200b感詞 x"`
	r := newRig(t, guarded(`{name: e, regex: "敏感[词詞]", match: {headers: {x-as: error}}}, {name: a, regex: "敏感[词詞]", refuse: answer, message: "Not \"here\"."}`), u)
	a := r.post(chat, `{"model":"m","messages":[{"role":"user",`+word+`}]}`, "x-as", "error")
	if a.status != 400 || a.code() != "content_filter" || a.header.Get("X-Should-Retry") != "false" || strings.Contains(a.body, "敏") {
		t.Errorf("answered %d %s %v", a.status, a.body, a.header)
	}
	if line := r.lastLine(); line["failure"] != "content_refused" || line["ended_by"] != "gateway" {
		t.Errorf("access line %v", line)
	}
	for path, want := range map[string]string{
		"/v1/chat/completions": "content_filter", "/v1/completions": "content_filter", "/v1/messages": "refusal", "/v1/responses": "incomplete",
	} {
		for _, stream := range []bool{false, true} {
			a := r.post(path, fmt.Sprintf(`{"model":"m","max_tokens":9,"stream":%v,"messages":[{"role":"user",%s}],"prompt":"敏感词","input":"敏感词"}`, stream, word))
			if a.status != 200 || a.err != nil || !strings.Contains(a.body, want) || !strings.Contains(a.body, `Not \"here\".`) {
				t.Errorf("%s, stream %v: answered %d %s", path, stream, a.status, a.body)
			}
			if stream != strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") || !wellFormed(a.body, stream) {
				t.Errorf("%s, stream %v: %s is not well formed", path, stream, a.body)
			}
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the engine was asked %d times", n)
	}
}

// wellFormed says whether all data is JSON.
func wellFormed(body string, stream bool) bool {
	if !stream {
		return json.Valid([]byte(body))
	}
	lines := bufio.NewScanner(strings.NewReader(body))
	n := 0
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if n++; data != "[DONE]" && !json.Valid([]byte(data)) {
			return false
		}
	}
	return n > 0
}

// token is an event with text.
func token(text string) string {
	q, _ := json.Marshal(text)
	return `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":` + string(q) + `},"finish_reason":null}]}` + "\n\n"
}

func TestRules_OutputIsMaskedInStreamsAndWholeAnswers(t *testing.T) {
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"stream":true`) {
			events(w, token("ring 138"), token("12345"), token("678 or"), finish, usage, done)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.Replace(answer, "hi!", "ring 13812345678", 1))
	})
	r := newRig(t, guarded(`{name: pii, detect: phone, check: output, action: mask}, {name: others, match: {models: [x]}, detect: email, action: deny}`), u)
	if a := r.post(chat, plainChat); a.status != 200 || a.body != strings.Replace(answer, "hi!", "ring [PHONE]", 1) {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	a := r.post(chat, streamChat)
	if want := token("ring ") + token("") + token("[PHONE] or") + finish + done; a.status != 200 || a.err != nil || a.body != want {
		t.Errorf("answered %d %v %s\nwant %s", a.status, a.err, a.body, want)
	}
	if line := r.lastLine(); line["guard"] != "pii=mask:1:output" || line["prompt_tokens"] != 9.0 {
		t.Errorf("access line %v", line)
	}
}

func TestRules_DeniedAnswers(t *testing.T) {
	for _, refuse := range []string{"error", "answer"} {
		gone := make(chan struct{}, 1)
		u, calls := counting(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), `"stream":true`) {
				events(w, token("good, sec"), token("ret!"))
				<-r.Context().Done()
				gone <- struct{}{}
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, strings.Replace(answer, "hi!", "secret", 1))
		})
		r := newRig(t, guarded(`{name: no, regex: '(?i)secret\b', check: output, message: "Not here.", refuse: `+refuse+`}`), u)
		a := r.post(chat, plainChat)
		if a.status != map[string]int{"error": 400, "answer": 200}[refuse] || !strings.Contains(a.body, "Not here.") || strings.Contains(a.body, "secret") {
			t.Errorf("%s: answered %d %s", refuse, a.status, a.body)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%s: a denied answer was asked for %d times", refuse, n)
		}
		a = r.post(chat, streamChat)
		<-gone // the engine stops working for nobody
		if !strings.HasPrefix(a.body, token("good, ")) || !strings.Contains(a.body, "Not here.") || strings.Contains(a.body, "ret!") {
			t.Errorf("%s: streamed %s", refuse, a.body)
		}
		if clean := a.err == nil && strings.HasSuffix(a.body, done); clean != (refuse == "answer") {
			t.Errorf("%s: ended with %v: %s", refuse, a.err, a.body)
		}
		await(t, "both access lines", func() bool { return len(r.lines.access()) == 2 })
		for _, line := range r.lines.access() {
			if line["failure"] != "content_refused" || line["guard"] != "no=deny:1:output" || line["ended_by"] != "gateway" {
				t.Errorf("%s: access line %v", refuse, line)
			}
		}
	}
}

// The engine never learns the number; the caller gets it back.
func TestRules_WhatWasHiddenIsRestored(t *testing.T) {
	seen := make(chan string, 1)
	u := echo(t, seen, func(w http.ResponseWriter, _ *http.Request) {
		events(w, token("I call [PH"), token("ONE_1"), token("] now."), finish, done)
	})
	r := newRig(t, guarded(`{name: pii, detect: phone, action: restore}`), u)
	a := r.post(chat, `{"model":"m","stream":true,"messages":[{"role":"user","content":"call 13812345678"}]}`)
	if got := <-seen; strings.Contains(got, "13812345678") || !strings.Contains(got, "call [PHONE_1]") {
		t.Errorf("the engine got %s", got)
	}
	if want := token("I call ") + token("") + token("13812345678 now.") + finish + done; a.body != want {
		t.Errorf("answered %s\nwant %s", a.body, want)
	}
}

// A stored answer that is fetched later is looked at as well.
func TestRules_StoredResponses(t *testing.T) {
	const stored = `{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"ring 13812345678"}]}]}`
	u, _ := counting(t, status(200, stored))
	r := newRig(t, guarded(`{name: pii, match: {models: [m]}, detect: phone, check: output, action: mask}`), u)
	want := strings.Replace(stored, "13812345678", "[PHONE]", 1)
	if a := r.post("/v1/responses", `{"model":"m","input":"hi"}`); a.body != want {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	if a := r.do("GET", "/v1/responses/resp_1", ""); a.body != want {
		t.Errorf("answered %d %s", a.status, a.body)
	}
}

// A service that does not answer is a 503 that may be tried again.
func TestRules_ServiceThatDoesNotAnswer(t *testing.T) {
	u, calls := counting(t, good)
	down := engine(t, status(500, "{}")).URL
	r := newRig(t, guarded(`{name: svc, check: input, moderation: {url: "`+down+`/v1/moderations"}}`), u)
	a := r.post(chat, plainChat)
	if a.status != 503 || a.code() != "moderation_unavailable" || a.header.Get("Retry-After") == "" || a.header.Get("X-Should-Retry") == "false" || calls.Load() != 0 {
		t.Errorf("answered %d %s %v", a.status, a.body, a.header)
	}
	if line := r.lastLine(); line["guard"] != "svc=failed:1" {
		t.Errorf("access line %v", line)
	}
}

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
	m := r.metricsText()
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

// metricsText is what /metrics says.
func (r *rig) metricsText() string {
	r.t.Helper()
	resp, err := http.Get(r.Admin + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

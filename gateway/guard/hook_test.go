package guard

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/config"
)

// service flags texts with the word bad in them, as OpenAI's moderations do, and keeps what it was asked.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	key   string
	model string
}

func newService(t *testing.T) *service {
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Input []string
			Model string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.key, s.model = r.Header.Get("Authorization"), q.Model
		s.asked = append(s.asked, q.Input...)
		type result struct {
			Flagged    bool            `json:"flagged"`
			Categories map[string]bool `json:"categories"`
		}
		var a struct {
			Results []result `json:"results"`
		}
		for _, in := range q.Input {
			bad := strings.Contains(in, "bad")
			a.Results = append(a.Results, result{bad, map[string]bool{"violence": bad, "hate": false}})
		}
		_ = json.NewEncoder(w).Encode(a)
	}))
	t.Cleanup(s.Close)
	return s
}

func askingRule(url string) config.GuardRule {
	r := ruleOf("deny")
	r.Name = "service"
	r.Moderation = config.Moderation{
		URL: url, APIKey: config.NewSecret("k"), Model: "omni", Timeout: config.Duration(5 * time.Second), OnFailure: "deny", Every: 64,
	}
	return r
}

func TestHook_IsAskedAboutWhatTheEngineGets(t *testing.T) {
	s := newService(t)
	g := guardOf(t, ruleOf("mask", "phone"), askingRule(s.URL))
	if _, refusal := g.all().Input([]byte(`{"messages":[{"role":"user","content":"13812345678 is good"},{"content":[{"type":"text","text":"fine"}]}]}`)); refusal != nil {
		t.Errorf("refused: %+v", refusal)
	}
	if got := strings.Join(s.asked, "|"); got != "[PHONE] is good|fine" || s.key != "Bearer k" || s.model != "omni" {
		t.Errorf("asked %q as %q for %q", got, s.key, s.model)
	}
	session := g.all()
	if _, refusal := session.Input([]byte(`{"prompt":"a bad thing"}`)); refusal == nil || refusal.Unasked || session.Notes()[0] != (Note{"service", "input", "deny", 1}) {
		t.Errorf("refusal %+v, notes %v", refusal, session.Notes())
	}
	if _, refusal := g.all().Output(api.Chat, []byte(`{"choices":[{"message":{"content":"a bad thing"}}]}`)); refusal == nil {
		t.Error("a flagged answer passes")
	}
	only := askingRule(s.URL)
	only.Moderation.Categories = []string{"hate"}
	if _, refusal := guardOf(t, only).all().Input([]byte(`{"prompt":"a bad thing"}`)); refusal != nil {
		t.Error("a category that does not count refuses")
	}
}

// In a stream nothing goes out before the service has seen it, and it sees pieces that overlap.
func TestHook_Streams(t *testing.T) {
	s := newService(t)
	r := rand.New(rand.NewPCG(9, 9))
	g := guardOf(t, askingRule(s.URL))
	text := strings.Repeat("nothing to see here. ", 20)
	for _, f := range forms() {
		s.asked = nil
		out, fail, _ := through(g.all(), f.family, r, f.stream(tokens(r, text)))
		if got, _ := heard(t, out); fail != nil || got != text {
			t.Errorf("%s: %q, %v", f.name, got, fail)
		}
		if n := len(s.asked); n < 4 || n > 12 {
			t.Errorf("%s: asked %d times", f.name, n)
		}
		out, fail, _ = through(g.all(), f.family, r, f.stream(tokens(r, text+"a bad thing. "+text)))
		if got, _ := heard(t, out); fail == nil || strings.Contains(got, "bad") || !strings.HasPrefix(text, got) || len(got) < len(text)/2 {
			t.Errorf("%s: %q, %v", f.name, got, fail)
		}
	}
}

// A service that does not answer closes or opens the way, as configured, within its time.
func TestHook_Failures(t *testing.T) {
	hang := make(chan struct{})
	answers := map[string]http.HandlerFunc{
		"status 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"no JSON":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) },
		"no results": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"results":[]}`)) },
		"no verdict": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"results":[{}]}`)) },
		"redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", http.StatusFound) },
		"hangs":      func(_ http.ResponseWriter, r *http.Request) { <-hang },
	}
	for name, serve := range answers {
		t.Run(name, func(t *testing.T) {
			u := httptest.NewServer(serve)
			rule := askingRule(u.URL)
			if name == "hangs" {
				rule.Moderation.Timeout = config.Duration(50 * time.Millisecond)
				t.Cleanup(func() { close(hang); u.Close() })
			} else {
				t.Cleanup(u.Close)
			}
			closed := guardOf(t, rule).all()
			_, refusal := closed.Input([]byte(`{"prompt":"x"}`))
			if refusal == nil || !refusal.Unasked || closed.Notes()[0].Action != "failed" {
				t.Fatalf("refusal %+v, notes %v", refusal, closed.Notes())
			}
			if fail := refusal.Failure(); fail.HTTPStatus() != 503 || fail.Final || fail.RetryAfter == 0 {
				t.Errorf("failure %+v", fail)
			}
			rule.Moderation.OnFailure = "pass"
			open := guardOf(t, rule).all()
			if _, refusal := open.Input([]byte(`{"prompt":"x"}`)); refusal != nil || open.Notes()[0].Action != "failed" {
				t.Errorf("refusal %+v, notes %v", refusal, open.Notes())
			}
		})
	}
}

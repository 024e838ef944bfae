package provider

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
)

func prepareFor(t *testing.T, cfg Config, path, body string) *Sending {
	t.Helper()
	if cfg.BaseURL == "" {
		cfg.BaseURL, _ = KindOf(cfg.Kind).Base("")
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ep, _ := api.Find([]byte(path))
	view, fail := api.Read(ep, []byte("application/json"), []byte(body))
	if fail != nil {
		t.Fatal(fail)
	}
	s, fail := p.Prepare(&Asked{Endpoint: ep, View: view, Body: []byte(body), ID: "id-1", Model: "m2", WantsUsage: view.Stream && !view.IncludeUsage})
	if fail != nil {
		t.Fatal(fail)
	}
	return s
}

func sentBody(s *Sending) string { return string(bytes.Join(s.Body, nil)) }

const (
	chatPath  = "/v1/chat/completions"
	askedHead = `{"model":"m","messages":[{"role":"user","content":"hi"}],`
	readyHead = `{"model":"m2","messages":[{"role":"user","content":"hi"}],`
)

func TestPrepare_BodiesByKind(t *testing.T) {
	f := func(kind, body, want string) {
		t.Helper()
		if got := sentBody(prepareFor(t, Config{Kind: kind}, chatPath, askedHead+body)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", kind, got, want)
		}
	}
	// Bytes that need no edit stay as they are, odd blanks and unknown fields included.
	f("dashscope", ` "enable_thinking" : false , "top_k":5}`, readyHead+` "enable_thinking" : false , "top_k":5}`)
	f("deepseek", `"max_completion_tokens":5}`, readyHead+`"max_tokens":5}`)
	f("deepseek", `"max_completion_tokens":5, "max_tokens":6}`, readyHead+`"max_tokens":6}`)
	f("openai", `"max_tokens":5,"top_k":1, "cache_salt":"x","seed":7}`, readyHead+`"max_completion_tokens":5,"seed":7}`)
	f("openai", `"guided_json":{"type":"object"}}`, readyHead+`"guided_json":{"type":"object"}}`)
	f("mistral", `"top_k":1,"min_p":0.1,"seed":7,"user":"u","store":false,"max_completion_tokens":5}`, readyHead+`"top_k":1,"random_seed":7,"max_tokens":5}`)
	// Usage is asked for where the caller did not, unless the service sends it anyway.
	f("moonshot", `"stream":true}`, `{"stream_options":{"include_usage":true},`+readyHead[1:]+`"stream":true}`)
	f("mistral", `"stream":true}`, readyHead+`"stream":true}`)
	f("mistral", `"stream":true,"stream_options":{"include_usage":true}}`, readyHead+`"stream":true}`)
	// A name with escapes is read as the service would read it.
	f("openai", `"max\u005ftokens":5}`, readyHead+`"max_completion_tokens":5}`)
}

// Of a server that only speaks OpenAI's protocol nothing is known: it gets what the caller sent.
func TestPrepare_OwnBaseURLHasNoHabits(t *testing.T) {
	body := `"max_tokens":5,"top_k":1}`
	if got := sentBody(prepareFor(t, Config{Kind: "openai", BaseURL: "https://llm.example.com/v1"}, chatPath, askedHead+body)); got != readyHead+body {
		t.Errorf("sent %s", got)
	}
}

func TestPrepare_Paths(t *testing.T) {
	azure := Config{Kind: "azure", BaseURL: "https://x.openai.azure.com", APIVersion: "2024-10-21"}
	v1 := azure
	v1.APIVersion = "v1"
	f := func(cfg Config, path, body, want string) {
		t.Helper()
		s := prepareFor(t, cfg, path, body)
		if got := strings.TrimSuffix(s.Path+"?"+string(s.Query), "?"); got != want {
			t.Errorf("%s %s: %s, want %s", cfg.Kind, path, got, want)
		}
	}
	ask := askedHead + `"n":1}`
	f(Config{Kind: "groq"}, chatPath, ask, "/chat/completions")
	f(Config{Kind: "openai"}, "/v1/embeddings", `{"model":"m","input":"x"}`, "/embeddings")
	f(azure, chatPath, ask, "/openai/deployments/m2/chat/completions?api-version=2024-10-21")
	f(azure, "/v1/embeddings", `{"model":"m","input":"x"}`, "/openai/deployments/m2/embeddings?api-version=2024-10-21")
	f(azure, "/v1/responses", `{"model":"m","input":"x"}`, "/openai/responses?api-version=2024-10-21")
	f(v1, chatPath, ask, "/openai/v1/chat/completions")
}

// A model's name cannot lead to another path or host.
func TestPrepare_ModelNamesStayInTheirPlace(t *testing.T) {
	p, err := New(Config{Kind: "azure", BaseURL: "https://x.openai.azure.com", APIVersion: "2024-10-21"})
	if err != nil {
		t.Fatal(err)
	}
	ep, _ := api.Find([]byte(chatPath))
	body := []byte(askedHead + `"n":1}`)
	view, _ := api.Read(ep, nil, body)
	for model, want := range map[string]string{
		"../../admin?x=": "/openai/deployments/..%2F..%2Fadmin%3Fx=/chat/completions",
		"a\r\nHost: b":   "/openai/deployments/a%0D%0AHost:%20b/chat/completions",
		"@evil.example":  "/openai/deployments/@evil.example/chat/completions",
		"..":             "",
		".":              "",
	} {
		s, fail := p.Prepare(&Asked{Endpoint: ep, View: view, Body: body, Model: model})
		if fail == nil && s.Path != want || fail != nil && want != "" {
			t.Errorf("%q: %+v, %v, want %s", model, s, fail, want)
		}
	}
}

func TestAuthorize_CredentialByKind(t *testing.T) {
	for _, c := range []struct{ kind, base, key, want string }{
		{"openai", openAIBase, "sk-1", "Authorization: Bearer sk-1\r\n"},
		{"azure", "https://x.openai.azure.com", "k", "Api-Key: k\r\n"},
		{"ollama", "http://localhost:11434/v1", "", ""},
	} {
		p, err := New(Config{Kind: c.kind, BaseURL: c.base, Keys: []Key{{c.key, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Authorize(&Sending{}, p.Keys.Take(start, nil)); err != nil || string(got) != c.want {
			t.Errorf("%s: %q %v", c.kind, got, err)
		}
	}
}

// A signature covers the path that is sent, with what the base URL has of it.
func TestAuthorize_SignsThePathOfTheBaseURL(t *testing.T) {
	const key = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	now := func() time.Time { return start }
	p, err := New(Config{Kind: "bedrock", Region: "eu-west-1", BaseURL: "https://gate.example.com/aws/", Keys: []Key{{key, 1}}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	sent := &Call{Method: "POST", Path: "/model/m/converse", Body: []byte("{}")}
	got, err := p.Authorize(&Sending{call: sent}, p.Keys.Take(start, nil))
	if err != nil {
		t.Fatal(err)
	}
	whole := *sent
	whole.Path = "/aws/model/m/converse"
	want, err := translator(t, "bedrock").Authorize(&whole, "gate.example.com", key, start)
	if err != nil || string(got) != string(want) || sent.Path != "/model/m/converse" {
		t.Errorf("got\n%s\nwant\n%s, %v", got, want, err)
	}
}

func TestKinds_AreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Name] {
			t.Errorf("%s is there twice", k.Name)
		}
		seen[k.Name] = true
		for _, b := range k.Bases {
			if strings.HasSuffix(b.URL, "/") || !strings.HasPrefix(b.URL, "https://") && k.Name != "ollama" {
				t.Errorf("%s: base URL %s", k.Name, b.URL)
			}
		}
	}
}

func FuzzReshape(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":1,"top_k":2}`))
	f.Add([]byte(` { "max\u005ftokens" : 1 , "a":[{"top_k":1}] } `))
	f.Fuzz(func(t *testing.T, body []byte) {
		ep, _ := api.Find([]byte("/v1/embeddings"))
		if _, fail := api.Read(ep, nil, body); fail != nil {
			return
		}
		for _, name := range []string{"openai", "mistral"} {
			out := bytes.Join(KindOf(name).reshape([][]byte{body}), nil)
			if _, fail := api.Read(ep, nil, out); fail != nil {
				t.Errorf("%s: %s became %s: %v", name, body, out, fail)
			}
		}
	})
}

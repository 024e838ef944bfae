package route_test

import (
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/route"
)

func TestSplit(t *testing.T) {
	tab := table(t, `
pools:
  - {name: llama3, endpoints: ["http://a:1"], models: [sql@v2]}
  - {name: a, endpoints: ["http://b:1"], served_model: both@once}
  - {name: b, endpoints: ["http://c:1"], served_model: both@once}
providers:
  - {name: vertex, base_url: "https://example.com/v1", keys: [k], models: [claude@20240620]}
routes:
  - {models: ["gemini-*@*", exact@1], targets: [{provider: vertex}]}
  - {models: ["qwen*"], targets: [{pool: llama3}]}
`)
	listed := func(model string) []string {
		if model == "lora@7" {
			return []string{"llama3"}
		}
		return nil
	}
	f := func(name, wantModel, wantApp string) {
		t.Helper()
		if model, app := tab.Split(name, listed); model != wantModel || app != wantApp {
			t.Errorf("%q is %q of app %q, want %q of %q", name, model, app, wantModel, wantApp)
		}
	}
	f("llama3", "llama3", "")
	f("llama3@support-bot", "llama3", "support-bot")
	f("unknown@x", "unknown", "x")
	f("qwen3@客服.2_b", "qwen3", "客服.2_b")
	f("llama3@2", "llama3", "2")
	// Of several the last one counts, and what is before it may be a model with an @.
	f("sql@v2@bot", "sql@v2", "bot")
	// Names that are a model's as a whole.
	f("sql@v2", "sql@v2", "")
	f("both@once", "both@once", "")
	f("claude@20240620", "claude@20240620", "")
	f("gemini-pro@001", "gemini-pro@001", "")
	f("exact@1", "exact@1", "")
	f("lora@7", "lora@7", "")
	// What is no app's name belongs to the model.
	f("@cf/meta/llama-3", "@cf/meta/llama-3", "")
	f("@bot", "@bot", "")
	f("llama3@", "llama3@", "")
	f("llama3@-x", "llama3@-x", "")
	f("llama3@a b", "llama3@a b", "")
	f("me@host/model", "me@host/model", "")
	f("llama3@=1+1", "llama3@=1+1", "")
	f("llama3@a\xff", "llama3@a\xff", "")
	f("llama3@"+strings.Repeat("a", 64), "llama3", strings.Repeat("a", 64))
	f("llama3@"+strings.Repeat("a", 65), "llama3@"+strings.Repeat("a", 65), "")
	f("", "", "")
}

// FuzzSplit: the parts make the whole again, and an app is always one that IsApp takes.
func FuzzSplit(f *testing.F) {
	for _, name := range []string{"llama3@bot", "@", "a@b@c", "llama3@客服", "a@\x80"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		model, app := new(route.Table).Split(name, nil)
		if app == "" && model != name || app != "" && (model+"@"+app != name || model == "" || !route.IsApp(app)) {
			t.Errorf("%q is %q of app %q", name, model, app)
		}
	})
}

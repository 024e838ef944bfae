package route_test

import (
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/route"
)

const file = `
consumers:
  - {name: shop, keys: [k1]}
pools:
  - {name: llama3, endpoints: ["http://a:1"], served_model: meta-llama/Llama-3-8B, models: [llama3-sql]}
  - {name: llama3-next, endpoints: ["http://b:1"], served_model: llama3}
  - {name: qwen-a, endpoints: ["http://c:1"], served_model: qwen2.5}
  - {name: qwen-b, endpoints: ["http://d:1"], served_model: qwen2.5}
providers:
  - {name: bailian, base_url: "https://example.com/v1", keys: [k2], models: [qwen-max, llama3-sql]}
routes:
  - models: [llama3]
    match: {headers: {x-app: "shop*"}, path: /v1/chat/completions}
    targets: [{pool: llama3-next}, {provider: bailian, model: qwen-turbo}]
  - name: for-shop
    models: ["coder*"]
    match: {consumers: [shop]}
    targets: [{pool: qwen-a}]
    fallback_on: [connect]
  - name: lora
    models: [llama3-sql, "chat-?"]
    targets: [{pool: llama3}]
`

func table(t *testing.T, text string) *route.Table {
	t.Helper()
	cfg, err := config.Parse("warmlane.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return route.New(cfg)
}

type headers map[string]string

func (h headers) Peek(name string) []byte {
	if value, ok := h[name]; ok {
		return []byte(value)
	}
	return nil
}

func TestFind_FirstRouteThatFits(t *testing.T) {
	tab := table(t, file)
	f := func(q route.Query, wantRoute, wantTargets, wantModel string) {
		t.Helper()
		r, fail := tab.Find(q)
		if fail != nil {
			t.Errorf("%+v: %v", q, fail)
			return
		}
		var names []string
		for i := range r.Targets {
			names = append(names, r.Targets[i].Name())
		}
		if got := strings.Join(names, ","); r.Name != wantRoute || got != wantTargets {
			t.Errorf("%+v: route %s to %s, want %s to %s", q, r.Name, got, wantRoute, wantTargets)
		}
		if got := r.Targets[0].ModelFor(q.Model, nil); got != wantModel {
			t.Errorf("%+v: sends model %q, want %q", q, got, wantModel)
		}
	}
	shop := headers{"X-App": "shop-eu"}
	const chat = "/v1/chat/completions"

	f(route.Query{Subject: config.Subject{Model: "llama3", Path: chat, Headers: shop}}, "route-1", "llama3-next,bailian", "llama3")
	// A request that misses one condition goes to the pool of that name, which has more right to it than a pool that serves it.
	f(route.Query{Subject: config.Subject{Model: "llama3", Path: "/v1/completions", Headers: shop}}, "llama3", "llama3", "meta-llama/Llama-3-8B")
	f(route.Query{Subject: config.Subject{Model: "llama3", Path: chat, Headers: headers{}}}, "llama3", "llama3", "meta-llama/Llama-3-8B")
	f(route.Query{Subject: config.Subject{Model: "llama3", Path: chat}}, "llama3", "llama3", "meta-llama/Llama-3-8B")
	f(route.Query{Subject: config.Subject{Model: "meta-llama/Llama-3-8B", Path: chat}}, "meta-llama/Llama-3-8B", "llama3", "meta-llama/Llama-3-8B")
	f(route.Query{Subject: config.Subject{Model: "coder-7b", Consumer: "shop"}}, "for-shop", "qwen-a", "qwen2.5")
	// Names that the engines know themselves are sent as they are.
	f(route.Query{Subject: config.Subject{Model: "llama3-sql"}}, "lora", "llama3", "llama3-sql")
	f(route.Query{Subject: config.Subject{Model: "chat-1"}}, "lora", "llama3", "meta-llama/Llama-3-8B")
	f(route.Query{Subject: config.Subject{Model: "qwen-max"}}, "qwen-max", "bailian", "qwen-max")
	f(route.Query{Subject: config.Subject{Model: "qwen-b"}}, "qwen-b", "qwen-b", "qwen2.5")
}

func TestFind_UnknownModel(t *testing.T) {
	tab := table(t, file)
	f := func(q route.Query, want string) {
		t.Helper()
		_, fail := tab.Find(q)
		if fail == nil || fail.Kind != failure.ModelNotFound || fail.Param != "model" {
			t.Errorf("%q: got %v, want model_not_found about model", q.Model, fail)
			return
		}
		if fail.Message != want {
			t.Errorf("%q:\n got %s\nwant %s", q.Model, fail.Message, want)
		}
	}
	f(route.Query{Subject: config.Subject{Model: "lama3"}}, `The model "lama3" does not exist. Did you mean llama3?`)
	f(route.Query{Subject: config.Subject{Model: "Qwen-Max"}}, `The model "Qwen-Max" does not exist. Did you mean qwen-max, qwen-a, qwen-b?`)
	f(route.Query{Subject: config.Subject{Model: "gpt-4o"}}, `The model "gpt-4o" does not exist.`)
	// Names that the caller must not know of are not told.
	f(route.Query{Subject: config.Subject{Model: "lama3"}, Allows: func(model string) bool { return model != "llama3" }}, `The model "lama3" does not exist.`)
	f(route.Query{Subject: config.Subject{Model: "coder-7b", Consumer: "other"}}, `The model "coder-7b" does not exist.`)
	f(route.Query{Subject: config.Subject{Model: "qwen2.5"}}, `The model "qwen2.5" is served in more than one place and no route chooses between them.`)
	f(route.Query{}, `The request names no model and no route takes it.`)
	f(route.Query{Subject: config.Subject{Model: strings.Repeat("x", 1000) + "\xff"}}, `The model "`+strings.Repeat("x", 128)+`..." does not exist.`)
}

func TestFind_AllocatesNothing(t *testing.T) {
	tab := table(t, file)
	h := headersOf("shop-eu")
	q := route.Query{Subject: config.Subject{Model: "llama3", Path: "/v1/chat/completions", Headers: h}}
	if n := testing.AllocsPerRun(100, func() { _, _ = tab.Find(q) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// headersOf is a header whose Peek does not allocate.
type headersOf string

func (h headersOf) Peek(string) []byte { return shopEU[:len(h)] }

var shopEU = []byte("shop-eu")

func TestModels_EachOnceInOrder(t *testing.T) {
	var got []string
	for _, m := range table(t, file).Models() {
		got = append(got, m.Name+"@"+m.Pool+m.Provider)
	}
	want := "llama3@llama3 meta-llama/Llama-3-8B@llama3 llama3-sql@llama3 llama3-next@llama3-next qwen-a@qwen-a qwen-b@qwen-b qwen-max@bailian"
	if text := strings.Join(got, " "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestModels_ThatOnlyRoutesKnow(t *testing.T) {
	tab := table(t, `
pools: [{name: a, endpoints: ["http://a:1"]}]
routes: [{models: [fast, "gpt*"], match: {headers: {x-app: shop}}, targets: [{pool: a}]}]`)
	models := tab.Models()
	if len(models) != 2 || models[1].Name != "fast" || models[1].Pool != "a" {
		t.Errorf("got %+v, want a and fast, both of pool a", models)
	}
}

func TestRows_ShowWhatIsEffective(t *testing.T) {
	rows := table(t, file).Rows()
	if got, want := rows[0], (route.Row{
		Name: "route-1", Models: "llama3", When: "path /v1/chat/completions, header X-App=shop*",
		Targets: "pool llama3-next as llama3, then provider bailian as qwen-turbo", Fallback: "connect, timeout, 429, 5xx, queue_full, context_length",
	}); got != want {
		t.Errorf("first row\n got %+v\nwant %+v", got, want)
	}
	if got, want := rows[3], (route.Row{
		Name: "-", Models: "llama3, meta-llama/Llama-3-8B", Targets: "pool llama3 as meta-llama/Llama-3-8B",
	}); got != want {
		t.Errorf("row of the first pool\n got %+v\nwant %+v", got, want)
	}
	if got := strings.Join(table(t, file).Disputed(), "; "); got != "qwen2.5 (qwen-a, qwen-b)" {
		t.Errorf("disputed: %s", got)
	}
}

func TestRows_CatchAllHidesTheRest(t *testing.T) {
	rows := table(t, `
pools: [{name: a, endpoints: ["http://a:1"]}, {name: b, endpoints: ["http://b:1"]}]
routes: [{targets: [{pool: b}]}]`).Rows()
	if len(rows) != 1 || rows[0].Models != "*" {
		t.Errorf("got %+v, want one row for every model", rows)
	}
}

func BenchmarkFind_LastOf100Routes(b *testing.B) {
	var text strings.Builder
	text.WriteString("pools: [{name: a, endpoints: [\"http://a:1\"]}]\nroutes:\n")
	for i := range 100 {
		text.WriteString("  - {models: [\"model-" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + "*\"], targets: [{pool: a}]}\n")
	}
	cfg, err := config.Parse("warmlane.yaml", []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	tab := route.New(cfg)
	q := route.Query{Subject: config.Subject{Model: "model-" + string(rune('a'+99%26)) + string(rune('a'+99/26)) + "-7b"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, fail := tab.Find(q); fail != nil {
			b.Fatal(fail)
		}
	}
}

package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sim "github.com/warmlane/warmlane/bench/engine"
)

// replicas starts simulated vLLM replicas.
func replicas(t *testing.T, configs ...sim.Config) []string {
	t.Helper()
	var urls []string
	for _, cfg := range configs {
		cfg.TimeScale, cfg.OutputMean = 100, 5
		s, err := sim.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		urls = append(urls, s.URL())
	}
	return urls
}

// chose is the decision that an answer with the explain header carries.
type chose struct {
	Endpoint string `json:"endpoint"`
	Matched  int    `json:"matched_tokens"`
}

func decision(t *testing.T, r reply) (d chose) {
	t.Helper()
	if r.status != 200 {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.header.Get("X-Warmlane-Decision")), &d); err != nil {
		t.Fatalf("decision %q: %v", r.header.Get("X-Warmlane-Decision"), err)
	}
	return d
}

// models are the ids in /v1/models with their parents.
func models(t *testing.T, r *rig) map[string]string {
	t.Helper()
	var list struct{ Data []struct{ ID, Parent string } }
	got := r.do("GET", "/v1/models", "")
	if err := json.Unmarshal([]byte(got.body), &list); err != nil {
		t.Fatalf("%s: %v", got.body, err)
	}
	ids := map[string]string{}
	for _, m := range list.Data {
		ids[m.ID] = m.Parent
	}
	return ids
}

func ask(model, prompt string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":3,"messages":[{"role":"user","content":%q}]}`, model, prompt)
}

// An adapter that only one engine has is listed, goes there under its own name, and shares no prefix with its base model.
func TestAdapter_GoesWhereItIsServed(t *testing.T) {
	urls := replicas(t, sim.Config{Model: "base"}, sim.Config{Model: "base", Adapters: []string{"sql"}})
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools: [{name: chat, served_model: base, endpoints: ENGINES, metrics: {interval: 20ms}}]
`, urls...)
	await(t, "the adapter is listed", func() bool { _, ok := models(t, r)["sql"]; return ok })
	if got := models(t, r); got["sql"] != "base" || got["chat"] != "" || len(got) != 3 {
		t.Errorf("models with parents: %v", got)
	}
	if one := r.do("GET", "/v1/models/sql", ""); one.status != 200 || !strings.Contains(one.body, `"parent":"base"`) {
		t.Errorf("card: %d %s", one.status, one.body)
	}
	prompt := strings.Repeat("select something from a table ", 60)
	await(t, "both engines have told their models", func() bool {
		for range 4 {
			if r.post(chat, ask("sql", "hi")).status != 200 {
				return false
			}
		}
		return true
	})
	for i := range 6 {
		answer := r.post(chat, ask("sql", prompt), "X-Warmlane-Explain", "1")
		d := decision(t, answer)
		if d.Endpoint != urls[1] || !strings.Contains(answer.body, `"model":"sql"`) {
			t.Fatalf("request %d went to %s (the adapter is at %s) and answers %.200s", i, d.Endpoint, urls[1], answer.body)
		}
		if warm := d.Matched > 0; warm != (i > 0) {
			t.Errorf("request %d found %d tokens in the adapter's own chain", i, d.Matched)
		}
	}
	if d := decision(t, r.post(chat, ask("chat", prompt), "X-Warmlane-Explain", "1")); d.Matched != 0 {
		t.Errorf("the base model is believed to share %d tokens with its adapter", d.Matched)
	}
	if lost := r.post(chat, ask("sqll", "hi")); lost.status != 404 {
		t.Errorf("an unknown adapter: %d %s", lost.status, lost.body)
	}
}

// What a consumer may not use it neither sees nor gets, whoever lists it.
func TestAdapter_ConsumersAreHeldToTheirModels(t *testing.T) {
	urls := replicas(t, sim.Config{Model: "base", Adapters: []string{"sql", "secret"}})
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
consumers: [{name: app, keys: [k], models: [base, sql]}]
pools: [{name: base, endpoints: ENGINES, models: [sql], metrics: {interval: 20ms}}]
`, urls...)
	key := []string{"Authorization", "Bearer k"}
	await(t, "the parent is known", func() bool {
		return strings.Contains(r.do("GET", "/v1/models", "", key...).body, `"id":"sql","object":"model"`) &&
			strings.Contains(r.do("GET", "/v1/models", "", key...).body, `"parent":"base"`)
	})
	if list := r.do("GET", "/v1/models", "", key...).body; strings.Contains(list, "secret") || strings.Count(list, `"id":`) != 2 {
		t.Errorf("list %s", list)
	}
	if got := r.post(chat, ask("secret", "hi"), key...); got.status != 403 {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

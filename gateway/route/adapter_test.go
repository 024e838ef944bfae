package route_test

import (
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/route"
)

// Adapters that engines list are found by name, but every name of the file has more right to a request.
func TestTable_AdaptersThatEnginesList(t *testing.T) {
	tab := table(t, file)
	listed := func(model string) []string {
		switch model {
		case "legal", "llama3", "qwen2.5", "qwen-max", "chat-x":
			return []string{"qwen-a"}
		case "twice":
			return []string{"qwen-a", "qwen-b"}
		}
		return nil
	}
	for model, want := range map[string]string{"legal": "qwen-a", "llama3": "llama3", "qwen-max": "bailian", "chat-x": "llama3"} {
		r, fail := tab.Find(route.Query{Subject: config.Subject{Model: model}, Listed: listed})
		if fail != nil || r.Targets[0].Name() != want {
			t.Errorf("%s: route %+v, %v, want %s", model, r, fail, want)
		}
	}
	for model, want := range map[string]string{
		"twice":   "in more than one place",
		"qwen2.5": "in more than one place", // of the file already
		"nobody":  "does not exist",
	} {
		if r, fail := tab.Find(route.Query{Subject: config.Subject{Model: model}, Listed: listed}); fail == nil || !strings.Contains(fail.Message, want) {
			t.Errorf("%s: route %+v, %v, want: %s", model, r, fail, want)
		}
	}
}

// A pool's served_model stands for the caller's name, unless the engines know that name themselves.
func TestTarget_SendsNamesThatEnginesList(t *testing.T) {
	tab := table(t, file)
	lists := func(model string) bool { return model == "chat-x" }
	for model, want := range map[string]string{"chat-x": "chat-x", "chat-y": "meta-llama/Llama-3-8B"} {
		r, fail := tab.Find(route.Query{Subject: config.Subject{Model: model}})
		if fail != nil {
			t.Fatal(fail)
		}
		if got := r.Targets[0].ModelFor(model, lists); got != want {
			t.Errorf("%s is sent as %s, want %s", model, got, want)
		}
	}
	r, fail := tab.Find(route.Query{Subject: config.Subject{Model: "llama3", Path: "/v1/chat/completions", Headers: headers{"X-App": "shop-eu"}}})
	if fail != nil {
		t.Fatal(fail)
	}
	if got := r.Targets[1].ModelFor("llama3", func(string) bool { return true }); got != "qwen-turbo" {
		t.Errorf("a target with a model of its own sends %s", got)
	}
}

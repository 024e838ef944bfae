package gateway_test

import (
	"strings"
	"testing"
)

// A model's name may end with the calling app's: the app is known everywhere, and no engine sees it.
func TestApp_BehindTheModelsName(t *testing.T) {
	seen := make(chan string, 1)
	u := echo(t, seen, good)
	r := newRig(t, onePool+`
consumers: [{name: dify, keys: [k], models: [m]}]
guard: [{name: pii, detect: [phone], check: input, action: mask}]
`, u)
	f := func(model, text, wantApp, wantText string, header ...string) {
		t.Helper()
		a := r.post(chat, `{"model":"`+model+`","messages":[{"role":"user","content":"`+text+`"}]}`,
			append(header, "Authorization", "Bearer k", "X-Warmlane-Explain", "1")...)
		if a.status != 200 || a.body != answer {
			t.Fatalf("%s: answered %d %s", model, a.status, a.body)
		}
		if got := <-seen; got != `{"model":"m","messages":[{"role":"user","content":"`+wantText+`"}]}` {
			t.Errorf("%s: the engine got %s", model, got)
		}
		line := r.lastLine()
		if app, _ := line["app"].(string); app != wantApp || line["model"] != "m" {
			t.Errorf("%s: access line %v", model, line)
		}
		if said := strings.Contains(a.header.Get("X-Warmlane-Decision"), `"app":"`+wantApp+`"`); said != (wantApp != "") {
			t.Errorf("%s: decision %s", model, a.header.Get("X-Warmlane-Decision"))
		}
	}
	f("m", "hi", "", "hi")
	f("m@support-bot", "hi", "support-bot", "hi")
	f(`m\u0040客服`, "hi", "客服", "hi")
	f("m@bot", "13812345678", "bot", "[PHONE]") // a rule has written the body anew
	f("m", "hi", "5f3c-a1", "hi", "X-Dify-App-Id", "5f3c-a1")
	f("m@bot", "hi", "bot", "hi", "X-Dify-App-Id", "5f3c-a1")
	f("m", "hi", "", "hi", "X-Dify-App-Id", "=1+1")
	if strings.Contains(r.metrics(), "support-bot") {
		t.Error("callers make labels of metrics")
	}

	a := r.post(chat, `{"model":"m@a b","messages":[]}`, "Authorization", "Bearer k")
	if a.status != 403 || !strings.Contains(a.body, `m@a b`) {
		t.Errorf("what is no app's name: answered %d %s", a.status, a.body)
	}
	a = r.do("GET", "/v1/models/m@bot", "", "Authorization", "Bearer k")
	if a.status != 200 || !strings.Contains(a.body, `"id":"m"`) {
		t.Errorf("its card: answered %d %s", a.status, a.body)
	}
}

package gateway_test

import (
	"net/http"
	"sync/atomic"
	"testing"
)

// The log tells once that an endpoint is taken out, and why, and once that it is back.
func TestOuts_AreLogged(t *testing.T) {
	var ill atomic.Bool
	ill.Store(true)
	bad := engine(t, func(w http.ResponseWriter, r *http.Request) {
		if ill.Load() {
			status(500, `{"error":{"message":"no"}}`)(w, r)
			return
		}
		good(w, r)
	})
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, health: {interval: 20ms, eject_after: 3, eject_for: 200ms}}]
`, bad.URL, engine(t, good).URL)
	await(t, "the endpoint to be out", func() bool {
		r.post(chat, plainChat)
		return len(r.log("endpoint is out")) > 0
	})
	ill.Store(false)
	await(t, "the endpoint to be back", func() bool { return len(r.log("endpoint is back")) > 0 })
	outs, backs := r.log("endpoint is out"), r.log("endpoint is back")
	if len(outs) != len(backs) {
		t.Errorf("%d went out, %d came back", len(outs), len(backs))
	}
	if line := outs[0]; line["endpoint"] != bad.URL || line["pool"] != "m" || line["state"] != "ejected" || line["reason"] == "" || line["level"] != "WARN" {
		t.Errorf("log %v", line)
	}
}

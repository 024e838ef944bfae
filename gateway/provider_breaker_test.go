package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// overflow is a route over a provider, then a pool; the %s are the provider's address, its health and the pool's engine.
const overflow = `
server: {lame_duck: 0s, drain: 2s}
providers: [{name: out, base_url: "%s", keys: [k], health: {%s}}]
pools: [{name: b, endpoints: ["%s"]}]
routes: [{models: [m], targets: [{provider: out}, {pool: b}]}]
`

// distinct is a request unlike others.
func distinct(i int) string {
	return strings.Replace(plainChat, "hello", fmt.Sprint("hello ", i), 1)
}

// A provider that cannot be reached costs three requests a try, then nobody but the one that finds it back.
func TestProviderBreaker_Unreachable(t *testing.T) {
	well, _ := counting(t, good)
	l := listen(t)
	address := l.Addr().String()
	_ = l.Close()
	r := newRig(t, fmt.Sprintf(overflow, "http://"+address, "eject_for: 100ms, eject_max: 100ms", well))
	tried, begun := 0, time.Now()
	for i := range 20 {
		a := r.post(chat, distinct(i))
		if a.status != 200 || r.lastLine()["passed_over"] != "out=connect_failed" {
			t.Fatalf("request %d: answered %d, passed over %v", i, a.status, r.lastLine()["passed_over"])
		}
		if a.header.Get("X-Warmlane-Tries") == "2" {
			tried++
		}
		if i == 2 && !strings.Contains(r.metrics(), `warmlane_provider_up{provider="out"} 0`) {
			t.Error("after three failures the provider is still up")
		}
	}
	if most := 4 + int(time.Since(begun)/(100*time.Millisecond)); tried < 3 || tried > most {
		t.Errorf("%d of 20 requests tried the provider, want 3 and one for each 100 ms, at most %d", tried, most)
	}
	admin := *r
	admin.URL = r.Admin
	if a := admin.do("GET", "/admin/v1/providers", ""); !strings.Contains(a.body, `"state": "ejected"`) || !strings.Contains(a.body, `"reason": "connect_failed"`) {
		t.Errorf("the admin API tells %s", a.body)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("the port has been taken meanwhile")
	}
	s := &http.Server{Handler: http.HandlerFunc(good)}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	await(t, "the provider is back", func() bool { return r.post(chat, plainChat).header.Get("X-Warmlane-Target") == "out" })
	if text := r.metrics(); !strings.Contains(text, `warmlane_provider_up{provider="out"} 1`) || strings.Contains(text, `warmlane_provider_ejections_total{provider="out"} 0`) {
		t.Error("the metrics do not tell that it is back")
	}
	if text := r.lines.text(); !strings.Contains(text, "provider is left alone") || !strings.Contains(text, "provider is back") {
		t.Error("the log does not tell")
	}
}

// A provider that only fails is passed by while there is another target, and asked all the same where there is none.
func TestProviderBreaker_Failing(t *testing.T) {
	well, _ := counting(t, good)
	var works atomic.Bool
	out, hits := counting(t, func(w http.ResponseWriter, r *http.Request) {
		if works.Load() {
			good(w, r)
			return
		}
		status(500, `{"error":{"message":"oops"}}`)(w, r)
	})
	const never = "eject_for: 1h, eject_max: 1h"
	r := newRig(t, fmt.Sprintf(overflow, out, never, well))
	for i := range 10 {
		if a := r.post(chat, distinct(i)); a.status != 200 || r.lastLine()["passed_over"] != "out=engine_error" {
			t.Fatalf("request %d: answered %d, passed over %v", i, a.status, r.lastLine()["passed_over"])
		}
	}
	if hits.Load() != 3 {
		t.Errorf("%d of 10 requests reached the provider, want 3", hits.Load())
	}
	hits.Store(0)
	r = newRig(t, outsiders(out, "keys: [k], health: {"+never+"}"))
	for i := range 10 {
		if a := r.post(chat, distinct(i)); a.status != 500 {
			t.Errorf("request %d: answered %d %s", i, a.status, a.body)
		}
	}
	works.Store(true)
	if a := r.post(chat, plainChat); a.status != 200 || hits.Load() < 11 {
		t.Errorf("the only target is not asked: answered %d %s, %d requests reached it", a.status, a.body, hits.Load())
	}
}

// The only target is refused at once while it cannot be reached.
func TestProviderBreaker_NobodyElse(t *testing.T) {
	l := listen(t)
	address := l.Addr().String()
	_ = l.Close()
	r := newRig(t, outsiders("http://"+address, "keys: [k], health: {eject_for: 1h, eject_max: 1h}"))
	for i := range 6 {
		a := r.post(chat, distinct(i))
		tries := a.header.Get("X-Warmlane-Tries")
		if i >= 3 && (a.status != 503 || tries != "0" || a.header.Get("Retry-After") == "" || a.code() != "provider_unavailable") {
			t.Errorf("request %d: answered %d %s after %s tries", i, a.status, a.body, tries)
		}
	}
}

// A poison prompt that is sent again and again takes nobody out.
func TestProviderBreaker_PoisonPrompt(t *testing.T) {
	well, _ := counting(t, good)
	out, hits := counting(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "poison") {
			status(500, `{"error":{"message":"oops"}}`)(w, r)
			return
		}
		good(w, r)
	})
	r := newRig(t, fmt.Sprintf(overflow, out, "eject_for: 1h, eject_max: 1h", well))
	for range 10 {
		r.post(chat, strings.Replace(plainChat, "hello", "poison", 1))
	}
	if a := r.post(chat, plainChat); a.header.Get("X-Warmlane-Target") != "out" || hits.Load() != 11 {
		t.Errorf("answered by %s, %d requests reached the provider", a.header.Get("X-Warmlane-Target"), hits.Load())
	}
}

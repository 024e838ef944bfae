package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// No word of a request leads a connection anywhere but to the configured engines.
func TestSSRF_RequestsNameNoHosts(t *testing.T) {
	var visits atomic.Int64
	canary := listen(t)
	t.Cleanup(func() { _ = canary.Close() })
	go func() {
		for {
			c, err := canary.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			_ = c.Close()
		}
	}()
	host := canary.Addr().String()
	_, port, _ := net.SplitHostPort(host)
	var seen atomic.Int64
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.URL.Path != chat && r.URL.Path != "/v1/responses" || r.Host == host || strings.Contains(r.Host, "localhost") {
			t.Errorf("the engine was asked for %s at %s", r.URL, r.Host)
		}
		if r.Header.Get("X-Redirect") != "" {
			w.Header().Set("Location", "http://"+host+"/")
			w.WriteHeader(307)
			return
		}
		good(w, r)
	})
	r := newRig(t, onePool, u)
	models := []string{
		"http://" + host + "/v1", host, "m@" + host, "//" + host, "../../m", "m/../../" + host, "m#@" + host, "m?x=http://" + host, "m\r\nHost: " + host,
		"m\u0000", "${env:HOME}", "${file:/etc/passwd}", "{{m}}", "file:///etc/passwd", "localhost:" + port,
	}
	for _, m := range models {
		name, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if a := r.post(chat, fmt.Sprintf(`{"model":%s,"messages":[]}`, name)); a.status != 404 {
			t.Errorf("model %q: answered %d %s", m, a.status, a.body)
		}
		if a := r.do("GET", "/v1/models/"+strings.NewReplacer("?", "%3f", "#", "%23", "\r", "%0d", "\n", "%0a", "\x00", "%00", "{", "%7b", "}", "%7d").Replace(m), ""); a.status != 404 {
			t.Errorf("/v1/models/%s: answered %d %s", m, a.status, a.body)
		}
	}
	if seen.Load() != 0 {
		t.Errorf("%d requests for such models reached the engine", seen.Load())
	}
	for _, h := range []string{
		"Host", "X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Proto", "Forwarded", "X-Original-Url", "X-Rewrite-Url", "X-Host", "Referer", "Origin", "Via",
		"X-Real-Ip", "Location", "Destination", "X-Warmlane-Endpoint", "X-Warmlane-Target", "X-Gateway-Destination-Endpoint", "X-Data-Parallel-Rank", "X-Redirect",
	} {
		conn := r.dial()
		host := "x"
		if h == "Host" {
			host = canary.Addr().String()
		}
		fmt.Fprintf(conn, "POST %s?url=http://%s/ HTTP/1.1\r\nHost: %s\r\n", chat, canary.Addr(), host)
		if h != "Host" {
			fmt.Fprintf(conn, "%s: http://%s/\r\n", h, canary.Addr())
		}
		fmt.Fprintf(conn, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(plainChat), plainChat)
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := h != "X-Redirect"; (a.StatusCode == 200) != want || a.Header.Get("Location") != "" {
			t.Errorf("%s: answered %s, %v", h, a.Status, a.Header)
		}
	}
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://HOST/x.png"}}]}]}`,
		`{"model":"m","messages":[],"tools":[{"type":"mcp","server_url":"http://HOST/"}],"base_url":"http://HOST/","api_base":"http://HOST/"}`,
	} {
		if a := r.post(chat, strings.ReplaceAll(body, "HOST", host)); a.status != 200 {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
	r.post("/v1/responses", strings.ReplaceAll(`{"model":"m","input":"x","previous_response_id":"http://HOST/"}`, "HOST", host))
	if visits.Load() != 0 {
		t.Errorf("%d connections went where requests said", visits.Load())
	}
}

// No secret shows in a log at its loudest, an answer, a metric or the admin API, whatever goes wrong.
func TestSecrets_ShowNowhere(t *testing.T) {
	bad := engine(t, func(w http.ResponseWriter, r *http.Request) { // it quotes the credential that it refuses
		http.Error(w, `{"error":{"message":"Incorrect API key provided: `+r.Header.Get("Authorization")+`","type":"x","code":"invalid_api_key"}}`, http.StatusUnauthorized)
	})
	provider := engine(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error":{"message":"bad key `+r.Header.Get("Authorization")+`","type":"x","code":"invalid_api_key"}}`, http.StatusForbidden)
	})
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s, admin_token: hunter2-admin}
observe: {explain: true, log: {level: debug}}
consumers: [{name: c, keys: [hunter2-consumer]}]
pools: [{name: m, endpoints: ENGINES, api_key: hunter2-pool}]
providers: [{name: o, base_url: "`+provider.URL+`/v1", keys: [hunter2-provider], models: [big]}]
`, bad.URL, "http://127.0.0.1:1")
	var told []string
	keep := func(a reply) { told = append(told, fmt.Sprint(a.header, a.body)) }
	for _, key := range []string{"hunter2-consumer", "hunter2-wrong", "hunter2-consumer "} {
		for _, header := range []string{"Authorization", "X-Api-Key", "Api-Key"} {
			value := key
			if header == "Authorization" {
				value = "Bearer " + key
			}
			for _, body := range []string{plainChat, streamChat, strings.Replace(plainChat, `"m"`, `"big"`, 1), `{"model":`} {
				keep(r.post(chat, body, header, value, "X-Warmlane-Explain", "1"))
			}
			keep(r.do("GET", "/v1/models", "", header, value))
		}
	}
	for _, wire := range []string{
		line + "Authorization: Bearer hunter2-consumer\r\nX: a\rb\r\n\r\n",
		line + "Authorization: Bearer hunter2-consumer\r\n folded\r\n\r\n",
		line + "Authorization: Bearer hunter2-consumer\r\nContent-Length: x\r\n\r\n",
		line + "Authorization: Bearer hunter2-consumer\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
		line + "Authorization: Bearer hunter2-consumer" + strings.Repeat("x", 20_000) + "\r\n\r\n",
	} {
		conn := r.dial()
		_, _ = io.WriteString(conn, wire)
		text, _ := io.ReadAll(conn)
		told = append(told, string(text))
	}
	admin := *r
	admin.URL = r.Admin
	var calls struct{ Calls []string }
	list := admin.do("GET", "/admin/v1/", "", "Authorization", "Bearer hunter2-admin")
	if err := json.Unmarshal([]byte(list.body), &calls); err != nil || len(calls.Calls) == 0 {
		t.Fatalf("%v: %s", err, list.body)
	}
	for _, c := range append(calls.Calls, "GET /metrics", "GET /readyz") {
		method, path, _ := strings.Cut(c, " ")
		for _, token := range []string{"hunter2-admin", "hunter2-false"} {
			keep(admin.do(method, strings.NewReplacer("{name}", "m").Replace(path), "", "Authorization", "Bearer "+token))
		}
	}
	for _, text := range told {
		if strings.Contains(text, "hunter2") {
			t.Errorf("an answer shows a secret: %.500s", text)
		}
	}
	if i := strings.Index(r.lines.text(), "hunter2"); i >= 0 {
		t.Errorf("the log shows a secret: %.500s", r.lines.text()[max(0, i-300):])
	}
}

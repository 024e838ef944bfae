package console_test

import (
	"encoding/json"
	"math"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/console"
	"github.com/warmlane/warmlane/gateway/failure"
)

// call is one request to the admin listener.
type call struct {
	method, path string
	body         string
	from         string // address of the peer; default 127.0.0.1:5000
	headers      map[string]string
}

func (c call) do(m *console.Mux) *fasthttp.Response {
	if c.from == "" {
		c.from = "127.0.0.1:5000"
	}
	var req fasthttp.Request
	req.Header.SetMethod(c.method)
	req.SetRequestURI(c.path)
	req.Header.SetHost("127.0.0.1:9090")
	if c.body != "" {
		req.Header.SetContentType("application/json")
		req.SetBodyString(c.body)
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	var peer net.Addr = &net.UnixAddr{Name: "@", Net: "unix"}
	if c.from != "unix" {
		peer, _ = net.ResolveTCPAddr("tcp", c.from) //nolint:errcheck // literals of this file
	}
	var ctx fasthttp.RequestCtx
	ctx.Init(&req, peer, nil)
	m.ServeHTTP(&ctx)
	return &ctx.Response
}

// mux is an admin API with a few handlers.
func mux(cfg console.Config) *console.Mux {
	m := console.New(cfg)
	m.Handle("GET", "/admin/v1/pools/{name}", func(c *console.Call) (any, *failure.Error) {
		if c.Param("name") == "gone" {
			return nil, failure.New(failure.PathNotFound, "There is no such pool.")
		}
		return map[string]string{"name": c.Param("name")}, nil
	})
	m.Handle("POST", "/admin/v1/state", func(c *console.Call) (any, *failure.Error) {
		var want struct {
			Name  string `json:"name"`
			Count int    `json:"count"`
		}
		if fail := c.Decode(&want); fail != nil {
			return nil, fail
		}
		return want, nil
	})
	m.Handle("DELETE", "/admin/v1/state", func(*console.Call) (any, *failure.Error) { return nil, nil })
	m.Handle("GET", "/admin/v1/panic", func(*console.Call) (any, *failure.Error) { panic("secret detail") })
	m.Handle("GET", "/admin/v1/nan", func(*console.Call) (any, *failure.Error) { return math.NaN(), nil })
	return m
}

// failed checks that r is an error in OpenAI's form.
func failed(t *testing.T, what string, r *fasthttp.Response, status int, code, text string) {
	t.Helper()
	var body struct {
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal(r.Body(), &body); err != nil {
		t.Errorf("%s: %d %q is no JSON: %v", what, r.StatusCode(), r.Body(), err)
		return
	}
	if r.StatusCode() != status || body.Error.Code != code || body.Error.Type == "" || !strings.Contains(body.Error.Message, text) {
		t.Errorf("%s: %d %s, want %d %s with %q", what, r.StatusCode(), r.Body(), status, code, text)
	}
	if string(r.Header.ContentType()) != "application/json" {
		t.Errorf("%s: content type %s", what, r.Header.ContentType())
	}
}

func TestMux_Answers(t *testing.T) {
	m := mux(console.Config{})
	f := func(c call, status int, want string) {
		t.Helper()
		r := c.do(m)
		if got := strings.Join(strings.Fields(string(r.Body())), ""); r.StatusCode() != status || got != want {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, r.StatusCode(), got, status, want)
		}
		if string(r.Header.Peek("Cache-Control")) != "no-store" {
			t.Errorf("%s %s may be cached", c.method, c.path)
		}
	}
	f(call{method: "GET", path: "/admin/v1/pools/llama3"}, 200, `{"name":"llama3"}`)
	f(call{method: "HEAD", path: "/admin/v1/pools/llama3"}, 200, `{"name":"llama3"}`) // the server drops the body
	f(call{method: "GET", path: "/admin/v1/pools/a%2Fb%20c"}, 200, `{"name":"a/bc"}`)
	f(call{method: "GET", path: "/admin/v1/pools/llama3?x=1"}, 200, `{"name":"llama3"}`)
	f(call{method: "POST", path: "/admin/v1/state", body: `{"name":"x","count":2}`}, 200, `{"name":"x","count":2}`)
	f(call{method: "DELETE", path: "/admin/v1/state"}, 204, ``)
	f(call{method: "GET", path: "/admin/v1/"}, 200,
		`{"calls":["DELETE/admin/v1/state","GET/admin/v1/","GET/admin/v1/nan","GET/admin/v1/panic","GET/admin/v1/pools/{name}","POST/admin/v1/state"]}`)
}

func TestMux_Failures(t *testing.T) {
	m := mux(console.Config{})
	f := func(c call, status int, code, text string) {
		t.Helper()
		failed(t, c.method+" "+c.path+" "+c.body, c.do(m), status, code, text)
	}
	f(call{method: "GET", path: "/"}, 404, "path_not_found", "admin listener")
	f(call{method: "GET", path: "/v1/chat/completions"}, 404, "path_not_found", "admin listener")
	f(call{method: "GET", path: "/metrics"}, 404, "path_not_found", "") // none given
	f(call{method: "GET", path: "/admin/v1/nothing"}, 404, "path_not_found", "GET /admin/v1/")
	f(call{method: "GET", path: "/admin/v1/pools/"}, 404, "path_not_found", "")
	f(call{method: "GET", path: "/admin/v1/pools/a/b"}, 404, "path_not_found", "")
	f(call{method: "GET", path: "/admin/v1/pools/%zz"}, 404, "path_not_found", "")
	f(call{method: "GET", path: "/admin/v1/pools/gone"}, 404, "path_not_found", "no such pool")
	f(call{method: "PUT", path: "/admin/v1/state"}, 405, "method_not_allowed", "DELETE, POST")
	f(call{method: "POST", path: "/admin/v1/state"}, 415, "unsupported_media_type", "application/json")
	f(call{method: "POST", path: "/admin/v1/state", body: " "}, 400, "invalid_request", "needs a JSON body")
	f(call{method: "POST", path: "/admin/v1/state", body: `{"nam":1}`}, 400, "invalid_request", `unknown field "nam"`)
	f(call{method: "POST", path: "/admin/v1/state", body: `{"name":1}`}, 400, "invalid_request", `"name" cannot be a number`)
	f(call{method: "POST", path: "/admin/v1/state", body: `{"name":"x"} {}`}, 400, "invalid_request", "goes on")
	f(call{method: "POST", path: "/admin/v1/state", body: `{"name":`}, 400, "invalid_request", "cannot be read")
	f(call{method: "GET", path: "/admin/v1/panic"}, 500, "internal_error", "its log tells why")
	f(call{method: "GET", path: "/admin/v1/nan"}, 500, "internal_error", "its log tells why")
	r := call{method: "PUT", path: "/admin/v1/state"}.do(m)
	if got := string(r.Header.Peek("Allow")); got != "DELETE, POST" {
		t.Errorf("Allow: %s", got)
	}
}

func TestMux_HealthReadinessMetrics(t *testing.T) {
	ready := true
	m := mux(console.Config{
		Token: func() string { return "t" }, Ready: func() bool { return ready },
		Metrics: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("metrics") },
	})
	f := func(path string, status int, want string) {
		t.Helper()
		r := call{method: "GET", path: path, from: "10.0.0.7:1"}.do(m) // anybody may ask
		if r.StatusCode() != status || string(r.Body()) != want {
			t.Errorf("%s: %d %q, want %d %q", path, r.StatusCode(), r.Body(), status, want)
		}
	}
	f("/healthz", 200, "ok\n")
	f("/readyz", 200, "ready\n")
	f("/metrics", 200, "metrics")
	ready = false
	f("/healthz", 200, "ok\n")
	f("/readyz", 503, "not ready\n")
}

func TestMux_WhoMayCall(t *testing.T) {
	with, without := mux(console.Config{Token: func() string { return "s3cret" }}), mux(console.Config{})
	bearer := func(token string) map[string]string { return map[string]string{"Authorization": "Bearer " + token} }
	f := func(m *console.Mux, from string, headers map[string]string, want int) {
		t.Helper()
		c := call{method: "GET", path: "/admin/v1/pools/x", from: from, headers: headers}
		r := c.do(m)
		switch {
		case r.StatusCode() != want:
			t.Errorf("from %s with %v: %d, want %d", from, headers, r.StatusCode(), want)
		case want == 401:
			failed(t, from, r, 401, "invalid_api_key", "admin token")
		case want == 403:
			failed(t, from, r, 403, "admin_not_allowed", "server.admin_token")
		}
	}
	const here, elsewhere = "127.0.0.1:5000", "10.0.0.7:5000"
	f(without, here, nil, 200)
	f(without, "[::1]:5000", nil, 200)
	f(without, "127.8.9.1:5000", nil, 200)
	f(without, "unix", nil, 200)
	f(without, elsewhere, nil, 403)
	f(without, elsewhere, bearer(""), 403) // no token is configured: an empty one is none
	f(without, here, bearer("x"), 200)
	f(with, here, nil, 200)
	f(with, elsewhere, nil, 401)
	f(with, elsewhere, bearer("s3cret"), 200)
	f(with, elsewhere, bearer("s3cre"), 401)
	f(with, here, bearer("wrong"), 401)
	f(with, elsewhere, map[string]string{"Authorization": "Basic s3cret"}, 401)

	// From this host, but not for a program on it.
	foreign := []map[string]string{
		{"X-Forwarded-For": "10.0.0.7"},
		{"Forwarded": "for=10.0.0.7"},
		{"X-Real-IP": "10.0.0.7"},
		{"Via": "1.1 proxy"},
		{"Host": "rebound.example:9090"},
		{"Origin": "https://evil.example"},
		{"Origin": "null"},
	}
	for _, headers := range foreign {
		f(without, here, headers, 403)
		f(with, here, headers, 401)
		headers["Authorization"] = "Bearer s3cret"
		f(with, here, headers, 200)
	}
	f(without, here, map[string]string{"Host": "localhost:9090"}, 200)
	f(without, here, map[string]string{"Host": "[::1]:9090", "Origin": "http://[::1]:9090"}, 200)
}

func TestMux_HandleFaults(t *testing.T) {
	f := func(pattern string) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("Handle(%q) was taken", pattern)
			}
		}()
		m := mux(console.Config{})
		m.Handle("GET", pattern, nil)
	}
	f("/metrics")
	f("/admin/v1/pools/{name}") // twice
}

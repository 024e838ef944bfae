package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Whatever is wrong with a request is a clear 4xx that names the fault.
func TestRefuse_BadRequests(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, onePool, u)
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, c := range map[string]struct {
		path, body string
		status     int
		code       string
		says       string
	}{
		"no such path":     {"/v1/nonsense", plainChat, 404, "path_not_found", "/v1/nonsense"},
		"path that climbs": {"/v1/chat/../chat/completions", plainChat, 404, "path_not_found", ""},
		"unknown model":    {chat, `{"model":"gpt-5","messages":[]}`, 404, "model_not_found", "gpt-5"},
		"no model":         {chat, `{"messages":[]}`, 400, "invalid_request", "model"},
		"model a number":   {chat, `{"model":7,"messages":[]}`, 400, "invalid_request", "model"},
		"stream a string":  {chat, `{"model":"m","stream":"yes","messages":[]}`, 400, "invalid_request", "stream"},
		"messages a map":   {chat, `{"model":"m","messages":{}}`, 400, "invalid_request", "messages"},
		"cut JSON":         {chat, `{"model":"m","messages":[`, 400, "invalid_request", ""},
		"not an object":    {chat, `[1]`, 400, "invalid_request", ""},
		"empty":            {chat, "", 400, "invalid_request", ""},
		"not UTF-8":        {chat, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}", 400, "invalid_request", "UTF-8"},
		"10,000 deep":      {chat, `{"model":"m","messages":[` + deep + `]}`, 400, "invalid_request", ""},
		"trailing junk":    {chat, plainChat + "x", 400, "invalid_request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.post(c.path, c.body)
			if a.status != c.status || a.code() != c.code || !strings.Contains(a.body, c.says) {
				t.Errorf("answered %d %s", a.status, a.body)
			}
		})
	}
	if a := r.do("GET", chat, ""); a.status != 405 || a.code() != "method_not_allowed" {
		t.Errorf("GET answered %d %s", a.status, a.body)
	}
	if n.Load() != 0 {
		t.Errorf("%d bad requests reached the engine", n.Load())
	}
}

const keyed = `
server: {lame_duck: 0s, drain: 2s, max_body: 1MiB}
consumers: [{name: dify, keys: [sk-good]}, {name: narrow, keys: [sk-narrow], models: [other]}]
pools: [{name: m, endpoints: ENGINES, policy: round_robin}]
`

func TestRefuse_Keys(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, keyed, u)
	for name, c := range map[string]struct {
		header [2]string
		status int
	}{
		"bearer":     {[2]string{"Authorization", "Bearer sk-good"}, 200},
		"x-api-key":  {[2]string{"X-Api-Key", "sk-good"}, 200},
		"api-key":    {[2]string{"Api-Key", "sk-good"}, 200},
		"wrong":      {[2]string{"Authorization", "Bearer sk-bad"}, 401},
		"none":       {[2]string{"X-None", "1"}, 401},
		"not for it": {[2]string{"Authorization", "Bearer sk-narrow"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			if a := r.post(chat, plainChat, c.header[0], c.header[1]); a.status != c.status || a.status != 200 && a.code() == "" {
				t.Errorf("answered %d %s", a.status, a.body)
			}
		})
	}
	if n.Load() != 3 {
		t.Errorf("%d requests reached the engine, want 3", n.Load())
	}
}

// A request with a bad key is refused on its head: its body is never read, nor asked for.
func TestRefuse_KeyIsCheckedBeforeTheBody(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, keyed, u)
	for name, expect := range map[string]string{"plain": "", "expect": "Expect: 100-continue\r\n"} {
		t.Run(name, func(t *testing.T) {
			c := r.dial()
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-bad\r\nContent-Length: 100000\r\n%s\r\n", chat, expect)
			a, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			if a.StatusCode != 401 || !a.Close {
				t.Errorf("answered %s, close %v", a.Status, a.Close)
			}
		})
	}
}

// A body in chunks makes no difference to what is said of the head.
func TestRefuse_ChunksAreRefusedOnTheirHead(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, keyed, u)
	for name, c := range map[string]struct {
		path, key string
		status    int
	}{"wrong key": {chat, "sk-bad", 401}, "no such path": {"/v1/nonsense", "sk-good", 404}} {
		t.Run(name, func(t *testing.T) {
			conn := r.dial()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
				c.path, c.key, len(plainChat), plainChat)
			a, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			if a.StatusCode != c.status || !a.Close {
				t.Errorf("answered %s, close %v", a.Status, a.Close)
			}
		})
	}
	if n.Load() != 0 {
		t.Errorf("%d requests reached the engine", n.Load())
	}
}

// Wrong keys are counted whether or not there is a body behind them.
func TestRefuse_GuessingIsSlowed(t *testing.T) {
	u, _ := counting(t, good)
	for name, head := range map[string]string{
		"length": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(plainChat), plainChat),
		"chunks": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(plainChat), plainChat),
		"expect": "Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, keyed, u)
			counts := map[int]int{}
			for range 70 {
				conn := r.dial()
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-guess\r\n%s", chat, head)
				a, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = a.Body.Close()
				_ = conn.Close()
				counts[a.StatusCode]++
			}
			if counts[401] < 60 || counts[429] == 0 {
				t.Errorf("answers by status: %v", counts)
			}
			if a := r.post(chat, plainChat, "Authorization", "Bearer sk-good"); a.status != 200 {
				t.Errorf("a good key was answered %d %s", a.status, a.body)
			}
		})
	}
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Messages that two readers could understand differently are refused and the connection is closed.
func TestRefuse_BrokenHTTP(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, keyed, u)
	const head = "POST " + chat + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-good\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		wire   string
		status int
	}{
		"length and chunks": {head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"two lengths":       {head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 400},
		"bad chunk size":    {head + "Transfer-Encoding: chunked\r\n\r\n0x5\r\n12345\r\n0\r\n\r\n", 400},
		"NUL in a value":    {head + "X: a\x00b\r\nContent-Length: 0\r\n\r\n", 400},
		"too large a body":  {head + "Content-Length: 2000000\r\n\r\n", 413},
		"headers too large": {head + "X: " + strings.Repeat("x", 100_000) + "\r\n\r\n", 431},
		"larger in chunks":  {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n", 20), 413},
		"not HTTP":          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.dial()
			go func() { _, _ = io.WriteString(conn, c.wire) }()
			a, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			body, _ := io.ReadAll(a.Body)
			if a.StatusCode != c.status || !strings.Contains(string(body), `"error"`) {
				t.Errorf("answered %s %s", a.Status, body)
			}
		})
	}
	if n.Load() != 0 {
		t.Errorf("%d broken requests reached the engine", n.Load())
	}
}

func TestRefuse_Limits(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, onePool+"limits: [{name: shop, match: {headers: {x-app: shop}}, requests: 2/min}]\n", u)
	for i, want := range []int{200, 200, 429} {
		a := r.post(chat, plainChat, "X-App", "shop")
		if a.status != want {
			t.Errorf("request %d answered %d %s", i, a.status, a.body)
		}
		if a.header.Get("X-Ratelimit-Limit-Requests") != "2" {
			t.Errorf("request %d carries %v", i, a.header)
		}
		if want == 429 && (a.header.Get("Retry-After") == "" || a.code() != "rate_limit_exceeded") {
			t.Errorf("refused with %v %s", a.header, a.body)
		}
	}
	if a := r.post(chat, plainChat); a.status != 200 {
		t.Errorf("another app answered %d", a.status)
	}
	if n.Load() != 3 {
		t.Errorf("%d requests reached the engine, want 3", n.Load())
	}
}

// Where Anthropic's API is spoken, refusals are Anthropic's errors, with the code that other paths tell beside their type.
func TestRefuse_MessagesSpeakAnthropic(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s, max_body: 1MiB}
consumers: [{name: dify, keys: [sk-good]}, {name: narrow, keys: [sk-narrow], models: [other]}]
limits: [{name: shop, match: {headers: {x-app: shop}}, requests: 1/h}]
pools: [{name: m, endpoints: ENGINES, policy: round_robin}, {name: bad, endpoints: [%q]}]
`, engine(t, status(500, "oops")).URL), u)
	const ask = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	r.post(chat, plainChat, "X-Api-Key", "sk-good", "X-App", "shop") // all that it may
	for name, c := range map[string]struct {
		method, key, body string
		status            int
		kind, code        string
	}{
		"cut JSON":      {"POST", "sk-good", `{"model":"m"`, 400, "invalid_request_error", "invalid_request"},
		"wrong key":     {"POST", "sk-bad", ask, 401, "authentication_error", "invalid_api_key"},
		"not for it":    {"POST", "sk-narrow", ask, 403, "permission_error", "model_not_allowed"},
		"unknown model": {"POST", "sk-good", `{"model":"x","messages":[]}`, 404, "not_found_error", "model_not_found"},
		"GET":           {"GET", "sk-good", "", 405, "invalid_request_error", "method_not_allowed"},
		"limited":       {"POST", "sk-good", ask, 429, "rate_limit_error", "rate_limit_exceeded"},
		"bad engine":    {"POST", "sk-good", `{"model":"bad","messages":[]}`, 500, "api_error", "engine_error"},
	} {
		for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens"} {
			t.Run(name+" "+path, func(t *testing.T) {
				header := []string{"X-Api-Key", c.key}
				if name == "limited" {
					header = append(header, "X-App", "shop")
				}
				a := r.do(c.method, path, c.body, header...)
				var got struct {
					Type  string
					Error struct{ Type, Message string }
				}
				if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Type != "error" || got.Error.Message == "" {
					t.Fatalf("answered %d %s (%v)", a.status, a.body, err)
				}
				if a.status != c.status || got.Error.Type != c.kind || a.code() != c.code {
					t.Errorf("answered %d %s", a.status, a.body)
				}
			})
		}
	}
	c := r.dial() // on the head alone
	fmt.Fprint(c, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: sk-good\r\nContent-Length: 2000000\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if body, _ := io.ReadAll(a.Body); a.StatusCode != 413 || !strings.Contains(string(body), `"type":"request_too_large"`) {
		t.Errorf("a large body is answered %s %s", a.Status, body)
	}
	if a := r.post(chat, plainChat); a.status != 401 || strings.Contains(a.body, `"type":"error"`) {
		t.Errorf("elsewhere it is answered %d %s", a.status, a.body)
	}
}

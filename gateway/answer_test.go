package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// hijacked answers with raw bytes and closes.
func hijacked(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = buf.WriteString(text)
		_ = buf.Flush()
		_ = c.Close()
	}
}

// GET /v1/responses/{id}?stream=true replays a stored answer as events.
func TestAnswer_StoredResponseAsAStream(t *testing.T) {
	const created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_a\"}}\n\n"
	const text = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n"
	const end = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_a\",\"status\":\"completed\"}}\n\n"
	for name, split := range map[string]bool{"text in a later packet": true, "text in the first packet": false} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Method == "POST" {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, `{"id":"resp_a","object":"response","output":[]}`)
					return
				}
				if split {
					events(w, created)
					linger(50 * time.Millisecond)
					events(w, text, end)
					return
				}
				events(w, created+text)
				select {
				case <-r.Context().Done():
					close(left)
				case <-time.After(5 * time.Second):
				}
			})
			r := newRig(t, onePool, u)
			if a := r.post("/v1/responses", `{"model":"m","input":"hi"}`); a.status != 200 {
				t.Fatal(a)
			}
			if split {
				a := r.do("GET", "/v1/responses/resp_a?stream=true", "")
				if a.status != 200 || a.err != nil || a.body != created+text+end {
					t.Errorf("answered %d %v %q; access line %v", a.status, a.err, a.body, r.lastLine())
				}
				return
			}
			a := r.do("GET", "/v1/responses/resp_a?stream=true", "")
			if a.status == 500 {
				t.Errorf("answered 500 %s", a.body)
				select {
				case <-left:
				case <-time.After(2 * time.Second):
					t.Error("2 s after the panic the engine's connection is still open: the attempt leaks")
				}
			}
		})
	}
}

// When the drain time is over, what is left ends with an explicit error before Run returns (the process exits then).
func TestAnswer_DrainTellsOpenStreamsBeforeItReturns(t *testing.T) {
	const n = 200
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		events(w, delta)
		<-r.Context().Done()
	})
	cfg, err := config.Parse("test.yaml", []byte(strings.ReplaceAll(strings.Replace(onePool, "drain: 2s", "drain: 200ms", 1), "ENGINES", `["`+u+`"]`)))
	if err != nil {
		t.Fatal(err)
	}
	app, log := listen(t), &lines{}
	cfg.Server.Admin = ""
	g, err := gateway.New(cfg, gateway.Options{Listener: app, Log: slog.NewJSONHandler(log, nil)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	returned := make(chan error, 1)
	go func() { returned <- g.Run(ctx) }()
	r := &rig{t: t, URL: "http://" + app.Addr().String()}
	for range n {
		c := r.dial()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(streamChat), streamChat)
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-returned; err != nil {
		t.Error(err)
	}
	if ended := len(log.access()); ended != n {
		t.Errorf("when Run returned %d of %d streams had been ended", ended, n)
	}
	await(t, "the rest", func() bool { return len(log.access()) == n })
}

// A JSON answer whose end is the end of the connection and that was cut is no complete answer.
func TestAnswer_CutCloseDelimitedJSONDoesNotLookComplete(t *testing.T) {
	u, _ := counting(t, hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"+answer[:len(answer)/2]))
	r := newRig(t, onePool, u)
	if a := r.post(chat, plainChat); a.status == 200 && a.err == nil {
		t.Errorf("half an answer came as a whole one: %s", a.body)
	}
}

// An error inside a 200 that is no stream is an error (api.Answer.Err exists for it).
func TestAnswer_ErrorInsideA200IsTriedElsewhere(t *testing.T) {
	u1, _ := counting(t, status(200, `{"object":"error","message":"The request queue is full.","type":"ServiceUnavailable","code":503}`))
	u2, _ := counting(t, good)
	r := newRig(t, onePool, u1, u2)
	for range 2 {
		if a := r.post(chat, plainChat); a.body != answer {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
}

// Content types are compared without regard to case.
func TestAnswer_EventStreamInCapitalsIsAStream(t *testing.T) {
	u, _ := counting(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "Text/Event-Stream")
		_, _ = io.WriteString(w, delta)
	})
	r := newRig(t, onePool, u)
	if a := r.post(chat, streamChat); a.status == 200 && a.err == nil {
		t.Errorf("an incomplete stream ended cleanly: %d %s", a.status, a.body)
	}
}

// An engine's long error body is not passed on in half.
func TestAnswer_LongErrorBodyStaysJSON(t *testing.T) {
	body := `{"error":{"message":"` + strings.Repeat("x", 100<<10) + `","type":"BadRequestError","param":null,"code":400}}`
	u, _ := counting(t, status(400, body))
	r := newRig(t, onePool, u)
	a := r.post(chat, plainChat)
	if a.status != 400 || !json.Valid([]byte(a.body)) {
		t.Errorf("answered %d with %d bytes, valid JSON: %v", a.status, len(a.body), json.Valid([]byte(a.body)))
	}
}

// The engine's words about the gateway's credential do not reach a caller, in whatever form they come.
func TestAnswer_CredentialTroubleInTheFirstEvent(t *testing.T) {
	u, _ := counting(t, func(w http.ResponseWriter, _ *http.Request) {
		events(w, `data: {"error":{"message":"Incorrect API key provided: sk-pool","type":"authentication_error","code":401}}`+"\n\n")
	})
	r := newRig(t, onePool, u)
	if a := r.post(chat, streamChat); strings.Contains(a.body, "sk-pool") || a.status == 401 {
		t.Errorf("answered %d %s", a.status, a.body)
	}
}

// A redirect of an engine names a host that callers must not learn, nor follow with their credentials.
func TestAnswer_RedirectsStayInside(t *testing.T) {
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://10.1.2.3:8000/login")
		w.WriteHeader(307)
	})
	r := newRig(t, onePool, u)
	c := r.dial()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(plainChat), plainChat)
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode < 400 || a.Header.Get("Location") != "" {
		t.Errorf("answered %s, Location %q", a.Status, a.Header.Get("Location"))
	}
}

// Headers that the engine's Connection names are hop-by-hop.
func TestAnswer_EnginesConnectionNamesAreDropped(t *testing.T) {
	u, _ := counting(t, hijacked(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Accel-Redirect: /internal\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)))
	r := newRig(t, onePool, u)
	if a := r.post(chat, plainChat); a.header.Get("X-Hop") != "" || a.header.Get("X-Accel-Redirect") != "" {
		t.Errorf("the caller got %v", a.header)
	}
}

// "Connection: close, X-Hop" names X-Hop as well as a second Connection line does.
func TestAnswer_CallersConnectionNamesAreDropped(t *testing.T) {
	seen := make(chan http.Header, 2)
	u, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		good(w, r)
	})
	r := newRig(t, onePool, u)
	for _, lines := range []string{"Connection: close, X-Hop\r\n", "Connection: keep-alive\r\nConnection: X-Hop\r\n"} {
		c := r.dial()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\n%sX-Hop: 1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, lines, len(plainChat), plainChat)
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		if h := <-seen; h.Get("X-Hop") != "" {
			t.Errorf("%q: X-Hop reached the engine", lines)
		}
	}
}

// max_body_total bounds what is in memory, also while it is being sent.
func TestAnswer_BodiesOnTheirWayCountTowardsTheTotal(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, strings.Replace(onePool, "server: {", "server: {max_body: 1MiB, max_body_total: 2MiB, ", 1), u)
	const size = 1 << 20
	admitted := 0
	for range 20 {
		c := r.dial()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", chat, size)
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(line, "100") {
			continue
		}
		admitted++
		if _, err := c.Write([]byte(strings.Repeat(" ", size-1))); err != nil {
			t.Fatal(err)
		}
	}
	if admitted > 2 {
		t.Errorf("%d bodies of 1 MiB are in memory with max_body_total 2 MiB", admitted)
	}
}

// A wrong key is told also to a client that is busy sending a large body.
func TestAnswer_WrongKeyWithALargeBody(t *testing.T) {
	u, _ := counting(t, good)
	r := newRig(t, keyed, u)
	lost := 0
	for range 10 {
		c := r.dial()
		go func() {
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-bad\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n", chat)
			_, _ = io.WriteString(c, strings.Repeat(" ", 900000))
		}()
		linger(20 * time.Millisecond)
		if a, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || a.StatusCode != 401 {
			lost++
		}
		_ = c.Close()
	}
	if lost > 0 {
		t.Errorf("%d of 10 clients lost the 401 to a reset", lost)
	}
}

package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRelay_BytesPass(t *testing.T) {
	const odd = `{"model":"m", "messages":[{"content":"h\u0065llo \ud83d\ude00","role":"user"}],"guided_json":{"a":[1,2]},"cache_salt":"s","unknown":null}`
	got := make(chan string, 1)
	e := engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer+" \n")
	})
	r := newRig(t, onePool, e.URL)
	if a := r.post(chat+"?x=1", odd); a.status != 200 || a.body != answer+" \n" || a.err != nil {
		t.Errorf("answered %+v", a)
	}
	if sent := <-got; sent != odd {
		t.Errorf("the engine got\n%s\nwant\n%s", sent, odd)
	}
}

func TestRelay_StreamPassesAndUsageChunkIsTakenOut(t *testing.T) {
	bodies := make(chan string, 2)
	e := engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
		events(w, ": ping\n\n", delta, delta, finish, usage, done)
	})
	r := newRig(t, onePool, e.URL)
	a := r.post(chat, streamChat)
	if want := ": ping\n\n" + delta + delta + finish + done; a.body != want || a.err != nil || a.status != 200 {
		t.Errorf("answered %d %v\n%s\nwant\n%s", a.status, a.err, a.body, want)
	}
	if sent := <-bodies; !strings.Contains(sent, `"include_usage":true`) {
		t.Errorf("usage was not asked for: %s", sent)
	}
	asked := strings.Replace(streamChat, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)
	if a := r.post(chat, asked); !strings.Contains(a.body, `"prompt_tokens":9`) {
		t.Errorf("the usage chunk that was asked for is missing: %s", a.body)
	}
	if sent := <-bodies; sent != asked {
		t.Errorf("the engine got %s, want %s", sent, asked)
	}
	line := r.lastLine()
	if line["prompt_tokens"] != 9.0 || line["cached_tokens"] != 4.0 || line["output_tokens"] != 2.0 || line["ended_by"] != "engine" {
		t.Errorf("access line %v", line)
	}
}

// lastLine is the access line of the request before. A stream's is written after its client has the end.
func (r *rig) lastLine() map[string]any {
	r.t.Helper()
	await(r.t, "an access line", func() bool { return len(r.lines.access()) >= max(1, int(r.asked.Load())) })
	all := r.lines.access()
	return all[len(all)-1]
}

// A stream that ends before its family's end must not look complete, however clean its framing is.
func TestRelay_IncompleteStreamEndsWithAnErrorAndUncleanly(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			events(w, delta)
			panic(http.ErrAbortHandler)
		},
		"clean framing, no finish":  func(w http.ResponseWriter, _ *http.Request) { events(w, delta, delta) },
		"[DONE] but no finish":      func(w http.ResponseWriter, _ *http.Request) { events(w, delta, done) },
		"cut inside an event":       func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish[:40]) },
		"connection ends the body":  closeDelimited,
		"one choice of two is done": func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish, done) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, onePool, engine(t, serve).URL)
			body := streamChat
			if strings.Contains(name, "of two") {
				body = strings.Replace(body, `"stream"`, `"n":2,"stream"`, 1)
			}
			a := r.post(chat, body)
			if a.err == nil {
				t.Errorf("the answer ended cleanly: %s", a.body)
			}
			last := a.body[strings.LastIndex(strings.TrimSuffix(a.body, "\n\n"), "data: "):]
			if !strings.HasPrefix(last, `data: {"error":`) || strings.Contains(last, "choices") {
				t.Errorf("the last event is %q", last)
			}
		})
	}
}

// closeDelimited answers without length or chunks: the end of the connection is the end of the body.
func closeDelimited(w http.ResponseWriter, _ *http.Request) {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + delta)
	_ = buf.Flush()
	_ = c.Close()
}

func TestRelay_CompleteWithoutDone(t *testing.T) {
	r := newRig(t, onePool, engine(t, func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish) }).URL)
	if a := r.post(chat, streamChat); a.err != nil || a.body != delta+finish {
		t.Errorf("answered %v %s", a.err, a.body)
	}
}

// The response ends right after the terminator, though the engine keeps its connection open.
func TestRelay_EndsAtTheTerminator(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	r := newRig(t, onePool, engine(t, func(w http.ResponseWriter, _ *http.Request) {
		events(w, delta, finish, done)
		<-hold
	}).URL)
	if a := r.post(chat, streamChat); a.err != nil || !strings.HasSuffix(a.body, done) {
		t.Errorf("answered %v %s", a.err, a.body)
	}
}

func TestRelay_HeadersOfTheCallerStayBehind(t *testing.T) {
	seen := make(chan http.Header, 1)
	e := engine(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Engine", "yes")
		w.Header().Set("Server", "uvicorn")
		_, _ = io.WriteString(w, answer)
	})
	r := newRig(t, onePool, e.URL)
	a := r.post(chat, plainChat, "Authorization", "Bearer sk-secret", "Api-Key", "k", "X-Api-Key", "k", "Cookie", "a=b",
		"Proxy-Authorization", "x", "X-Forwarded-For", "1.2.3.4", "X-Warmlane-Explain", "1", "Connection", "X-Hop", "X-Hop", "1",
		"Te", "trailers", "X-Request-Id", "req-1", "X-App", "shop", "Accept-Encoding", "gzip")
	h := <-seen
	for _, name := range []string{
		"Authorization", "Api-Key", "X-Api-Key", "Cookie", "Proxy-Authorization", "X-Forwarded-For",
		"X-Warmlane-Explain", "X-Hop", "Te", "Accept-Encoding",
	} {
		if h.Get(name) != "" {
			t.Errorf("%s: %s reached the engine", name, h.Get(name))
		}
	}
	if h.Get("X-App") != "shop" || h.Get("X-Request-Id") != "req-1" || h.Get("Content-Type") != "application/json" {
		t.Errorf("the engine got %v", h)
	}
	if a.header.Get("X-Request-Id") != "req-1" || a.header.Get("X-Engine") != "yes" || a.header.Get("Server") != "" {
		t.Errorf("the caller got %v", a.header)
	}
	if d := a.header.Get("X-Warmlane-Decision"); !strings.Contains(d, `"endpoint":"`+e.URL+`"`) || !strings.Contains(d, `"policy":"round_robin"`) {
		t.Errorf("decision %q", d)
	}
}

package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRun_HistoryAccumulatesTheRealAnswers(t *testing.T) {
	odd := "tab\t \"quoted\" \\ <b> é\n\u2028😀"
	var mu sync.Mutex
	var seen []string
	url := serve(t, scripted(t, func(c chat, s stream) {
		var roles, texts []string
		for _, m := range c.Messages {
			roles, texts = append(roles, m.Role), append(texts, m.Content)
		}
		mu.Lock()
		seen = append(seen, strings.Join(roles, ",")+": "+strings.Join(texts, "|"))
		mu.Unlock()
		s.head()
		s.event(`{"choices":[{"index":0,"delta":{"content":"tab\t \"quoted\" \\"},"finish_reason":null}]}`)
		s.event(`{"choices":[{"index":0,"delta":{"content":" <b> \u00e9\n\u2028\ud83d\ude00"},"finish_reason":"stop"}]}`)
		s.done()
	}))
	temperature := 0.5
	mustRun(t, Config{
		URL: url, OutputTokens: 77, IgnoreEOS: true, Temperature: &temperature,
		Sessions: []Conversation{talk{"be brief", []string{"first", "second", "third"}}},
	})
	wanted := []string{
		"system,user: be brief|first",
		"system,user,assistant,user: be brief|first|" + odd + "|second",
		"system,user,assistant,user,assistant,user: be brief|first|" + odd + "|second|" + odd + "|third",
	}
	if strings.Join(seen, "\n") != strings.Join(wanted, "\n") {
		t.Errorf("got  %q\nwant %q", seen, wanted)
	}
}

func TestRun_OptionsReachTheServer(t *testing.T) {
	var got chat
	var key string
	url := serve(t, scripted(t, func(c chat, s stream) {
		got, key = c, s.r.Header.Get("Authorization")
		s.whole("x")
	}))
	temperature := 0.25
	cfg := Config{URL: url, Model: "name", APIKey: "sk-1", OutputTokens: 77, IgnoreEOS: true, Temperature: &temperature}
	cfg.Sessions = []Conversation{talk{users: []string{"a"}}}
	mustRun(t, cfg)
	if got.Model != "name" || key != "Bearer sk-1" || got.MaxTokens != 77 || !got.IgnoreEOS || got.Temperature == nil || *got.Temperature != 0.25 {
		t.Errorf("the server got %+v with key %q", got, key)
	}
}

func TestRun_AnUnnamedModelIsAskedFor(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"object":"list","data":[{"id":"served"},{"id":"other"}]}`))
	})
	var model string
	mux.Handle("/", scripted(t, func(c chat, s stream) { model = c.Model; s.whole("x") }))
	_, err := Run(t.Context(), Config{URL: serve(t, mux), Sessions: []Conversation{talk{users: []string{"a"}}}})
	if err != nil || model != "served" {
		t.Errorf("asked for %q, error %v", model, err)
	}
}

// hijack takes the connection away from the HTTP server.
func (s stream) hijack() net.Conn {
	c, _, err := s.w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	return c
}

func TestRun_EveryBrokenAnswerIsAFailureOfItsKind(t *testing.T) {
	const busy = `{"error": {"message": "The engine is currently busy", "type": "Service Unavailable", "param": null, "code": 503}}`
	rows := []struct {
		name    string
		kind    Kind
		message string
		play    func(s stream)
	}{
		{"a status", KindStatus(503), "no endpoint", func(s stream) {
			s.w.WriteHeader(503)
			_, _ = s.w.Write([]byte(`{"error":{"message":"no endpoint"}}`))
		}},
		{"a status without JSON", KindStatus(502), "<html>bad", func(s stream) { s.w.WriteHeader(502); _, _ = s.w.Write([]byte("<html>bad")) }},
		{"no stream", KindBadAnswer, "not an event stream", func(s stream) {
			s.w.Header().Set("Content-Type", "application/json")
			_, _ = s.w.Write([]byte(`{"choices":[]}`))
		}},
		{"no JSON", KindBadAnswer, "not JSON", func(s stream) { s.head(); s.event("oops"); s.finish() }},
		{"error as the first event", KindErrorEvent, "currently busy", func(s stream) { s.head(); s.event(busy); s.done() }},
		{"error amid tokens", KindErrorEvent, "currently busy", func(s stream) { s.head(); s.token("x"); s.event(busy) }},
		{"error after the finish", KindErrorEvent, "currently busy", func(s stream) { s.head(); s.token("x"); s.finish(); s.event(busy); s.done() }},
		{"error and then cut", KindErrorEvent, "gone", func(s stream) { s.head(); s.event(`{"error":"gone"}`); _ = s.hijack().Close() }},
		{"clean end without finish", KindIncomplete, "finish_reason", func(s stream) { s.head(); s.role(); s.token("x") }},
		{"done without finish", KindIncomplete, "finish_reason", func(s stream) { s.head(); s.role(); s.token("x"); s.done() }},
		{"cut within the stream", KindCut, "EOF", func(s stream) { s.head(); s.token("x"); _ = s.hijack().Close() }},
		{"cut after the finish", KindCut, "EOF", func(s stream) { s.head(); s.token("x"); s.finish(); _ = s.hijack().Close() }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var last chat
			turn := 0
			url := serve(t, scripted(t, func(c chat, s stream) {
				last = c
				if turn++; turn == 2 {
					row.play(s)
					return
				}
				s.whole("fine")
			}))
			r := mustRun(t, Config{URL: url, Sessions: []Conversation{talk{users: []string{"a", "b", "c"}}}})
			if r.Requests != 3 || r.Errors != 1 || r.Kinds[row.kind] != 1 || !strings.Contains(r.Examples[row.kind], row.message) {
				t.Errorf("%d of %d failed: %v, want one %s with %q", r.Errors, r.Requests, r.Examples, row.kind, row.message)
			}
			if r.TTFT.N != 2 || r.OutputTokens != 2 {
				t.Errorf("%d latencies and %d tokens, want those of the 2 complete answers", r.TTFT.N, r.OutputTokens)
			}
			if n := len(last.Messages); n != 3 || last.Messages[2].Content != "c" || last.Messages[1].Content != "fine" {
				t.Errorf("after the failure the history is %v", last.Messages)
			}
		})
	}
}

func TestRun_NoServerIsAFailureToConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	_ = l.Close()
	r := mustRun(t, Config{URL: url, Sessions: []Conversation{talk{users: []string{"a", "b"}}}})
	if r.Errors != 2 || r.Kinds[KindConnect] != 2 {
		t.Errorf("failures %v", r.Kinds)
	}
}

// A server that closes each connection after its first answer, without a word, when the next request is already on its
// way: what a keep-alive limit does.
func TestRun_AStaleConnectionIsReplacedAndCountsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int32
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			running.Go(func() { answerOnce(c) })
		}
	})
	users := make([]string, 20)
	for i := range users {
		users[i] = strings.Repeat("a long text ", 2000) // the write may fail as well as the read
	}
	r := mustRun(t, Config{URL: "http://" + l.Addr().String(), Sessions: []Conversation{talk{users: users}}})
	_ = l.Close()
	running.Wait()
	if r.Errors != 0 || r.Requests != 20 {
		t.Errorf("%d of %d failed: %v", r.Errors, r.Requests, r.Examples)
	}
	if n := conns.Load(); n != 20 {
		t.Errorf("%d connections, want 20: each served one request", n)
	}
}

func TestRun_AFreshConnectionThatBreaksIsAFailure(t *testing.T) {
	var requests atomic.Int32
	url := serve(t, scripted(t, func(_ chat, s stream) { requests.Add(1); _ = s.hijack().Close() }))
	r := mustRun(t, Config{URL: url, Sessions: []Conversation{talk{users: []string{"a", "b"}}}})
	if r.Errors != 2 || r.Kinds[KindNoAnswer] != 2 || requests.Load() != 2 {
		t.Errorf("%v after %d requests, want 2 failures without a second try", r.Kinds, requests.Load())
	}
}

// answerOnce answers the first request on c and closes c at the next one.
func answerOnce(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for turn := range 2 {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if turn > 0 {
			return
		}
		body := make([]byte, r.ContentLength)
		for n := 0; n < len(body); {
			m, err := r.Body.Read(body[n:])
			if n += m; err != nil {
				break
			}
		}
		text := `data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}` + "\n\n"
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
}

func TestRun_ConnectionsAreReused(t *testing.T) {
	var mu sync.Mutex
	from := map[string]bool{}
	url := serve(t, scripted(t, func(_ chat, s stream) {
		mu.Lock()
		from[s.r.RemoteAddr] = true
		mu.Unlock()
		s.whole("x", "y")
	}))
	var sessions []Conversation
	for range 10 {
		sessions = append(sessions, talk{users: []string{"a", "b", "c"}})
	}
	mustRun(t, Config{URL: url, Concurrency: 4, Sessions: sessions})
	// A connection is kept a moment after its answer ended, so a few more than 4 may be dialled.
	if len(from) > 10 {
		t.Errorf("%d connections for 30 requests, 4 at once", len(from))
	}
}

func TestRun_ConcurrencyBoundsRequestsAndOpenBoundsSessions(t *testing.T) {
	for _, row := range []struct{ concurrency, open, wantOpen int }{{3, 0, 3}, {3, 8, 8}, {3, 2, 2}} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			var mu sync.Mutex
			now, most, mostOpen := 0, 0, 0
			open := map[string]int{} // turns so far of sessions begun and not ended
			url := serve(t, scripted(t, func(c chat, s stream) {
				id := c.Messages[0].Content
				mu.Lock()
				now++
				open[id]++
				most, mostOpen = max(most, now), max(mostOpen, len(open))
				if open[id] == 4 {
					delete(open, id)
				}
				now--
				mu.Unlock()
				s.whole("x")
			}))
			var sessions []Conversation
			for i := range 30 {
				sessions = append(sessions, talk{users: []string{fmt.Sprint(i), "b", "c", "d"}})
			}
			r := mustRun(t, Config{URL: url, Concurrency: row.concurrency, Open: row.open, Sessions: sessions, Seed: 3})
			if r.Requests != 120 || r.Errors != 0 {
				t.Errorf("%d requests, %d failed", r.Requests, r.Errors)
			}
			if most > row.concurrency || mostOpen > row.wantOpen {
				t.Errorf("%d requests and %d sessions at once, want at most %d and %d", most, mostOpen, row.concurrency, row.wantOpen)
			}
		})
	}
}

func TestRun_WithMoreOpenSessionsThanPlacesTurnsMix(t *testing.T) {
	var order []string
	url := serve(t, scripted(t, func(c chat, s stream) { order = append(order, c.Messages[0].Content); s.whole("x") }))
	var sessions []Conversation
	for i := range 6 {
		sessions = append(sessions, talk{users: []string{fmt.Sprint(i), "b", "c", "d", "e"}})
	}
	mustRun(t, Config{URL: url, Concurrency: 1, Open: 6, Sessions: sessions, Seed: 3})
	follow := 0
	for i := 1; i < len(order); i++ {
		if order[i] == order[i-1] {
			follow++
		}
	}
	if len(order) != 30 || follow > 15 {
		t.Errorf("%d requests, %d of them followed one of the same session: %v", len(order), follow, order)
	}
}

func TestRun_AnEndedContextEndsTheRunAndCountsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	requests := 0
	url := serve(t, scripted(t, func(_ chat, s stream) {
		if requests++; requests == 3 {
			cancel(stop)
			<-s.r.Context().Done()
			return
		}
		s.whole("x")
	}))
	r, err := Run(ctx, Config{URL: url, Model: "m", Sessions: []Conversation{talk{users: make([]string, 9)}}})
	if !errors.Is(err, stop) || r == nil || r.Requests != 2 || r.Errors != 0 {
		t.Errorf("got %+v, error %v", r, err)
	}
}

func TestRun_TellsProgress(t *testing.T) {
	url := serve(t, scripted(t, func(_ chat, s stream) {
		s.head()
		s.token("x")
		s.finish()
		s.usage(100, 25, 1)
	}))
	var seen []Progress
	mustRun(t, Config{
		URL: url, Sessions: []Conversation{talk{users: []string{"a", "b"}}, talk{users: []string{"c"}}},
		Progress: func(p Progress) { seen = append(seen, p) },
	})
	for i, p := range seen {
		if p.Done != i+1 || p.Total != 3 || p.Errors != 0 || p.HitRate != 0.25 || p.TTFT <= 0 || p.TTFT > time.Minute {
			t.Errorf("progress %d: %+v", i, p)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d times told", len(seen))
	}
}

func TestRun_TellsHitRateByUsageAndTheIdeal(t *testing.T) {
	prompts := []int{100, 180, 260}
	turn := 0
	url := serve(t, scripted(t, func(_ chat, s stream) {
		s.head()
		s.token("x")
		s.finish()
		s.usage(prompts[turn%3], 16*(turn%3), 50)
		turn++
	}))
	r := mustRun(t, Config{URL: url, Sessions: []Conversation{talk{users: []string{"a", "b", "c"}}}})
	want(t, "hit rate", r.HitRate(), (0.0+16+32)/540)
	// Turn 2 finds 149 tokens of turn 1 and its answer, turn 3 finds 229: full blocks of 16 are 144 and 224.
	want(t, "ideal hit rate", r.IdealHitRate(), (144.0+224)/540)
}

func TestRun_RefusesWhatCannotBeRun(t *testing.T) {
	some := []Conversation{talk{users: []string{"a"}}}
	for name, cfg := range map[string]Config{
		"no sessions":          {URL: "http://127.0.0.1:1", Model: "m"},
		"no URL":               {Model: "m", Sessions: some},
		"another scheme":       {URL: "ftp://host", Model: "m", Sessions: some},
		"negative concurrency": {URL: "http://127.0.0.1:1", Model: "m", Sessions: some, Concurrency: -1},
		"unknown model":        {URL: "http://127.0.0.1:1", Sessions: some},
	} {
		if r, err := Run(t.Context(), cfg); err == nil || r != nil {
			t.Errorf("%s: got %v, %v", name, r, err)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for in, out := range map[string]string{
		"127.0.0.1:8000":                       "http://127.0.0.1:8000/v1",
		"http://host":                          "http://host/v1",
		"http://host/":                         "http://host/v1",
		"https://host/v1/":                     "https://host/v1",
		"https://host/api/paas/v4":             "https://host/api/paas/v4",
		"https://host/base":                    "https://host/base/v1",
		"http://host/v1/chat/completions?x=1#": "http://host/v1",
	} {
		if got, err := BaseURL(in); err != nil || got != out {
			t.Errorf("BaseURL(%q) = %q, %v; want %q", in, got, err, out)
		}
	}
}

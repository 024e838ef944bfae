package gateway_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// left is what the gateway's limit has left, as a request finds that uses nothing: the engine refuses it.
func left(t *testing.T, r *rig) int {
	t.Helper()
	a := r.post(chat, `{"model":"m","max_tokens":1,"user":"probe","messages":[]}`)
	n, err := strconv.Atoi(a.header.Get("X-Ratelimit-Remaining-Tokens"))
	if err != nil {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	return n
}

// TestAdmit_SettlesEveryEnding compares what is left of a limit before and after requests that end in each way.
func TestAdmit_SettlesEveryEnding(t *testing.T) {
	var script atomic.Value
	started := make(chan struct{}, 1)
	e := engine(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if strings.Contains(string(body), `"probe"`) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"message":"no messages"}}`)
			return
		}
		switch script.Load() {
		case "whole":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		case "stream":
			events(w, delta, finish, usage, done)
		case "untold":
			events(w, delta, delta, finish, done)
		case "error":
			w.WriteHeader(http.StatusInternalServerError)
		case "cut":
			events(w, delta, delta)
			panic(http.ErrAbortHandler)
		case "hangs":
			events(w, delta, delta)
			started <- struct{}{}
			<-q.Context().Done()
		}
	})
	r := newRig(t, onePool+"limits: [{name: q, tokens: 100000/total, concurrency: 5}]\n", e.URL)
	prompt := 0 // as it is estimated; engines that tell usage say 9
	f := func(how string, body string, wantUsed int) {
		t.Helper()
		script.Store(how)
		before := left(t, r)
		r.post(chat, body)
		got := 0
		await(t, how, func() bool { got = before - left(t, r); return got == wantUsed || got > 0 && wantUsed < 0 })
		if wantUsed < 0 {
			prompt = got - 3
		}
	}
	f("whole", plainChat, 11)
	f("stream", streamChat, 11)
	f("untold", streamChat, -1) // our own count: the prompt's estimate and three pieces
	if prompt < 1 || prompt > 10 {
		t.Errorf("a prompt of one word is estimated at %d tokens", prompt)
	}
	f("error", plainChat, 0)
	f("cut", streamChat, prompt+2)

	script.Store("hangs")
	before := left(t, r)
	ctx, leave := context.WithCancel(t.Context())
	q, err := http.NewRequestWithContext(ctx, "POST", r.URL+chat, strings.NewReader(streamChat))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	leave()
	_ = a.Body.Close()
	await(t, "a client that left pays for what it got", func() bool { d := before - left(t, r); return d == prompt+1 || d == prompt+2 })
}

// TestAdmit_StrictBoundsTheAnswer sends the bound that a strict limit has set aside.
func TestAdmit_StrictBoundsTheAnswer(t *testing.T) {
	var got atomic.Value
	e := engine(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		got.Store(string(body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	r := newRig(t, onePool+"limits: [{name: q, tokens: 1000/min, reserve: strict, max_output: 64}]\n", e.URL)
	if a := r.post(chat, plainChat); a.status != 200 || got.Load() != `{"max_tokens":64,`+plainChat[1:] {
		t.Errorf("answered %d; the engine got %s", a.status, got.Load())
	}
	a := r.post(chat, `{"model":"m","max_tokens":2000,"messages":[{"role":"user","content":"hello"}]}`)
	if a.status != 429 || a.header.Get("X-Should-Retry") != "false" || !strings.Contains(a.body, "Please ask for a shorter answer.") {
		t.Errorf("a request for more than the limit holds: %d %v %s", a.status, a.header, a.body)
	}
}

func TestAdmin_TopsUpQuotas(t *testing.T) {
	e := engine(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	})
	r := newRig(t, onePool+"limits: [{name: q, by: [user, app, \"header:x-app\", \"query:t\", \"cookie:plan\"], requests: 1/month}]\n", e.URL)
	f := func(user string, want int) {
		t.Helper()
		if a := r.post(chat+"?t=2", `{"model":"m@bot","user":"`+user+`","messages":[]}`, "X-App", "1", "Cookie", "plan=free"); a.status != want {
			t.Errorf("user %s was answered %d %s, want %d", user, a.status, a.body, want)
		}
	}
	f("a", 200)
	f("a", 429)
	admin := func(body string, want int) {
		t.Helper()
		a, err := http.Post(r.Admin+"/admin/v1/limits/top-up", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if text, _ := io.ReadAll(a.Body); a.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", body, a.StatusCode, text, want)
		}
	}
	admin(`{"limit":"q","of":"requests","amount":2,"user":"a","app":"bot","headers":{"x-app":"1"},"query":{"t":"2"},"cookies":{"plan":"free"}}`, 200)
	admin(`{"limit":"q","of":"requests","amount":2,"user":"a","model":"m"}`, 400)         // no limit by model
	admin(`{"limit":"q","of":"requests","amount":2,"user":"a","cookies":{"p":"1"}}`, 400) // nor by this cookie
	admin(`{"limit":"q","of":"requests","amount":-2,"user":"a"}`, 400)
	admin(`{"limit":"q","of":"tokens","amount":2,"user":"a"}`, 400)
	admin(`{"limit":"x","of":"requests","amount":2}`, 400)
	f("a", 200)
	f("a", 200)
	f("a", 429)
	f("b", 200)
	f("b", 429)
	await(t, "the access line's word about the limit", func() bool {
		return strings.Contains(r.lines.text(), `"cause":"limit \"q\" of 1 request per month"`)
	})
}

// What a strict limit has set aside bounds the answer also where a content rule has written the request anew.
func TestAdmit_StrictBoundOutlivesARule(t *testing.T) {
	seen := make(chan string, 1)
	u := echo(t, seen, good)
	r := newRig(t, onePool+`
limits: [{name: q, tokens: 1000/min, reserve: strict, max_output: 50}]
guard: [{name: pii, detect: [phone], check: input, action: mask}]
`, u)
	if a := r.post(chat, `{"model":"m@bot","messages":[{"role":"user","content":"13812345678"}]}`); a.status != 200 {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	if got := <-seen; got != `{"max_tokens":50,"model":"m","messages":[{"role":"user","content":"[PHONE]"}]}` {
		t.Errorf("the engine got %s", got)
	}
}

// An answer from the cache settles at no tokens, whoever joins it; whether it counts as a request is the limit's affair.
func TestAdmit_CachedAnswersCountAsConfigured(t *testing.T) {
	for cached, want := range map[string]string{"requests": "95", "nothing": "98"} {
		t.Run(cached, func(t *testing.T) {
			arrived, let := make(chan struct{}), make(chan struct{})
			e := engine(t, func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				if strings.Contains(string(body), `"probe"`) {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				arrived <- struct{}{}
				<-let
				good(w, q)
			})
			r := newRig(t, onePool+`
cache: [{name: all, scope: all}]
limits:
  - {name: tokens, tokens: 100000/total, concurrency: 9, cached: `+cached+`}
  - {name: requests, match: {users: [u]}, requests: 100/total, cached: `+cached+`}
`, e.URL)
			before := left(t, r)
			answers := make(chan reply, 2)
			ask := func(text string) reply {
				return r.post(chat, `{"model":"m","user":"u","messages":[{"role":"user","content":"`+text+`"}]}`)
			}
			go func() { answers <- ask("hi") }()
			<-arrived
			go func() { answers <- ask("hi") }()
			await(t, "the second waits for the first", func() bool { return strings.Contains(r.metrics(), "warmlane_requests_in_flight 2") })
			close(let)
			got := []reply{<-answers, <-answers, ask("hi"), ask("hi")}
			for i, how := range []string{"", "", "hit", "hit"} {
				if a := got[i]; a.status != 200 || a.body != got[0].body || how != "" && a.header.Get("X-Warmlane-Cache") != how {
					t.Errorf("answered %d %v %s", a.status, a.header, a.body)
				}
			}
			if a := got[0].header.Get("X-Warmlane-Cache") + got[1].header.Get("X-Warmlane-Cache"); a != "missjoin" && a != "joinmiss" {
				t.Errorf("the cache said %s", a)
			}
			await(t, "one answer's tokens are used", func() bool { return before-left(t, r) == 11 })
			go func() { <-arrived }()
			if got := ask("else").header.Get("X-Ratelimit-Remaining-Requests"); got != want {
				t.Errorf("with the fifth request, the second that an engine answers, %s are left, want %s", got, want)
			}
		})
	}
}

// A request counts once, however many engines are asked.
func TestAdmit_RetriesCountOnce(t *testing.T) {
	probe := func(w http.ResponseWriter, q *http.Request) bool {
		body, _ := io.ReadAll(q.Body)
		if strings.Contains(string(body), `"probe"`) {
			w.WriteHeader(http.StatusBadRequest)
			return true
		}
		return false
	}
	bad, _ := counting(t, func(w http.ResponseWriter, q *http.Request) {
		if !probe(w, q) {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	fine, _ := counting(t, func(w http.ResponseWriter, q *http.Request) {
		if !probe(w, q) {
			good(w, q)
		}
	})
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: ["`+bad+`"]}, {name: other, endpoints: ["`+fine+`"]}]
routes: [{models: [m], targets: [{pool: m}, {pool: other}]}]
limits: [{name: tokens, tokens: 100000/total}, {name: requests, match: {users: [u]}, requests: 100/total}]
`)
	before := left(t, r)
	for i := range 3 {
		a := r.post(chat, `{"model":"m","user":"u","messages":[]}`)
		if a.status != 200 || a.header.Get("X-Warmlane-Tries") == "1" || a.header.Get("X-Ratelimit-Remaining-Requests") != strconv.Itoa(99-i) {
			t.Errorf("answered %d %v", a.status, a.header)
		}
		await(t, "one answer's tokens are used", func() bool { return before-left(t, r) == 11*(i+1) })
	}
}

package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

const withCache = `
server: {lame_duck: 0s}
consumers:
  - {name: dify, keys: [sk-dify]}
  - {name: shop, keys: [sk-shop]}
cache: [{name: faq, SCOPE ignore: [user], max_answer: 4KiB}]
pools: [{name: m, endpoints: ENGINES}]
`

// counted is an engine that numbers its answers and waits for a word before each, when wait is not nil.
func counted(t *testing.T, asked *atomic.Int64, wait chan struct{}) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n := asked.Add(1)
		if wait != nil {
			<-wait
		}
		text := fmt.Sprintf("answer %d", n)
		if strings.Contains(string(body), "at length") {
			text = strings.Repeat(text, 1000)
		}
		if !strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}`, text)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", text)
		w.(http.Flusher).Flush()
		if strings.Contains(string(body), "break off") {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// said is what one caller got.
type said struct {
	status      int
	body, cache string
}

func (r *rig) say(key, body string, headers ...string) said {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return said{}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Error(err)
		return said{}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	s := said{resp.StatusCode, string(text), resp.Header.Get("X-Warmlane-Cache")}
	if err != nil {
		s.body += " " + err.Error()
	}
	return s
}

// dropAnswers forgets the answers of a rule and returns what the admin API says to that.
func (r *rig) dropAnswers(rule string) string {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodDelete, r.Admin+"/admin/v1/cache"+rule, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func question(text, more string) string {
	return `{"model":"m","messages":[{"role":"user","content":"` + text + `"}]` + more + `}`
}

func TestCache_EqualRequestsHitAndOthersMiss(t *testing.T) {
	for name, yaml := range map[string]string{"memory": withCache, "redis": "redis: \"redis://" + miniredis.RunT(t).Addr() + "\"\n" + withCache} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			r := newRig(t, strings.Replace(yaml, "SCOPE", "", 1), counted(t, &asked, nil))
			first := r.say("sk-dify", question("hello", `,"temperature":0.1,"user":"a"`))
			if first.status != 200 || first.cache != "miss" || !strings.Contains(first.body, "answer 1") {
				t.Fatalf("%+v", first)
			}
			again := r.say("sk-dify", `{ "user": "b", "temperature": 0.1, "messages": [{"content":"hel\u006co","role":"user"}], "model": "m" }`)
			if again.cache != "hit" || again.body != first.body || asked.Load() != 1 {
				t.Errorf("the same in another spelling: %+v", again)
			}
			for what, body := range map[string]string{
				"another parameter": question("hello", `,"temperature":0.2`), "an unknown one": question("hello", `,"temperature":0.1,"guided_json":{}`),
				"none": question("hello", ``), "a tool": question("hello", `,"temperature":0.1,"tools":[]`), "a stream": question("hello", `,"temperature":0.1,"stream":true`),
				"another number": question("hello", `,"temperature":0.10`),
			} {
				if s := r.say("sk-dify", body); s.cache != "miss" || s.body == first.body {
					t.Errorf("%s: %+v", what, s)
				}
			}
			before := asked.Load()
			if s := r.say("sk-shop", question("hello", `,"temperature":0.1,"user":"a"`)); s.cache != "miss" || asked.Load() != before+1 {
				t.Errorf("another consumer: %+v", s)
			}
			streamed := r.say("sk-dify", question("hello", `,"temperature":0.1,"stream":true`))
			if streamed.cache != "hit" || !strings.HasSuffix(streamed.body, "data: [DONE]\n\n") {
				t.Errorf("a stream again: %+v", streamed)
			}
		})
	}
}

func TestCache_WhatIsNotKept(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, strings.Replace(withCache, "SCOPE", "", 1), counted(t, &asked, nil))
	for what, body := range map[string]string{"a cut stream": question("break off", `,"stream":true`), "a long answer": question("at length", ``)} {
		a, b := r.say("sk-dify", body), r.say("sk-dify", body)
		if a.cache != "miss" || b.cache != "miss" {
			t.Errorf("%s was kept: %q, %q", what, a.cache, b.cache)
		}
	}
	before := asked.Load()
	plain := question("hello", "")
	for i, f := range []struct {
		control, cache string
		asks           int64
	}{{"no-store", "bypass", 1}, {"no-cache", "miss", 2}, {"", "hit", 2}, {"no-cache", "miss", 3}, {"no-store", "bypass", 4}, {"", "hit", 4}} {
		if s := r.say("sk-dify", plain, "Cache-Control", f.control); s.cache != f.cache || asked.Load() != before+f.asks {
			t.Errorf("%d, Cache-Control %q: %+v after %d requests to the engine", i, f.control, s, asked.Load()-before)
		}
	}
}

func TestCache_AHundredAtOnceAskOnce(t *testing.T) {
	for _, stream := range []string{"", `,"stream":true`} {
		var asked atomic.Int64
		wait := make(chan struct{})
		r := newRig(t, strings.Replace(withCache, "SCOPE", "", 1), counted(t, &asked, wait))
		var all sync.WaitGroup
		var answers sync.Map
		for range 100 {
			all.Go(func() {
				s := r.say("sk-dify", question("hello", stream))
				n, _ := answers.LoadOrStore(s, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			})
		}
		await(t, "a hundred requests are open", func() bool {
			return asked.Load() == 1 && strings.Contains(r.metrics(), "warmlane_requests_in_flight 100\n")
		})
		close(wait)
		all.Wait()
		bodies := map[string]int64{}
		by := map[string]int64{}
		answers.Range(func(s, n any) bool {
			bodies[s.(said).body] += n.(*atomic.Int64).Load()
			by[s.(said).cache] += n.(*atomic.Int64).Load()
			return true
		})
		if asked.Load() != 1 || len(bodies) != 1 || by["miss"] != 1 || by["join"]+by["hit"] != 99 {
			t.Errorf("stream %q: %d requests to the engine, answers %v by %v", stream, asked.Load(), len(bodies), by)
		}
	}
}

func TestCache_ScopeAllAndForgetting(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, strings.Replace(withCache, "SCOPE", "scope: all,", 1), counted(t, &asked, nil))
	a, b := r.say("sk-dify", question("hello", "")), r.say("sk-shop", question("hello", ""))
	if a.cache != "miss" || b.cache != "hit" {
		t.Errorf("%q, %q: want a miss and a hit across consumers", a.cache, b.cache)
	}
	if got := r.dropAnswers("/faq"); !strings.Contains(got, `"dropped": 1`) {
		t.Errorf("dropped: %s", got)
	}
	if s := r.say("sk-shop", question("hello", "")); s.cache != "miss" {
		t.Errorf("after the answers were dropped: %+v", s)
	}
}

// What a content rule hides from the engine and puts back into the answer belongs to one question: the same one about another telephone
// number is another.
func TestCache_WhatIsRestoredIsNobodyElses(t *testing.T) {
	echo := engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), "1380013800") {
			t.Errorf("the engine sees %s, %v", body, err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"I call [PHONE_1]"},"finish_reason":"stop"}]}`)
	})
	r := newRig(t, strings.Replace(withCache, "SCOPE", "", 1)+"guard: [{name: hide, detect: [phone], action: restore}]\n", echo.URL)
	for _, number := range []string{"13800138001", "13800138002"} {
		if s := r.say("sk-dify", question("call "+number, "")); s.cache != "miss" || !strings.Contains(s.body, number) {
			t.Errorf("%s: %+v", number, s)
		}
	}
	if s := r.say("sk-dify", question("call 13800138001", "")); s.cache != "hit" || !strings.Contains(s.body, "13800138001") {
		t.Errorf("again: %+v", s)
	}
}

// An answer that no content rule has looked at is not for those whose answers one looks at.
func TestCache_ContentRulesPartAnswers(t *testing.T) {
	for _, scope := range []string{"", "scope: user,", "scope: all,"} {
		var asked atomic.Int64
		r := newRig(t, strings.Replace(withCache, "SCOPE", scope, 1)+
			"guard: [{name: mild, match: {headers: {x-app: kids}}, check: [output], regex: [answer], action: mask}]\n", counted(t, &asked, nil))
		if s := r.say("sk-dify", question("hello", "")); s.cache != "miss" || !strings.Contains(s.body, "answer") {
			t.Errorf("%s: without a rule: %+v", scope, s)
		}
		for _, want := range []string{"miss", "hit"} {
			if s := r.say("sk-dify", question("hello", ""), "X-App", "kids"); s.cache != want || strings.Contains(s.body, "answer") {
				t.Errorf("%s: with a rule: %+v", scope, s)
			}
		}
	}
}

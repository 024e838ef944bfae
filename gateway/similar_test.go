package gateway_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const withSimilar = `
server: {lame_duck: 0s}
consumers:
  - {name: dify, keys: [sk-dify]}
  - {name: shop, keys: [sk-shop]}
limits: [{name: all, by: consumer, requests: [30/total]}]
cache: [{name: faq, SCOPE semantic: {pool: embed, model: bge-m3, timeout: 20s}}]
pools:
  - {name: m, endpoints: [%q]}
  - {name: embed, endpoints: [{url: %q, max_concurrency: 1}]}
`

// embeddings is an engine whose vectors are 1 degree apart for each letter of the text, and 90 for "far" in it.
type embeddings struct {
	asked atomic.Int64
	input atomic.Value                                   // of the last request, model and text
	spoil atomic.Pointer[func(http.ResponseWriter) bool] // answers in its stead, when it says so
}

func (e *embeddings) start(t *testing.T) string {
	return engine(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Model, Input string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.URL.Path != "/v1/embeddings" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		e.asked.Add(1)
		e.input.Store(asked.Model + " " + asked.Input)
		if spoil := e.spoil.Load(); spoil != nil && (*spoil)(w) {
			return
		}
		angle := float64(len(asked.Input)) * math.Pi / 180
		if strings.Contains(asked.Input, "far") {
			angle += math.Pi / 2
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"list","data":[{"index":0,"object":"embedding","embedding":[%g,%g]}]}`, 7*math.Cos(angle), 7*math.Sin(angle))
	}).URL
}

// similarRig is a gateway with a cache rule that compares. asked counts the requests for answers.
func similarRig(t *testing.T, more, scope string) (r *rig, asked *atomic.Int64, e *embeddings) {
	t.Helper()
	return similarRigOf(t, more+strings.Replace(withSimilar, "SCOPE", scope, 1))
}

func similarRigOf(t *testing.T, yaml string) (r *rig, asked *atomic.Int64, e *embeddings) {
	t.Helper()
	asked, e = new(atomic.Int64), new(embeddings)
	return newRig(t, fmt.Sprintf(yaml, counted(t, asked, nil), e.start(t))), asked, e
}

func TestSimilar_OtherWordsGetTheSameAnswer(t *testing.T) {
	old := miniredis.RunT(t) // knows no vector sets
	for name, more := range map[string]string{"memory": "", "redis 7": "redis: \"redis://" + old.Addr() + "\"\n"} {
		t.Run(name, func(t *testing.T) {
			r, asked, e := similarRig(t, more, "")
			for _, stream := range []string{"", `,"stream":true`} {
				before, embedded := asked.Load(), e.asked.Load()
				first := r.say("sk-dify", question("how do you do", stream))
				if first.status != 200 || first.cache != "miss" {
					t.Fatalf("%+v", first)
				}
				for i := range 2 { // it does not become the answer to the second question itself
					got := r.post(chat, question("how do you do it", stream), "Authorization", "Bearer sk-dify")
					if got.header.Get("X-Warmlane-Cache") != "similar" || got.header.Get("X-Warmlane-Similarity") != "0.9986" || got.body != first.body || got.err != nil {
						t.Errorf("%d: %+v", i, got)
					}
					if stream != "" && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
						t.Errorf("no stream: %s", got.body)
					}
				}
				if e.input.Load() != "bge-m3 how do you do it" || e.asked.Load() != embedded+3 {
					t.Errorf("embedded %d texts, the last is %v", e.asked.Load()-embedded, e.input.Load())
				}
				if again := r.say("sk-dify", question("how do you do", stream)); again.cache != "hit" || again.body != first.body || e.asked.Load() != embedded+3 {
					t.Errorf("the first again: %+v", again)
				}
				if asked.Load() != before+1 {
					t.Errorf("%d requests for answers", asked.Load()-before)
				}
			}
			if m := r.metrics(); !strings.Contains(m, `warmlane_cache_requests_total{result="similar",rule="faq"} 4`) ||
				!strings.Contains(m, `warmlane_cache_embedding_seconds_count{result="ok",rule="faq"} 6`) {
				t.Error("the metrics do not tell")
			}
			if lines := r.lines.text(); strings.Count(lines, `"cache":"similar","similarity":0.9986`) != 4 {
				t.Error("the access lines do not tell")
			}
		})
	}
}

func TestSimilar_WhatIsNotCompared(t *testing.T) {
	r, asked, e := similarRig(t, "", "")
	say := func(text, more string) string { return question(text, more) }
	if s := r.say("sk-dify", say("the price of 2 pens", "")); s.cache != "miss" {
		t.Fatalf("%+v", s)
	}
	if s := r.say("sk-dify", say("the prices of 2 pens", "")); s.cache != "similar" {
		t.Fatalf("%+v", s)
	}
	for what, body := range map[string]string{
		"another number":     say("the price of 3 pens", ""),
		"a negation":         say("not the price of 2 pens", ""),
		"far away":           say("the far price of 2 pens", ""),
		"a little too far":   say("the price of 2 pens"+strings.Repeat("x", 19), ""),
		"another setting":    say("price of 2 pens", `,"temperature":0.1`),
		"several answers":    say("price of 2 pens", `,"n":2`),
		"a stream":           say("price of 2 pens", `,"stream":true`),
		"tools":              say("price of 2 pens", `,"tools":[{"type":"function","function":{"name":"f"}}]`),
		"a system prompt":    `{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"price of 2 pens"}]}`,
		"a conversation":     `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hi"},{"role":"user","content":"price of 2 pens"}]}`,
		"the assistant's":    `{"model":"m","messages":[{"role":"assistant","content":"price of 2 pens"}]}`,
		"a picture":          `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"price of 2 pens"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}`,
		"a very long text":   say("price of 2 pens"+strings.Repeat(" or more", 400), ""),
		"an answer is anew":  say("the price of 2 pens!!!", `,"stream":false`),
		"another kind of it": say("price of 2 pens", `,"response_format":{"type":"json_object"}`),
	} {
		before := asked.Load()
		if s := r.say("sk-dify", body); s.status != 200 || s.cache != "miss" || asked.Load() != before+1 {
			t.Errorf("%s: %+v", what, s)
		}
	}
	before := asked.Load()
	if s := r.say("sk-shop", say("price of 2 pens", "")); s.cache != "miss" || asked.Load() != before+1 {
		t.Errorf("another consumer: %+v", s)
	}
	embedded := e.asked.Load()
	for _, control := range []string{"no-store", "no-cache"} {
		if s := r.say("sk-dify", say("price of 2 penss", ""), "Cache-Control", control); s.status != 200 || e.asked.Load() != embedded {
			t.Errorf("Cache-Control %s: %+v", control, s)
		}
	}
}

// An embedding that fails or does not come makes a miss, soon, and holds nothing up.
func TestSimilar_NoEmbeddingIsAMiss(t *testing.T) {
	r, _, e := similarRig(t, "", "")
	n := 0
	ask := func(what, result string) {
		t.Helper()
		n++
		began := time.Now()
		if s := r.say("sk-dify", question("how do you do"+strings.Repeat(".", n), "")); s.status != 200 || s.cache != "miss" {
			t.Errorf("%s: %+v", what, s)
		}
		if took := time.Since(began); took > 5*time.Second { // 0.2 s, on a busy machine
			t.Errorf("%s: %v", what, took)
		}
		if line := `warmlane_cache_embedding_seconds_count{result="` + result + `",rule="faq"}`; !strings.Contains(r.metrics(), line) {
			t.Errorf("%s: no %s", what, line)
		}
	}
	spoil := func(f func(http.ResponseWriter) bool) { e.spoil.Store(&f) }
	bad := func(text string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool { _, _ = fmt.Fprint(w, text); return true }
	}
	for _, text := range []string{`{}`, `{"data":[]}`, `{"data":[{"embedding":[]}]}`, `{"data":[{"embedding":[0,0]}]}`, `{"data":[{"embedding":"x"}]}`, `[`, strings.Repeat(" ", 2<<20)} {
		spoil(bad(text))
		ask(text[:min(len(text), 30)], "failed")
	}
	spoil(func(w http.ResponseWriter) bool { w.WriteHeader(400); return true })
	ask("refused", "failed")
	r, _, e = similarRigOf(t, strings.NewReplacer("SCOPE", "", "20s", "200ms").Replace(withSimilar))
	release, arrived := make(chan struct{}), make(chan struct{}, 1)
	spoil(func(http.ResponseWriter) bool { arrived <- struct{}{}; <-release; return true })
	ask("a silent engine", "late")
	<-arrived
	var slow sync.WaitGroup
	slow.Go(func() { // takes the one place at the embedding engine
		r.post("/v1/embeddings", `{"model":"embed","input":"x"}`, "Authorization", "Bearer sk-shop")
	})
	<-arrived
	ask("no room", "busy")
	close(release)
	slow.Wait()
	spoil(func(http.ResponseWriter) bool { return false })
	await(t, "the embedding engine is used again", func() bool {
		n++
		seed := fmt.Sprintf(`,"seed":%d`, n)
		return r.say("sk-dify", question("hello", seed)).cache == "miss" && r.say("sk-dify", question("hello!", seed)).cache == "similar"
	})
}

func TestSimilar_WhatIsNotKeptIsNotFound(t *testing.T) {
	r, _, _ := similarRig(t, "", "max_answer: 4KiB,")
	for what, body := range map[string]string{
		"a cut stream": question("break off now%s", `,"stream":true`), "a long answer": question("say it at length%s", ""),
	} {
		for _, end := range []string{"", ".", ".."} {
			if s := r.say("sk-dify", fmt.Sprintf(body, end)); s.cache != "miss" {
				t.Errorf("%s: %+v", what, s)
			}
		}
	}
	if s := r.say("sk-dify", question("how do you do", "")); s.cache != "miss" {
		t.Errorf("%+v", s)
	}
	if s := r.say("sk-dify", question("how do you do?", "")); s.cache != "similar" {
		t.Errorf("%+v", s)
	}
	if got := r.dropAnswers("/faq"); !strings.Contains(got, `"dropped": 1`) {
		t.Errorf("dropped: %s", got)
	}
	if s := r.say("sk-dify", question("how do you do?", "")); s.cache != "miss" {
		t.Errorf("after the answers were dropped: %+v", s)
	}
}

// Equal requests that come at once get the similar answer by one embedding.
func TestSimilar_EqualRequestsAtOnceEmbedOnce(t *testing.T) {
	r, asked, e := similarRig(t, "", "")
	r.say("sk-dify", question("how do you do", ""))
	hold := make(chan struct{})
	wait := func(http.ResponseWriter) bool { <-hold; return false }
	e.spoil.Store(&wait)
	var all sync.WaitGroup
	var similar atomic.Int64
	for range 10 {
		all.Go(func() {
			if s := r.say("sk-dify", question("how do you do?", "")); s.cache == "similar" {
				similar.Add(1)
			}
		})
	}
	await(t, "all are open", func() bool { return strings.Contains(r.metrics(), "warmlane_requests_in_flight 10\n") })
	close(hold)
	all.Wait()
	if similar.Load() != 10 || asked.Load() != 1 {
		t.Errorf("%d of 10 got the similar answer, %d requests for answers", similar.Load(), asked.Load())
	}
	if n := e.asked.Load(); n > 3 { // the two questions, and one that had not yet asked whether somebody else does
		t.Errorf("%d embeddings", n)
	}
}

// Embeddings are the gateway's own: the consumer's limit counts its two requests.
func TestSimilar_EmbeddingsAreNotCharged(t *testing.T) {
	yaml := strings.NewReplacer("SCOPE", "", "30/total", "2/total").Replace(withSimilar)
	r, _, e := similarRigOf(t, yaml)
	for i, want := range []string{"miss", "similar", ""} {
		if s := r.say("sk-dify", question("how do you do"+strings.Repeat("!", i), "")); s.cache != want || (want == "") != (s.status == 429) {
			t.Errorf("%d: %+v", i, s)
		}
	}
	if e.asked.Load() != 2 {
		t.Errorf("%d embeddings", e.asked.Load())
	}
}

func TestSimilar_OffWithoutTheKey(t *testing.T) {
	var asked atomic.Int64
	var e embeddings
	yaml := strings.Replace(withSimilar, "SCOPE semantic: {pool: embed, model: bge-m3, timeout: 20s}", "", 1)
	r := newRig(t, fmt.Sprintf(yaml, counted(t, &asked, nil), e.start(t)))
	for _, text := range []string{"how do you do", "how do you do?"} {
		if s := r.say("sk-dify", question(text, "")); s.cache != "miss" {
			t.Errorf("%q: %+v", text, s)
		}
	}
	if e.asked.Load() != 0 || strings.Contains(r.metrics(), "warmlane_cache_embedding_seconds") {
		t.Errorf("%d embeddings that nobody wanted", e.asked.Load())
	}
}

// A client that leaves while its question is embedded is not served on.
func TestSimilar_ClientLeavesMeanwhile(t *testing.T) {
	r, asked, e := similarRig(t, "", "")
	arrived, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	hang := func(http.ResponseWriter) bool { close(arrived); <-release; return false }
	e.spoil.Store(&hang)
	conn := r.dial()
	body := question("how do you do", "")
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-dify\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(body), body)
	<-arrived
	_ = conn.Close()
	await(t, "the request has ended", func() bool { return r.metric("warmlane_requests_in_flight") == "0" })
	if asked.Load() != 0 {
		t.Errorf("%d engines were asked for an answer", asked.Load())
	}
}

package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const accounted = `
server: {lame_duck: 0s, drain: 2s}
consumers:
  - {name: dify, keys: [sk-dify], models: [m, n, none]}
  - {name: shop, keys: [sk-shop]}
prices: {currency: CNY, models: [{models: [m], input: 2, cached: 1, output: 10}]}
limits: [{name: one, match: {headers: {x-limited: "*"}}, requests: 1/day}]
cache: [{name: faq, match: {headers: {x-faq: "*"}}}]
guard: [{name: no, match: {headers: {x-guarded: "*"}}, check: [output], regex: [hi]}]
pools: [{name: p, served_model: m, models: [m, n], endpoints: ENGINES, policy: round_robin}]
`

// usage is the report of what was used as lines of CSV, without the first line and the day.
func (r *rig) usage(query string) string {
	r.t.Helper()
	got := r.admin("GET", "/admin/v1/usage?format=csv&"+query, "")
	if got.status != 200 {
		r.t.Fatalf("%+v", got)
	}
	_, rows, _ := strings.Cut(got.body, "\r\n")
	return strings.TrimSpace(strings.ReplaceAll(rows, "\r\n", "\n"))
}

// used waits until the report has these rows and no others.
func (r *rig) used(what, query string, want ...string) {
	r.t.Helper()
	got := ""
	for deadline, tick := time.Now().Add(5*time.Second), time.NewTicker(5*time.Millisecond); time.Now().Before(deadline); <-tick.C {
		if got = r.usage(query); got == strings.Join(want, "\n") {
			return
		}
	}
	r.t.Errorf("%s:\n%s\nwant:\n%s", what, got, strings.Join(want, "\n"))
}

const byAll = "by=consumer,app,model,target,route"

func TestUsage_EveryEndingCountsOnce(t *testing.T) {
	answers := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }
	arrived := make(chan struct{}, 1)
	for what, f := range map[string]struct {
		serve http.HandlerFunc
		calls func(r *rig)
		want  []string
	}{
		"an answer": {
			answers, func(r *rig) { r.post(chat, plainChat, "Authorization", "Bearer sk-dify") },
			[]string{"dify,,m,p,m,1,0,0,0,9,0,2,0.000038"},
		},
		"without a price": {answers, func(r *rig) {
			r.post(chat, strings.Replace(plainChat, `"m"`, `"n@support-bot"`, 1), "Authorization", "Bearer sk-shop")
		}, []string{"shop,support-bot,n,p,n,1,0,0,0,9,0,2,0"}},
		"a stream": {
			func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish, usage, done) },
			func(r *rig) { r.post(chat, streamChat, "Authorization", "Bearer sk-dify") },
			[]string{"dify,,m,p,m,1,0,0,0,9,4,2,0.000034"},
		},
		"a stream without usage": {
			func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish, done) },
			func(r *rig) { r.post(chat, streamChat, "Authorization", "Bearer sk-dify") },
			[]string{"dify,,m,p,m,1,0,0,1,PROMPT,0,2,COST"},
		},
		"a cut stream": {
			func(w http.ResponseWriter, _ *http.Request) { events(w, delta, delta); panic(http.ErrAbortHandler) },
			func(r *rig) { r.post(chat, streamChat, "Authorization", "Bearer sk-dify") },
			[]string{"dify,,m,p,m,1,1,0,1,PROMPT,0,2,COST"},
		},
		"an error of the engine": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
			func(r *rig) { r.post(chat, plainChat, "Authorization", "Bearer sk-dify") },
			[]string{"dify,,m,p,m,1,1,0,0,0,0,0,0"},
		},
		"a client that leaves": {
			func(w http.ResponseWriter, req *http.Request) { events(w, delta, delta); untilLeft(req) },
			func(r *rig) { r.leave(streamChat, len(delta+delta), nil) },
			[]string{"dify,,m,p,m,1,1,0,1,PROMPT,0,2,COST"},
		},
		"a client that leaves before": {
			func(_ http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				arrived <- struct{}{}
				<-req.Context().Done()
			},
			func(r *rig) { r.leave(plainChat, 0, arrived) },
			[]string{"dify,,m,p,m,1,1,0,0,0,0,0,0"},
		},
		"the cache": {answers, func(r *rig) {
			for range 3 {
				r.post(chat, plainChat, "Authorization", "Bearer sk-dify", "X-Faq", "1")
			}
		}, []string{"dify,,m,,m,2,0,2,0,0,0,0,0", "dify,,m,p,m,1,0,0,0,9,0,2,0.000038"}},
		"a limit": {answers, func(r *rig) {
			for range 3 {
				r.post(chat, plainChat, "Authorization", "Bearer sk-dify", "X-Limited", "1")
			}
		}, []string{"dify,,m,,m,2,2,0,0,0,0,0,0", "dify,,m,p,m,1,0,0,0,9,0,2,0.000038"}},
		"no such model": {answers, func(r *rig) {
			r.post(chat, strings.Replace(plainChat, `"m"`, `"none"`, 1), "Authorization", "Bearer sk-dify")
			r.post(chat, strings.Replace(plainChat, `"m"`, `"forbidden"`, 1), "Authorization", "Bearer sk-dify")
		}, []string{"dify,,,,,2,2,0,0,0,0,0,0"}},
		"counting tokens": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"input_tokens":7}`) },
			func(r *rig) { r.post("/v1/messages/count_tokens", plainChat, "Authorization", "Bearer sk-dify") },
			[]string{"dify,,m,p,m,1,0,0,0,0,0,0,0"},
		},
		"an answer that a rule keeps back": {
			answers, func(r *rig) { r.post(chat, plainChat, "Authorization", "Bearer sk-dify", "X-Guarded", "1") },
			[]string{"dify,,m,p,m,1,1,0,0,9,0,2,0.000038"},
		},
		"nobody's": {answers, func(r *rig) {
			r.post(chat, plainChat, "Authorization", "Bearer sk-wrong")
			r.post(chat, plainChat[1:], "Authorization", "Bearer sk-dify")
			r.do("GET", "/v1/models", "", "Authorization", "Bearer sk-dify")
			r.do("GET", "/v1/nowhere", "", "Authorization", "Bearer sk-dify")
		}, []string{""}},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, accounted, engine(t, f.serve).URL)
			f.calls(r)
			want := strings.Join(f.want, "\n")
			if strings.Contains(want, "PROMPT") {
				prompt := r.estimated()
				want = strings.ReplaceAll(want, "PROMPT", fmt.Sprint(prompt))
				want = strings.ReplaceAll(want, "COST", fmt.Sprintf("%.6f", float64(2*prompt+2*10)/1e6))
			}
			r.used(what, byAll, strings.Split(want, "\n")...)
		})
	}
}

// estimated is the gateway's own count of the prompt that ended first, by its access line.
func (r *rig) estimated() int {
	r.t.Helper()
	await(r.t, "an access line", func() bool { return len(r.lines.access()) > 0 })
	n, ok := r.lines.access()[0]["predicted_prompt_tokens"].(float64)
	if !ok || n <= 0 {
		r.t.Fatalf("no estimate in %v", r.lines.access()[0])
	}
	return int(n)
}

// untilLeft waits until the gateway has left. It is noticed once the body is read.
func untilLeft(req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	<-req.Context().Done()
}

// leave sends a request and leaves when that many bytes of the answer have come, or when the engine tells that it has arrived.
func (r *rig) leave(body string, bytes int, arrived <-chan struct{}) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	if arrived != nil {
		go func() { <-arrived; cancel() }()
	}
	req, err := http.NewRequestWithContext(ctx, "POST", r.URL+chat, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer sk-dify")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, bytes)); err != nil {
		r.t.Error(err)
	}
}

func TestUsage_JoinedAnswersCountOnceEach(t *testing.T) {
	arrived, wait := make(chan struct{}, 10), make(chan struct{})
	r := newRig(t, accounted, engine(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-wait
		_, _ = io.WriteString(w, answer)
	}).URL)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { r.post(chat, plainChat, "Authorization", "Bearer sk-dify", "X-Faq", "1") })
	}
	<-arrived
	close(wait)
	all.Wait()
	r.used("five equal requests at once", "by=target", ",4,0,4,0,0,0,0,0", "p,1,0,0,0,9,0,2,0.000038")
}

func TestUsage_ARetryIsNoFurtherRequest(t *testing.T) {
	var mu sync.Mutex
	tries := 0
	answers := func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, answer)
	}
	r := newRig(t, accounted, engine(t, answers).URL, engine(t, answers).URL)
	r.post(chat, plainChat, "Authorization", "Bearer sk-dify")
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
	r.used("a request that was tried twice", byAll, "dify,,m,p,m,1,0,0,0,9,0,2,0.000038")
}

// A route's next target is the one that served.
func TestUsage_TheTargetThatServed(t *testing.T) {
	bad := engine(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	good := engine(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
	r := newRig(t, `
server: {lame_duck: 0s}
pools: [{name: a, endpoints: ["`+bad.URL+`"]}, {name: b, endpoints: ["`+good.URL+`"]}]
routes: [{name: both, models: ["m*"], targets: [{pool: a}, {pool: b}]}]
`)
	r.post(chat, strings.Replace(plainChat, `"m"`, `"m2"`, 1))
	r.used("passed on", byAll, ",,m2,b,both,1,0,0,0,9,0,2,0")
}

// aboutNoon is a zone in which it is about noon, so that no test sees its day end, and the date there.
func aboutNoon() (zone, today string) {
	now := time.Now().UTC()
	east := 12 - now.Hour()
	return fmt.Sprintf("Etc/GMT%+d", -east), now.Add(time.Duration(east) * time.Hour).Format(time.DateOnly) // such names count westwards
}

func TestUsage_AdminAPI(t *testing.T) {
	zone, today := aboutNoon()
	yaml := accounted + "usage: {zone: " + zone + "}\n"
	r := newRig(t, yaml, engine(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }).URL)
	for range 3 {
		r.post(chat, plainChat, "Authorization", "Bearer sk-dify")
	}
	r.post(chat, plainChat, "Authorization", "Bearer sk-shop")

	var got struct {
		From, To, Zone, Currency string
		By                       []string
		Rows                     []map[string]any
		Total                    map[string]float64
	}
	text := r.admin("GET", "/admin/v1/usage?consumer=dify&from="+today, "")
	if err := json.Unmarshal([]byte(text.body), &got); err != nil || text.status != 200 {
		t.Fatal(err, text)
	}
	if got.From != today || got.To != today || got.Zone != zone || got.Currency != "CNY" || strings.Join(got.By, ",") != "day,consumer,model" || len(got.Rows) != 1 {
		t.Errorf("%+v", got)
	}
	if row := got.Rows[0]; row["day"] != today || row["consumer"] != "dify" || row["model"] != "m" || row["requests"] != 3.0 || row["cost"] != 0.000114 || got.Total["completion_tokens"] != 6 {
		t.Errorf("%+v, in all %+v", row, got.Total)
	}

	csv := r.admin("GET", "/admin/v1/usage?by=consumer", "", "Accept", "text/csv, */*;q=0.1")
	if csv.header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || !strings.HasPrefix(csv.header.Get("Content-Disposition"), "attachment; filename=\"usage_20") ||
		csv.body != "consumer,requests,failed,cached,estimated,prompt_tokens,cached_prompt_tokens,completion_tokens,cost\r\ndify,3,0,0,0,27,0,6,0.000114\r\nshop,1,0,0,0,9,0,2,0.000038\r\n" {
		t.Errorf("%+v", csv)
	}
	r.used("several values", "by=&consumer=dify&consumer=shop", "4,0,0,0,36,0,8,0.000152")
	r.used("several values and none", "by=&consumer=")

	for query, want := range map[string]string{
		"from=2026-13-01": `parameter from: \"2026-13-01\" is no day`, "to=x": "parameter to:", "from=2026-11-02&to=2026-11-01": "is after",
		"by=user": `told apart by \"user\"`, "by=day,day": "named twice", "by=,": "told apart by", "format=xml": "no format", "group_by=day": `no parameter \"group_by\"`, "from=%zz": "cannot be read",
	} {
		if got := r.admin("GET", "/admin/v1/usage?"+query, ""); got.status != 400 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %+v", query, got)
		}
	}
	text = r.do("GET", "/admin/v1/usage", "", "Authorization", "Bearer sk-dify")
	if text.status != 404 {
		t.Errorf("the application listener tells usage: %+v", text)
	}
	metrics := r.admin("GET", "/metrics", "").body
	if !strings.Contains(metrics, `warmlane_cost_total{model="m",pool="p"} 0.000152`) || !strings.Contains(metrics, "warmlane_usage_saved_timestamp_seconds 1.") {
		t.Errorf("metrics:\n%s", metrics)
	}
}

// What was counted lives in the file or in Redis, and outlives the gateway.
func TestUsage_OutlivesARestart(t *testing.T) {
	url := engine(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }).URL
	for what, yaml := range map[string]string{
		"file": onePool + "usage: {file: " + filepath.Join(t.TempDir(), "usage.db") + "}\n", "redis": onePool + "redis: redis://" + miniredis.RunT(t).Addr() + "\n",
	} {
		for i := range 2 {
			t.Run(what, func(t *testing.T) {
				r := newRig(t, yaml, url)
				r.post(chat, plainChat)
				r.used(what, "by=model", fmt.Sprintf("m,%d,0,0,0,%d,0,%d,0", i+1, 9*(i+1), 2*(i+1)))
			})
		}
	}
}

// A report that cannot be had says so, and what happens meanwhile is told later.
func TestUsage_RedisAway(t *testing.T) {
	server := miniredis.RunT(t)
	r := newRig(t, onePool+"redis: redis://"+server.Addr()+"\n", engine(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }).URL)
	server.SetError("LOADING Redis is loading the dataset in memory")
	r.post(chat, plainChat)
	if got := r.admin("GET", "/admin/v1/usage", ""); got.status != 503 || got.code() != "usage_away" {
		t.Errorf("%+v", got)
	}
	server.SetError("")
	r.used("afterwards", "by=model", "m,1,0,0,0,9,0,2,0")
}

// A request that was sent twice is one, with what its winner used.
func TestUsage_AHedgedRequestCountsOnce(t *testing.T) {
	d := newDuel(t, hedged, 2, (*visit).hang, func(v *visit) { events(v.w, delta, finish, usage, done) })
	d.practise()
	d.post(chat, strings.Replace(streamChat, `"m"`, `"m@late-app"`, 1), "X-Request-Id", "late")
	if n := len(d.visits("late")); n != 2 {
		t.Fatalf("it came to %d engines", n)
	}
	d.used("twice sent", "app=late-app&"+byAll, ",late-app,m,m,m,1,0,0,0,9,4,2,0")
	d.settled()
}

// Of a provider that tells no usage the prompt is counted here as well.
func TestUsage_AProviderThatTellsNone(t *testing.T) {
	url := engine(t, func(w http.ResponseWriter, _ *http.Request) { events(w, delta, finish, done) }).URL
	r := newRig(t, "server: {lame_duck: 0s}\nproviders: [{name: out, base_url: '"+url+"/v1', keys: [k], models: [m]}]\n")
	r.post(chat, streamChat)
	r.used("no usage", byAll, ",,m,out,m,1,0,0,1,3,0,2,0")
}

// Requests end under the configuration that they began with, and so does their counting: nothing is lost when another Redis is named, or
// when there is none any more.
func TestUsage_ReloadToAnotherRedis(t *testing.T) {
	came, wait := make(chan struct{}), make(chan struct{})
	url := engine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Slow") != "" {
			close(came)
			<-wait
		}
		_, _ = io.WriteString(w, answer)
	}).URL
	one, two := miniredis.RunT(t), miniredis.RunT(t)
	zone, today := aboutNoon()
	yaml := strings.Replace(onePool, "ENGINES", "['"+url+"']", 1) + "usage: {zone: " + zone
	f := newFileRig(t, yaml+"}\nredis: redis://"+one.Addr()+"\n")
	var slow sync.WaitGroup
	slow.Go(func() { f.post(chat, plainChat, "X-Slow", "1") })
	<-came
	f.post(chat, plainChat)
	f.reload(yaml + ", keep_days: 7}\nredis: redis://" + two.Addr() + "\n")
	if lines := f.log("a change of this key waits for a restart"); len(lines) != 1 || lines[0]["key"] != "usage" {
		t.Errorf("log %v", lines)
	}
	f.post(chat, plainChat)
	f.used("in the second Redis", "by=model", "m,1,0,0,0,9,0,2,0")
	close(wait)
	slow.Wait()
	f.reload(yaml + "}\n")
	f.used("in memory", "by=model")
	day := "warmlane:usage:{" + today + "}"
	await(t, "two requests in the first Redis", func() bool { return one.HGet(day, `["","","m","m","m","requests"]`) == "2" })
	await(t, "one in the second", func() bool { return two.HGet(day, `["","","m","m","m","requests"]`) == "1" })
}

package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hedged is a pool that sends requests twice. Nothing but requests reaches its engines.
const hedged = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, hedge: 0.05, probe_idle: false, health: {interval: 1h}}]
`

// visit is one arrival of a late request at an engine.
type visit struct {
	url  string
	w    http.ResponseWriter
	r    *http.Request
	both chan struct{} // closed when the request has come a second time
}

// hang waits until the gateway has closed the connection.
func (v *visit) hang() { <-v.r.Context().Done() }

// duel is engines that answer at once, but for requests whose id begins with late: each arrival of such a one does what the script has
// in its place; further ones are answered well.
type duel struct {
	*rig
	urls []string
	hits atomic.Int64 // of all requests

	mu     sync.Mutex // guards the rest
	script []func(*visit)
	came   map[string][]*visit
	left   sync.WaitGroup // visits that have not ended
}

func newDuel(t *testing.T, yaml string, engines int, script ...func(*visit)) *duel {
	t.Helper()
	d := &duel{script: script, came: map[string][]*visit{}}
	for i := range engines {
		d.urls = append(d.urls, engine(t, func(w http.ResponseWriter, r *http.Request) { d.serve(i, w, r) }).URL)
	}
	d.rig = newRig(t, yaml, d.urls...)
	return d
}

func (d *duel) serve(i int, w http.ResponseWriter, r *http.Request) {
	d.hits.Add(1)
	body, err := io.ReadAll(r.Body) // only then does the server see its client leave
	if err != nil {
		return
	}
	id := r.Header.Get("X-Request-Id")
	switch {
	case strings.Contains(string(body), `"probe"`):
		status(400, `{"error":{"message":"no messages"}}`)(w, r)
		return
	case !strings.HasPrefix(id, "late"):
		r.Body = io.NopCloser(bytes.NewReader(body))
		good(w, r)
		return
	}
	v := &visit{url: d.urls[i], w: w, r: r, both: make(chan struct{})}
	d.mu.Lock()
	n := len(d.came[id])
	d.came[id] = append(d.came[id], v)
	if n == 1 {
		close(d.came[id][0].both)
	}
	act := func(v *visit) { events(v.w, delta, finish, done) }
	if n < len(d.script) {
		act = d.script[n]
	}
	d.left.Add(1)
	d.mu.Unlock()
	defer d.left.Done()
	act(v)
}

// visits are the endpoints that the request came to, in order.
func (d *duel) visits(id string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var urls []string
	for _, v := range d.came[id] {
		urls = append(urls, v.url)
	}
	return urls
}

// practise sends requests until the pool knows which are late and may send some of them twice.
func (d *duel) practise() {
	d.t.Helper()
	for i := range 200 {
		if a := d.post(chat, strings.Replace(streamChat, "hello", fmt.Sprint("hello ", i), 1), "X-Request-Id", fmt.Sprint("r", i)); a.status != 200 || a.body != delta+finish+done {
			d.t.Fatalf("request %d: %d %v %s", i, a.status, a.err, a.body)
		}
	}
}

// settled waits until every visit has ended, and fails the test when an endpoint still has a request, or an ending that it should not.
func (d *duel) settled(never ...string) {
	d.t.Helper()
	d.left.Wait()
	await(d.t, "endpoints without load", func() bool {
		text := d.metrics()
		for _, u := range d.urls {
			for _, name := range []string{"requests", "decoding_requests", "pending_prompt_tokens", "context_tokens"} {
				if !strings.Contains(text, fmt.Sprintf("warmlane_endpoint_%s{endpoint=%q,pool=\"m\"} 0\n", name, u)) {
					return false
				}
			}
		}
		return true
	})
	for url, state := range d.states() {
		for _, cause := range never {
			if strings.Contains(state, cause+":") {
				d.t.Errorf("%s: %s", url, state)
			}
		}
	}
}

// drain takes endpoints out of service.
func (d *duel) drain(which func(url string) bool) {
	d.t.Helper()
	for _, u := range d.urls {
		if !which(u) {
			continue
		}
		if a := d.admin("POST", "/admin/v1/endpoints/state", `{"pool":"m","url":"`+u+`","state":"draining"}`); a.status != 200 {
			d.t.Fatalf("%d %s", a.status, a.body)
		}
	}
}

// causes are all that counts against an endpoint, and a client that left.
var causes = []string{"client_gone", "refused", "reset", "server_error", "timeout", "stalled", "cut"}

// broken is an answer without an event.
func broken(w http.ResponseWriter, _ *http.Request) { events(w) }

func well(v *visit) { events(v.w, delta, finish, done) }

// An engine that does not begin is overtaken: another one answers, and the connection to the first is closed at once.
func TestHedge_TheSecondAttemptWins(t *testing.T) {
	d := newDuel(t, hedged, 3, (*visit).hang, well)
	d.practise()
	a := d.post(chat, streamChat, "X-Request-Id", "late", "X-Warmlane-Explain", "1")
	at := d.visits("late")
	if a.status != 200 || a.err != nil || a.body != delta+finish+done || len(at) != 2 || at[0] == at[1] {
		t.Fatalf("answered %d %v %s, by %v", a.status, a.err, a.body, at)
	}
	if h := a.header; h.Get("X-Warmlane-Hedged") != "won" || h.Get("X-Warmlane-Tries") != "1" || !strings.Contains(h.Get("X-Warmlane-Decision"), at[1]) ||
		!strings.Contains(h.Get("X-Warmlane-Decision"), `"hedged":"won"`) {
		t.Errorf("head %v, want the engine %s", a.header, at[1])
	}
	if line := d.line("late"); line["hedged"] != "won" || line["endpoint"] != at[1] || line["tries"] != 1.0 {
		t.Errorf("access line %v, want the engine %s", line, at[1])
	}
	if n := d.metric(`warmlane_hedges_total{outcome="won",pool="m"}`); n == "" || n == "0" {
		t.Error("it is not counted")
	}
	d.settled(causes...)
}

// An engine that begins while the second one is at it answers; the connection to the second is closed.
func TestHedge_TheFirstAttemptWins(t *testing.T) {
	d := newDuel(t, hedged, 2, func(v *visit) { <-v.both; well(v) }, (*visit).hang)
	d.practise()
	a := d.post(chat, streamChat, "X-Request-Id", "late")
	at := d.visits("late")
	if a.status != 200 || a.body != delta+finish+done || a.header.Get("X-Warmlane-Hedged") != "lost" || len(at) != 2 {
		t.Fatalf("answered %d %v %s by %v, head %v", a.status, a.err, a.body, at, a.header)
	}
	if line := d.line("late"); line["hedged"] != "lost" || line["endpoint"] != at[0] {
		t.Errorf("access line %v, want the engine %s", line, at[0])
	}
	d.settled(causes...)
}

// Where nobody asked for it, where an answer comes in one piece, or before it is known what is late, nothing is sent twice.
func TestHedge_NotWhereItShouldNot(t *testing.T) {
	for name, c := range map[string]struct {
		yaml, body string
		practise   bool
	}{
		"off":              {strings.Replace(hedged, "hedge: 0.05", "hedge: 0", 1), streamChat, true},
		"left out":         {strings.Replace(hedged, "hedge: 0.05, ", "", 1), streamChat, true},
		"answer in one":    {hedged, plainChat, true},
		"nothing is known": {hedged, streamChat, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDuel(t, c.yaml, 3, func(v *visit) {
				linger(150 * time.Millisecond)
				if c.body == streamChat {
					well(v)
					return
				}
				v.w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(v.w, answer)
			})
			if c.practise {
				d.practise()
			}
			a := d.post(chat, c.body, "X-Request-Id", "late")
			if a.status != 200 || len(d.visits("late")) != 1 || a.header.Get("X-Warmlane-Hedged") != "" {
				t.Errorf("answered %d %s by %v", a.status, a.body, d.visits("late"))
			}
			d.settled(causes...)
		})
	}
}

// When both attempts fail, the request goes on as if the first alone had: with a third engine, or with the first one's words.
func TestHedge_BothFail(t *testing.T) {
	second := make(chan struct{}, 1)
	refuse := func(words string) func(*visit) {
		return func(v *visit) {
			<-v.both
			<-second
			status(500, words)(v.w, v.r)
		}
	}
	fail := func(act http.HandlerFunc) func(*visit) {
		return func(v *visit) { defer func() { second <- struct{}{} }(); act(v.w, v.r) }
	}
	words := `{"error":{"message":"boom","type":"InternalServerError","param":null,"code":500}}`
	other := status(500, `{"error":{"message":"other","type":"InternalServerError","param":null,"code":500}}`)
	for name, c := range map[string]struct {
		first, second func(*visit)
		third         bool
	}{
		"one breaks":   {refuse(words), fail(broken), true},
		"both say 500": {refuse(words), fail(other), false}, // a second engine that says so is the last
	} {
		t.Run(name, func(t *testing.T) {
			d := newDuel(t, hedged, 3, c.first, c.second)
			d.practise()
			a := d.post(chat, streamChat, "X-Request-Id", "late")
			at := d.visits("late")
			if c.third && (a.status != 200 || a.body != delta+finish+done || len(at) != 3 || a.header.Get("X-Warmlane-Tries") != "2") {
				t.Errorf("answered %d %s by %v, tries %s", a.status, a.body, at, a.header.Get("X-Warmlane-Tries"))
			}
			if !c.third && (a.status != 500 || a.body != words || len(at) != 2) {
				t.Errorf("answered %d %s by %v", a.status, a.body, at)
			}
			if line := d.line("late"); line["hedged"] != "failed" {
				t.Errorf("access line %v", line)
			}
			d.settled()
		})
	}
}

// The first attempt fails while the second one is under way: its answer is the request's.
func TestHedge_TheFirstAttemptFails(t *testing.T) {
	d := newDuel(t, hedged, 3, func(v *visit) { <-v.both; broken(v.w, v.r) }, func(v *visit) { linger(30 * time.Millisecond); well(v) })
	d.practise()
	a := d.post(chat, streamChat, "X-Request-Id", "late")
	if a.status != 200 || a.body != delta+finish+done || a.header.Get("X-Warmlane-Hedged") != "won" || len(d.visits("late")) != 2 {
		t.Errorf("answered %d %v %s by %v, head %v", a.status, a.err, a.body, d.visits("late"), a.header)
	}
	d.settled("client_gone", "server_error", "timeout")
}

// A request that is its caller's own fault is answered so at once.
func TestHedge_CallersFaultNeedsNoSecondAnswer(t *testing.T) {
	body := `{"error":{"message":"max_tokens must be at least 1","type":"BadRequestError","param":"max_tokens","code":400}}`
	d := newDuel(t, hedged, 3, func(v *visit) { <-v.both; status(400, body)(v.w, v.r) }, (*visit).hang)
	d.practise()
	if a := d.post(chat, streamChat, "X-Request-Id", "late"); a.status != 400 || a.body != body || len(d.visits("late")) != 2 {
		t.Errorf("answered %d %s by %v", a.status, a.body, d.visits("late"))
	}
	d.settled(causes...)
}

// A client that leaves while both attempts are under way ends both.
func TestHedge_ClientLeaves(t *testing.T) {
	both := make(chan struct{})
	d := newDuel(t, hedged, 3, (*visit).hang, func(v *visit) { close(both); v.hang() })
	d.practise()
	conn := d.dial()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: late\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(streamChat), streamChat)
	<-both
	_ = conn.Close()
	d.settled("reset", "server_error", "timeout", "cut")
	if line := d.line("late"); line["failure"] != "client_gone" || line["hedged"] != "failed" {
		t.Errorf("access line %v", line)
	}
}

// An answer that was first and breaks off ends as any other does; nothing is sent again.
func TestHedge_TheWinnerDies(t *testing.T) {
	d := newDuel(t, hedged, 3, (*visit).hang, func(v *visit) { events(v.w, delta); abort(v.w, v.r) })
	d.practise()
	a := d.post(chat, streamChat, "X-Request-Id", "late")
	if a.err == nil || !strings.HasPrefix(a.body, delta) || !strings.Contains(a.body, `"code":"stream_cut"`) || len(d.visits("late")) != 2 {
		t.Errorf("answered %v %s by %v", a.err, a.body, d.visits("late"))
	}
	d.settled("client_gone", "reset", "server_error", "timeout")
}

// Whichever of two engines that begin at the same moment is first: the client gets the answer of one, whole.
func TestHedge_NeverMixed(t *testing.T) {
	said := func(text string, hold int) func(*visit) {
		one := strings.Replace(delta, "hi", text, 1)
		return func(v *visit) {
			<-v.both
			for range hold { // for the two to meet
				_, _ = fmt.Fprint(v.w, ": \n\n")
			}
			events(v.w, one, one, one, finish, done)
		}
	}
	first, second := said("first", 2), said("second", 0)
	d := newDuel(t, hedged, 3, first, func(v *visit) { close(v.both); second(v) })
	d.practise()
	for i := range 12 {
		for range 22 { // each request adds a twentieth of a second attempt
			d.post(chat, streamChat)
		}
		a := d.post(chat, streamChat, "X-Request-Id", fmt.Sprint("late", i))
		one := a.header.Get("X-Warmlane-Hedged")
		text := map[string]string{"won": "second", "lost": "first"}[one]
		delta := strings.Replace(delta, "hi", text, 1)
		if body := strings.TrimLeft(a.body, ": \n"); a.status != 200 || a.err != nil || text == "" || body != delta+delta+delta+finish+done {
			t.Fatalf("request %d is %q: %d %v %q", i, one, a.status, a.err, a.body)
		}
	}
	d.settled(causes...)
}

// However many first events are late, no more than the share of the requests is sent twice.
func TestHedge_NoMoreThanItsShare(t *testing.T) {
	tardy := func(v *visit) { linger(40 * time.Millisecond); well(v) }
	d := newDuel(t, hedged, 3, tardy, tardy)
	d.practise()
	const workers, each = 20, 10
	var all sync.WaitGroup
	var failed atomic.Int64
	for w := range workers {
		all.Go(func() {
			for i := range each {
				if a := d.post(chat, streamChat, "X-Request-Id", fmt.Sprintf("late-%d-%d", w, i)); a.status != 200 || a.body != delta+finish+done {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	d.settled(causes...)
	const requests = 200 + workers*each
	extra := d.hits.Load() - requests
	if failed.Load() > 0 || extra > requests/20 {
		t.Errorf("%d failed; %d of %d requests were sent twice, want at most %d", failed.Load(), extra, requests, requests/20)
	}
	if n := d.metric(`warmlane_hedges_total{outcome="no_budget",pool="m"}`); n == "" || extra == 0 {
		t.Errorf("%d were sent twice, %q were kept from it: nothing is shown", extra, n)
	}
}

// A request that is sent twice counts once for limits: one at a time, and the tokens of the answer that was sent.
func TestHedge_LimitsCountOnce(t *testing.T) {
	d := newDuel(t, hedged+"limits: [{name: q, tokens: 10000000/total, concurrency: 1}]\n", 3,
		(*visit).hang, func(v *visit) { events(v.w, delta, finish, usage, done) })
	d.practise()
	before := left(t, d.rig)
	a := d.post(chat, streamChat, "X-Request-Id", "late")
	if a.status != 200 || a.body != delta+finish+done || len(d.visits("late")) != 2 {
		t.Fatalf("answered %d %s by %v", a.status, a.body, d.visits("late"))
	}
	d.settled(causes...)
	if used := before - left(t, d.rig); used != 11 {
		t.Errorf("%d tokens used, the engine told 11", used)
	}
}

// An equal request that joins one which is sent twice gets its answer, and so does one that comes later.
func TestHedge_CachedAnswersAreTheWinners(t *testing.T) {
	joined := make(chan struct{})
	d := newDuel(t, hedged+"cache: [{name: all}]\n", 3, (*visit).hang, func(v *visit) { <-joined; well(v) })
	d.practise()
	answers := make(chan reply, 2)
	go func() { answers <- d.post(chat, streamChat, "X-Request-Id", "late") }()
	await(t, "two attempts", func() bool { return len(d.visits("late")) == 2 })
	go func() { answers <- d.post(chat, streamChat, "X-Request-Id", "late as well") }()
	await(t, "an equal request", func() bool { return d.metric("warmlane_requests_in_flight") == "2" })
	close(joined)
	for range 2 {
		if a := <-answers; a.status != 200 || a.err != nil || a.body != delta+finish+done {
			t.Errorf("answered %d %v %s", a.status, a.err, a.body)
		}
	}
	if a := d.post(chat, streamChat, "X-Request-Id", "late again"); a.header.Get("X-Warmlane-Cache") != "hit" || a.body != delta+finish+done {
		t.Errorf("answered %s from the cache: %s", a.header.Get("X-Warmlane-Cache"), a.body)
	}
	if n := len(d.visits("late as well")) + len(d.visits("late again")); n > 0 {
		t.Errorf("%d requests reached an engine that need not have", n)
	}
	d.settled(causes...)
}

// While no other engine serves, a late request stays where it is, and that is counted.
func TestHedge_NobodyElseServes(t *testing.T) {
	d := newDuel(t, hedged, 3, func(v *visit) { linger(150 * time.Millisecond); well(v) })
	d.practise()
	d.drain(func(url string) bool { return url != d.urls[0] })
	a := d.post(chat, streamChat, "X-Request-Id", "late")
	if a.status != 200 || a.body != delta+finish+done || len(d.visits("late")) != 1 || a.header.Get("X-Warmlane-Hedged") != "" {
		t.Errorf("answered %d %s by %v", a.status, a.body, d.visits("late"))
	}
	if n := d.metric(`warmlane_hedges_total{outcome="no_room",pool="m"}`); n == "" || n == "0" {
		t.Errorf("it is counted %q times", n)
	}
	d.settled(causes...)
}

// The next turn of a conversation finds what the engine that answered has in its cache: the prompt and the words of that answer, from its
// first event on.
func TestHedge_TheNextTurnFindsTheWinner(t *testing.T) {
	words := func(who string) string { return strings.Repeat(who+" tells a long story. ", 100) }
	tell := func(v *visit, who string) { events(v.w, strings.Replace(delta, "hi", words(who), 1), finish, done) }
	for _, c := range []struct {
		hedged        string
		first, second func(*visit)
	}{
		{"won", (*visit).hang, func(v *visit) { tell(v, "second") }},
		{"lost", func(v *visit) { <-v.both; tell(v, "first") }, (*visit).hang},
	} {
		d := newDuel(t, hedged, 3, c.first, c.second)
		d.practise()
		a := d.post(chat, streamChat, "X-Request-Id", "late")
		if a.status != 200 || a.header.Get("X-Warmlane-Hedged") != c.hedged {
			t.Fatalf("answered %d %v, want it %s", a.status, a.header, c.hedged)
		}
		d.settled(causes...)
		winner := d.line("late")["endpoint"]
		d.drain(func(url string) bool { return url != winner })
		said := words(map[string]string{"won": "second", "lost": "first"}[c.hedged]) + "!" // as the last event has it
		turn := fmt.Sprintf(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":%q},{"role":"user","content":"on"}]}`, said)
		d.post(chat, turn, "X-Request-Id", "turn")
		line := d.line("turn")
		cached, _ := line["predicted_cached_tokens"].(float64)
		if prompt, _ := line["predicted_prompt_tokens"].(float64); line["endpoint"] != winner || cached < 0.8*prompt {
			t.Errorf("%s: the next turn went to %v with %v of %v tokens cached, the answer came from %v", c.hedged, line["endpoint"], cached, prompt, winner)
		}
	}
}

// A gateway that stops ends both attempts.
func TestHedge_TheGatewayStops(t *testing.T) {
	both := make(chan struct{})
	d := newDuel(t, strings.Replace(hedged, "drain: 2s", "drain: 10ms", 1), 3, (*visit).hang, func(v *visit) { close(both); v.hang() })
	d.practise()
	answered := make(chan reply, 1)
	go func() { answered <- d.post(chat, streamChat, "X-Request-Id", "late") }()
	<-both
	d.stop()
	if a := <-answered; a.status != 503 || a.code() != "gateway_stopping" {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	d.left.Wait()
}

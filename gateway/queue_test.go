package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	simulated "github.com/warmlane/warmlane/bench/engine"
)

// narrow is a pool of one endpoint with one place, and a queue.
const narrow = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true}
consumers:
  - {name: chat, keys: [sk-chat]}
  - {name: vip, keys: [sk-vip], priority: -5}
  - {name: batch, keys: [sk-batch], priority: 5}
pools:
  - {name: m, endpoints: [{url: ENGINES, max_concurrency: 1}], queue: {QUEUE}}
`

// slow is an engine that answers a request when it is told to.
type slow struct {
	url     string
	came    chan string // request ids, in the order in which they come
	release chan struct{}
}

func newSlow(t *testing.T) *slow {
	s := &slow{came: make(chan string, 100), release: make(chan struct{}, 100)}
	s.url = engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.came <- r.Header.Get("X-Request-Id")
		select {
		case <-s.release:
		case <-r.Context().Done():
		}
		events(w, delta, finish, done)
	}).URL
	return s
}

func newQueueRig(t *testing.T, yaml, queue string, s *slow) *rig {
	t.Helper()
	yaml = strings.ReplaceAll(strings.ReplaceAll(yaml, "QUEUE", queue), "ENGINES", strconv.Quote(s.url))
	return newRig(t, yaml)
}

// crowd is requests on their way.
type crowd struct {
	*rig
	all     sync.WaitGroup
	mu      sync.Mutex
	replies map[string]reply
}

// send sends a request under that id and with that key.
func (c *crowd) send(id, key, body string, header ...string) {
	c.all.Go(func() {
		a := c.post(chat, body, append([]string{"X-Request-Id", id, "X-Api-Key", key, "X-Warmlane-Explain", "1"}, header...)...)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.replies[id] = a
	})
}

// queue is the first pool's queue as the admin API shows it.
func (r *rig) queue() (q struct{ Length, Max, Bound, Expired, Left, Refused int }) {
	r.t.Helper()
	admin := *r
	admin.URL = r.Admin
	var got struct {
		Pools []struct{ Queue json.RawMessage }
	}
	a := admin.do("GET", "/admin/v1/pools", "")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || len(got.Pools) == 0 {
		r.t.Fatal(err, a.body)
	}
	if err := json.Unmarshal(got.Pools[0].Queue, &q); err != nil {
		r.t.Fatal(err, a.body)
	}
	return q
}

func (r *rig) awaitQueue(length int) {
	r.t.Helper()
	await(r.t, fmt.Sprintf("%d requests in the queue", length), func() bool { return r.queue().Length == length })
}

// line is the access line of that request.
func (r *rig) line(id string) map[string]any {
	r.t.Helper()
	var found map[string]any
	await(r.t, "the access line of "+id, func() bool {
		for _, l := range r.lines.access() {
			if l["request_id"] == id {
				found = l
			}
		}
		return found != nil
	})
	return found
}

// More clients than places: all are served, one after the other.
func TestQueue_AllAreServed(t *testing.T) {
	e, err := simulated.Start(simulated.Config{Model: "m", TimeScale: 20, MaxQueuedReqs: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	r := newRig(t, `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: [{url: `+e.URL()+`, max_concurrency: 1}]}]
`)
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			a := r.post(chat, fmt.Sprintf(`{"model":"m","stream":true,"max_tokens":40,"messages":[{"role":"user","content":"hello %d"}]}`, i))
			if a.status != 200 || a.err != nil || !strings.Contains(a.body, "[DONE]") {
				t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
			}
		})
	}
	all.Wait()
	if q := r.queue(); q.Bound != 2 || q.Length != 0 {
		t.Errorf("queue %+v, want two that have waited", q)
	}
}

// The highest priority goes first, then who came first; nobody gets more than his consumer may have.
func TestQueue_Priority(t *testing.T) {
	s := newSlow(t)
	c := &crowd{rig: newQueueRig(t, narrow, "max: 100", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	for i, r := range []struct{ id, key, body, header string }{
		{"batch", "sk-batch", streamChat, "-10"},
		{"polite by body", "sk-chat", strings.Replace(streamChat, "{", `{"priority":3,`, 1), ""},
		{"polite by header", "sk-chat", strings.Replace(streamChat, "{", `{"priority":-7,`, 1), "2"},
		{"first", "sk-chat", streamChat, ""},
		{"presumptuous by header", "sk-chat", streamChat, "-10"},
		{"presumptuous by body", "sk-chat", strings.Replace(streamChat, "{", `{"priority":-10,`, 1), ""},
		{"modest vip", "sk-vip", streamChat, "-1"},
		{"vip", "sk-vip", streamChat, ""},
	} {
		c.send(strings.ReplaceAll(r.id, " ", "-"), r.key, r.body, "X-Warmlane-Priority", r.header)
		c.awaitQueue(i + 1)
	}
	var order []string
	for range 8 {
		s.release <- struct{}{}
		order = append(order, <-s.came)
	}
	s.release <- struct{}{}
	c.all.Wait()
	want := []string{"vip", "modest-vip", "first", "presumptuous-by-header", "presumptuous-by-body", "polite-by-header", "polite-by-body", "batch"}
	if !slices.Equal(order, want) {
		t.Errorf("served %v\n  want %v", order, want)
	}
	for id, a := range c.replies {
		if a.status != 200 || a.err != nil {
			t.Errorf("%s: %d %s, %v", id, a.status, a.body, a.err)
		}
	}
	if ms, _ := c.line("batch")["queue_ms"].(float64); ms <= 0 {
		t.Errorf("access line %v", c.line("batch"))
	}
	var why struct {
		Queue float64 `json:"queue_ms"`
	}
	if err := json.Unmarshal([]byte(c.replies["vip"].header.Get("X-Warmlane-Decision")), &why); err != nil || why.Queue <= 0 {
		t.Errorf("decision %v, %v", c.replies["vip"].header, err)
	}
}

func TestQueue_PriorityThatIsNone(t *testing.T) {
	s := newSlow(t)
	r := newQueueRig(t, narrow, "max: 100", s)
	a := r.post(chat, streamChat, "X-Api-Key", "sk-chat", "X-Warmlane-Priority", "high")
	if a.status != 400 || !strings.Contains(a.body, "x-warmlane-priority") {
		t.Errorf("answered %d %s", a.status, a.body)
	}
}

// A full queue refuses at once, with the time after which to come back.
func TestQueue_Full(t *testing.T) {
	s := newSlow(t)
	c := &crowd{rig: newQueueRig(t, narrow, "max: 1", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	c.send("waits", "sk-chat", streamChat)
	c.awaitQueue(1)
	a := c.post(chat, streamChat, "X-Api-Key", "sk-chat")
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != 429 || a.code() != "queue_full" || err != nil || n < 1 {
		t.Errorf("answered %d %v %s", a.status, a.header, a.body)
	}
	s.release <- struct{}{}
	s.release <- struct{}{}
	c.all.Wait()
	if a := c.replies["waits"]; a.status != 200 {
		t.Errorf("the one that waited: %d %s", a.status, a.body)
	}
	if q := c.queue(); q.Refused != 1 || q.Bound != 1 || q.Max != 1 {
		t.Errorf("queue %+v", q)
	}
}

// Without a queue whoever finds no room is refused, as engines do.
func TestQueue_None(t *testing.T) {
	s := newSlow(t)
	c := &crowd{rig: newQueueRig(t, narrow, "max: 0", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	if a := c.post(chat, streamChat, "X-Api-Key", "sk-chat"); a.status != 503 || a.code() != "engines_busy" || a.header.Get("Retry-After") == "" {
		t.Errorf("answered %d %v %s", a.status, a.header, a.body)
	}
	s.release <- struct{}{}
	c.all.Wait()
}

// Whoever has waited as long as may be is refused, or goes on to the route's next target.
func TestQueue_Expired(t *testing.T) {
	s := newSlow(t)
	spare, _ := counting(t, good)
	c := &crowd{rig: newQueueRig(t, narrow+`
  - {name: spare, endpoints: ["`+spare+`"]}
routes: [{models: [alias], targets: [{pool: m, model: m}, {pool: spare}]}]
`, "wait: 30ms", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	a := c.post(chat, streamChat, "X-Api-Key", "sk-chat", "X-Request-Id", "expires")
	if a.status != 429 || a.code() != "queue_timeout" || a.header.Get("Retry-After") == "" {
		t.Errorf("answered %d %v %s", a.status, a.header, a.body)
	}
	if line := c.line("expires"); line["failure"] != "queue_timeout" || line["tries"] != 0.0 || line["ended_by"] != "gateway" || line["queue_ms"].(float64) < 30 {
		t.Errorf("access line %v", line)
	}
	a = c.post(chat, strings.Replace(streamChat, `"m"`, `"alias"`, 1), "X-Api-Key", "sk-chat", "X-Request-Id", "goes-on")
	if a.status != 200 {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	if line := c.line("goes-on"); line["pool"] != "spare" || line["queue_ms"].(float64) < 30 {
		t.Errorf("access line %v", line)
	}
	if q := c.queue(); q.Expired != 2 {
		t.Errorf("queue %+v", q)
	}
	s.release <- struct{}{}
	c.all.Wait()
}

// A client that leaves is forgotten by the queue: the engine never hears of it.
func TestQueue_ClientLeaves(t *testing.T) {
	s := newSlow(t)
	c := &crowd{rig: newQueueRig(t, narrow, "max: 100", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	conn := c.dial()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: sk-chat\r\nX-Request-Id: leaves\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(streamChat), streamChat)
	c.awaitQueue(1)
	c.send("stays", "sk-chat", streamChat)
	c.awaitQueue(2)
	_ = conn.Close()
	if line := c.line("leaves"); line["failure"] != "client_gone" || line["tries"] != 0.0 || line["endpoint"] != nil {
		t.Errorf("access line %v", line)
	}
	c.awaitQueue(1)
	s.release <- struct{}{}
	if id := <-s.came; id != "stays" {
		t.Errorf("%s reached the engine", id)
	}
	s.release <- struct{}{}
	c.all.Wait()
	if q := c.queue(); q.Left != 1 || q.Bound != 1 {
		t.Errorf("queue %+v", q)
	}
	admin := *c.rig
	admin.URL = c.Admin
	text := admin.do("GET", "/metrics", "").body
	for _, want := range []string{
		`warmlane_queue_outcomes_total{outcome="left",pool="m"} 1`, `warmlane_queue_outcomes_total{outcome="bound",pool="m"} 1`,
		`warmlane_queue_length{pool="m"} 0`, `warmlane_queue_max{pool="m"} 100`, `warmlane_queue_seconds_count{model="m",pool="m"} 3`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// An endpoint that an operator takes out answers those who wait for it.
func TestQueue_EndpointIsDrained(t *testing.T) {
	s := newSlow(t)
	c := &crowd{rig: newQueueRig(t, narrow, "max: 100, wait: 1h", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	c.send("waits", "sk-chat", streamChat)
	c.awaitQueue(1)
	admin := *c.rig
	admin.URL = c.Admin
	if a := admin.post("/admin/v1/endpoints/state", `{"pool":"m","url":"`+s.url+`","state":"draining"}`); a.status != 200 {
		t.Fatalf("draining: %d %s", a.status, a.body)
	}
	c.awaitQueue(0)
	s.release <- struct{}{}
	c.all.Wait()
	if a := c.replies["waits"]; a.status != 503 || a.code() != "no_endpoint_available" {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	if a := c.replies["holds"]; a.status != 200 || a.err != nil {
		t.Errorf("the one that was there: %d, %v", a.status, a.err)
	}
}

// A gateway that stops answers those who wait when its drain time is over.
func TestQueue_GatewayStops(t *testing.T) {
	s := newSlow(t)
	c := &crowd{rig: newQueueRig(t, strings.Replace(narrow, "drain: 2s", "drain: 100ms", 1), "wait: 1h", s), replies: map[string]reply{}}
	c.send("holds", "sk-chat", streamChat)
	<-s.came
	c.send("waits", "sk-chat", streamChat)
	c.awaitQueue(1)
	c.stop()
	c.all.Wait()
	if a := c.replies["waits"]; a.status != 503 || a.code() != "gateway_stopping" {
		t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
	}
}

// With a start that is too late a request waits for those before it to begin, though there is room.
func TestQueue_Late(t *testing.T) {
	begin, came := make(chan struct{}), make(chan string, 2)
	url := engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		came <- r.Header.Get("X-Request-Id")
		if r.Header.Get("X-Request-Id") == "long" {
			<-begin
		}
		events(w, delta, finish, done)
	}).URL
	c := &crowd{replies: map[string]reply{}, rig: newRig(t, `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: ENGINES, queue: {late: 20ms}}]
`, url)}
	c.send("long", "", strings.Replace(streamChat, "hello", strings.Repeat("hello ", 50_000), 1))
	<-came
	c.send("waits", "", streamChat)
	c.awaitQueue(1)
	begin <- struct{}{}
	<-came
	c.all.Wait()
	if a := c.replies["waits"]; a.status != 200 || c.line("waits")["queue_ms"].(float64) <= 0 {
		t.Errorf("answered %d %s", a.status, a.body)
	}
}

package promises_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quickHealth is a pool whose health pages, which always answer 200, are asked often: what traffic found out must outrank them.
const quickHealth = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true, log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: POLICY, health: {interval: 200ms}, timeouts: {first_event: 500ms}}]
`

const (
	fullJSON   = `{"error":{"message":"The server is currently busy and cannot accept your request.","type":"ServiceUnavailableError","code":503}}`
	brokenJSON = `{"error":{"message":"something broke","type":"InternalServerError","code":500}}`
)

func plainReply(status int, text string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text)
}

// Promise: one replica of three is bad although its health page says 200: no client sees it, and once it has been found out it gets
// at most 1 % of the requests, by round robin as well as where it looks least loaded.
func TestPromise_BadReplica(t *testing.T) {
	for name, bad := range map[string]func(c *call) bool{
		"resets":                func(c *call) bool { c.reset(); return false },
		"fails at once":         func(c *call) bool { return c.write(plainReply(500, brokenJSON)) },
		"refuses with 503":      func(c *call) bool { return c.write(plainReply(503, fullJSON)) },
		"refuses with 429":      func(c *call) bool { return c.write(plainReply(429, fullJSON)) },
		"refuses inside a 200":  func(c *call) bool { return refuseInStream(c) },
		"hangs":                 func(c *call) bool { c.gone(); return false },
		"is cut mid-body":       func(c *call) bool { return cutMidBody(c) },
		"is going, with a 500":  func(c *call) bool { return c.write(plainReply(500, goingJSON)) },
		"opens, says nothing":   func(c *call) bool { c.write(streamHead); c.gone(); return false },
		"answers with nonsense": func(c *call) bool { c.write("NONSENSE\r\n\r\n"); return false },
	} {
		for _, policy := range []string{"round_robin", "least_request"} {
			t.Run(name+"/"+policy, func(t *testing.T) { oneBadReplica(t, name+", "+policy, policy, bad) })
		}
	}
}

const goingJSON = `{"error":{"message":"cannot schedule new futures after shutdown","type":"InternalServerError","code":500}}`

func refuseInStream(c *call) bool {
	if !c.stream {
		return c.write(plainReply(503, fullJSON))
	}
	return c.write(streamHead + chunk("data: "+fullJSON+"\n\n") + chunk(done) + lastChunk)
}

// cutMidBody breaks an answer in one piece off; a stream would have begun, so that it is served.
func cutMidBody(c *call) bool {
	if c.stream {
		return c.serve()
	}
	c.write(wholePlain()[:len(wholePlain())-20])
	return false
}

func oneBadReplica(t *testing.T, what, policy string, serve func(*call) bool) {
	var reached atomic.Int64
	bad := startEngine(t, func(c *call) bool { reached.Add(1); return serve(c) })
	well := func(c *call) bool { return c.serve() }
	g := open(t, strings.Replace(quickHealth, "POLICY", policy, 1), bad.url, startEngine(t, well).url, startEngine(t, well).url)
	// Requests come at a steady rate for long enough that pauses and times out grow; answers take no time.
	n, settled, every := count(800, 10_000), 400, 2*time.Millisecond // what hangs is found out after first_event
	streams := !strings.HasPrefix(what, "is cut")
	var all sync.WaitGroup
	var failed, sent atomic.Int64
	var atFirst int64
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		if i == settled {
			atFirst = reached.Load()
		}
		all.Go(func() {
			body := plainChat
			if streams {
				body = streamChat
			}
			body = strings.Replace(body, "hello", fmt.Sprintf("hello %d", i), 1)
			r, err := once(g.address, chat, body)
			sent.Add(1)
			if err != nil || !r.served(streams) {
				if failed.Add(1) < 4 {
					t.Logf("request %d: %v, %d %.200s", i, err, r.status, r.body)
				}
			}
		})
	}
	all.Wait()
	none(t, "failures seen by clients, one replica "+what, int(failed.Load()), n)
	if reached.Load() == 0 {
		t.Error("no request met the bad replica: nothing is shown")
	}
	share := float64(reached.Load()-atFirst) / float64(n-settled)
	t.Logf("FIGURE requests that the bad replica got, %s: %d of the first %d, then %.2f %% (promised 1 %%)", what, atFirst, settled, 100*share)
	if share > 0.01*float64(count(4, 1)) {
		t.Errorf("the bad replica gets %.2f %% of the requests", 100*share)
	}
}

// Promise: prompts on which every engine fails eject nobody: the requests after them are answered as if nothing had been.
func TestPromise_PoisonPrompts(t *testing.T) {
	var urls []string
	for range 3 {
		s := poisonable(t)
		urls = append(urls, s)
	}
	rounds, failed := count(2, 20), 0
	for range rounds { // a gateway each, whose budget of retries tells who is to blame
		g := open(t, strings.Replace(quickHealth, "POLICY", "round_robin", 1), urls...)
		for i := range 15 {
			if r, err := once(g.address, chat, strings.Replace(plainChat, "hello", fmt.Sprintf("poison %d", i), 1)); err != nil || r.status != 500 {
				t.Errorf("a poison prompt was answered %d %s (%v)", r.status, r.body, err)
			}
		}
		for range 20 {
			if r, err := once(g.address, chat, plainChat); err != nil || r.status != 200 {
				failed++
			}
		}
		if out := g.states(t, "ejected"); out != 0 {
			t.Errorf("%d replicas are ejected", out)
		}
	}
	none(t, "good requests that failed after 15 poison prompts", failed, 20*rounds)
}

// poisonable is an engine that fails on prompts with the word poison.
func poisonable(t *testing.T) string {
	t.Helper()
	l := listen(t)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(body), "poison") {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, brokenJSON)
			return
		}
		_, _ = io.WriteString(w, answer)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
}

// states is how many endpoints have a state, by the metrics.
func (g *gate) states(t *testing.T, state string) int {
	t.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "warmlane_endpoint_state{") && strings.Contains(line, `state="`+state+`"`) && strings.HasSuffix(line, " 1") {
			n++
		}
	}
	return n
}

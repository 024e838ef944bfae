package promises_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Promise: an engine that dies before its first byte is not seen by any client while another one is well: 0 of 10,000, whatever the
// way of dying. Printed beside it: what the requests that met a dying engine took longer than the others, in the median.
func TestPromise_UpstreamDies(t *testing.T) {
	for name, die := range map[string]func(*call){
		"reset":          func(c *call) { c.reset() },
		"empty answer":   func(*call) {},
		"half a head":    func(c *call) { c.write("HTTP/1.1 200 OK\r\nContent-Ty") },
		"head, no event": func(c *call) { c.write(streamHead) },
	} {
		t.Run(name, func(t *testing.T) {
			m := &mortal{doomed: map[string]bool{}}
			e := startEngine(t, func(c *call) bool {
				if m.dies(c.id) {
					die(c)
					return false
				}
				return c.serve()
			})
			well := func(c *call) bool { return c.serve() }
			// It must not be ejected, or few requests would meet it.
			g := open(t, strings.Replace(pool, "interval: 1h", "interval: 1h, eject_after: 1000000", 1), e.url, startEngine(t, well).url, startEngine(t, well).url)
			if load(t, name, count(300, 10_000), g.address, func(int) string { return "m" }) == 0 {
				t.Errorf("no request met an engine that was %s: nothing is shown", name)
			}
		})
	}
}

// A request that dies on two engines is answered by the third. Few enough requests in 10 s meet that for the retry budget to cover them.
func TestPromise_TwoDie(t *testing.T) {
	dying := func(m *mortal) func(c *call) bool {
		return func(c *call) bool {
			if m.dies(c.id) {
				c.reset()
				return false
			}
			return c.serve()
		}
	}
	// Both engines die of the same requests, each fifteenth: up to two retries for each are within a fifth of all.
	m := &mortal{doomed: map[string]bool{}, each: 15}
	g := open(t, strings.Replace(pool, "interval: 1h", "interval: 1h, eject_after: 1000000", 1),
		startEngine(t, dying(m)).url, startEngine(t, dying(m)).url, startEngine(t, func(c *call) bool { return c.serve() }).url)
	if load(t, "two engines die", count(300, 10_000), g.address, func(int) string { return "m" }) == 0 {
		t.Error("no request met a dying engine: nothing is shown")
	}
}

// load sends requests, half of them streamed, and demands that each is answered whole. It returns how many needed a second try.
func load(t *testing.T, name string, n int, address string, model func(i int) string) int {
	t.Helper()
	var mu sync.Mutex
	var smooth, rough times // answered by the first engine, and by a later one
	failed := 0
	crowd(n, 16, address, func(i int, w *worker) {
		body := plainChat
		if i%2 == 0 {
			body = streamChat
		}
		body = strings.Replace(body, `"m"`, `"`+model(i)+`"`, 1)
		sent := time.Now()
		r, err := w.do(chat, body, fmt.Sprintf("X-Request-Id: r%d", i), "X-Warmlane-Explain: 1")
		took := time.Since(sent)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil || !r.served(i%2 == 0):
			if failed++; failed < 5 {
				t.Logf("request %d: %v %v, %d %.300s", i, err, r.cut, r.status, r.body)
			}
		case r.tries() > 1:
			rough = append(rough, took)
		default:
			smooth = append(smooth, took)
		}
	})
	none(t, "failures seen by clients, "+name, failed, n)
	t.Logf("FIGURE %s: %d requests met it; p50 %v against %v, p99 %v against %v", name, len(rough),
		rough.at(0.5), smooth.at(0.5), rough.at(0.99), smooth.at(0.99))
	return len(rough)
}

// tries is how many endpoints the gateway says that it asked.
func (r reply) tries() int {
	var d struct{ Tries int }
	_ = json.Unmarshal([]byte(r.header.Get("X-Warmlane-Decision")), &d)
	return d.Tries
}

// mortal decides which requests an engine dies on: each third or so, and that one as often as it is sent, so that no fresh connection saves
// it.
type mortal struct {
	mu     sync.Mutex // guards the rest
	doomed map[string]bool
	seen   int
	each   int // 0: 3
}

func (m *mortal) dies(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.doomed[id] {
		return true
	}
	m.seen++
	each := m.each
	if each == 0 {
		each = 3
	}
	if m.seen%each == 0 {
		m.doomed[id] = true
	}
	return m.doomed[id]
}

// The same for engines whose ports refuse. An endpoint that refused is out until a dial is taken, so few requests of one pool meet
// it: here are many pools, in each of which two endpoints of three are dead. Where a probe comes before the first request, none does.
func TestPromise_UpstreamRefuses(t *testing.T) {
	pools := count(20, 200)
	well := startEngine(t, func(c *call) bool { return c.serve() })
	dead := deadPort(t)
	var yaml strings.Builder
	yaml.WriteString("server: {lame_duck: 0s, drain: 2s}\nobserve: {explain: true, log: {level: error}}\npools:\n")
	for i := range pools {
		fmt.Fprintf(&yaml, "  - {name: m%d, engine: generic, endpoints: [%q, %q, %q], policy: round_robin, health: {interval: 1h}}\n",
			i, dead+"/a", dead+"/b", well.url)
	}
	g := open(t, yaml.String())
	load(t, "refused", pools*50/count(5, 1), g.address, func(i int) string { return fmt.Sprintf("m%d", i%pools) })
}

// A whole host goes, and with it all replicas but one: the first requests find the one that is left.
func TestPromise_UpstreamRefusesAllButOne(t *testing.T) {
	for _, dead := range []int{1, 3, 4, 5, 8, 15} {
		t.Run(fmt.Sprint(dead), func(t *testing.T) {
			var urls []string
			for range dead {
				urls = append(urls, deadPort(t))
			}
			g := open(t, pool, append(urls, startEngine(t, func(c *call) bool { return c.serve() }).url)...)
			failed := 0
			for i := range 5 {
				if r, err := once(g.address, chat, plainChat); err != nil || !r.served(false) {
					failed++
					t.Logf("request %d: %v, %d %s", i, err, r.status, r.body)
				}
			}
			none(t, fmt.Sprintf("failures seen by clients, %d of %d refuse", dead, dead+1), failed, 5)
		})
	}
}

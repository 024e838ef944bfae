package promises_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// busy is a pool with admission as recommended for people who wait, its times divided by the engines' time scale.
const busy = `
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
consumers: [{name: usual, keys: [usual]}, {name: urgent, keys: [urgent], priority: -10}]
pools:
  - {name: m, engine: vllm, endpoints: ENGINES, metrics: {interval: 250ms}, queue: {wait: 500ms, late: 75ms, shed: 125ms}}
`

const (
	overScale  = 4 // of the engines' time
	overTokens = 24
	overSlots  = 8
	goodFirst  = 3 * time.Second / overScale // a good answer's longest first token
)

// offered is what became of a load.
type offered struct {
	mu                             sync.Mutex // guards the rest
	sent, good, failed, refused    int
	urgent, urgentGood             int
	first, urgentFirst, refusals   times // first tokens of complete answers; how long the refused waited
	atOnce                         times // of those refused by a full queue
	heapBefore, heapAfter, highest uint64
}

// Promise: with twice the requests that the engines can serve, as many answers are good as at the peak (>= 90 %), memory stays flat, and
// the urgent requests are served as if nothing were. Open loop, each client on a connection of its own; a tenth is urgent.
func TestPromise_Overload(t *testing.T) {
	var urls []string
	for i := range 2 {
		s, err := engine.Start(engine.Config{Model: "m", Replica: i, TimeScale: overScale, MaxSeqs: overSlots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		urls = append(urls, s.URL())
	}
	g := open(t, busy, urls...)
	length := time.Duration(count(3, 20)) * time.Second
	// A replica of 8 slots writes an answer of 24 tokens in about 1 s of its time.
	const capacity = 2 * overSlots * overScale / 1.05
	offer(g.address, capacity/2, 3*time.Second) // speeds and slots are learned
	var peak *offered
	for _, load := range []float64{1, 0.8, 1.2}[:count(1, 3)] {
		o := offer(g.address, load*capacity, length)
		t.Logf("at %.1fx: %s", load, o)
		if peak == nil || o.good > peak.good {
			peak = o
		}
	}
	calm := offer(g.address, capacity/2, length)
	t.Logf("at 0.5x: %s", calm)
	offer(g.address, 2*capacity, 2*time.Second) // the queue stands
	over := offer(g.address, 2*capacity, length)
	t.Logf("at 2.0x: %s", over)
	share := float64(over.good) / float64(peak.good)
	t.Logf("FIGURE good answers at twice the capacity: %.0f %% of the peak (promised 90 %%)", 100*share)
	if share < 0.9/float64(count(2, 1)) {
		t.Errorf("only %.0f %% of the peak's answers are good", 100*share)
	}
	urgent := float64(over.urgentGood) / float64(over.urgent)
	t.Logf("FIGURE urgent requests answered well at twice the capacity: %.1f %% of %d (at half of it %.1f %%), first token p99 %v (%v)",
		100*urgent, over.urgent, 100*float64(calm.urgentGood)/float64(calm.urgent), over.urgentFirst.at(0.99), calm.urgentFirst.at(0.99))
	if urgent < 0.95-0.25*float64(count(1, 0)) {
		t.Errorf("only %.1f %% of the urgent requests were answered well", 100*urgent)
	}
	none(t, "requests that failed but by a refusal with Retry-After", over.failed, over.sent)
	t.Logf("FIGURE heap at twice the capacity: %d KiB before, %d KiB after, at most %d KiB while it lasted", over.heapBefore>>10, over.heapAfter>>10, over.highest>>10)
	if grown := int64(over.heapAfter) - int64(over.heapBefore); grown > 16<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	hold(t, "longest wait of a refused request, p99 (shed, and a look at the queue)", over.refusals.at(0.99), 500*time.Millisecond)
	t.Logf("FIGURE refused on arrival: %d of %d refused, %v", len(over.atOnce), over.refused, over.atOnce)
}

// offer sends so many requests a second for a while, and waits for the last of them.
func offer(address string, rate float64, during time.Duration) *offered {
	o := &offered{heapBefore: heap()}
	rng := rand.New(rand.NewPCG(1, uint64(rate)))
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	var all sync.WaitGroup
	next := time.Now()
	for i, end := 0, next.Add(during); next.Before(end); i++ {
		<-time.After(time.Until(next))
		urgent := rng.Float64() < 0.1
		words := 60 + rng.IntN(120)
		all.Go(func() { o.ask(client, address, i, words, urgent) })
		if i%50 == 0 {
			o.highest = max(o.highest, heap())
		}
		next = next.Add(time.Duration(rng.ExpFloat64() / rate * float64(time.Second)))
	}
	all.Wait()
	o.heapAfter = heap()
	return o
}

// heap is what is alive on it.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (o *offered) ask(client *http.Client, address string, i, words int, urgent bool) {
	body := fmt.Sprintf(`{"model":"m","stream":true,"max_tokens":%d,"ignore_eos":true,"messages":[{"role":"user","content":"%d %s"}]}`,
		overTokens, i, strings.Repeat("word ", words))
	req, err := http.NewRequest(http.MethodPost, "http://"+address+chat, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	key := "usual"
	if urgent {
		key = "urgent"
	}
	req.Header.Set("Authorization", "Bearer "+key)
	sent := time.Now()
	first, status, ended := time.Duration(0), 0, false
	resp, err := client.Do(req)
	text := ""
	if err == nil {
		defer resp.Body.Close()
		status = resp.StatusCode
		br := bufio.NewReader(resp.Body)
		for status == 200 && first == 0 {
			line, err := br.ReadString('\n')
			if err != nil {
				break
			}
			if strings.Contains(line, `"delta":{"content":`) {
				first = time.Since(sent)
			}
		}
		rest, err := io.ReadAll(br)
		text = string(rest)
		ended = err == nil && strings.Contains(text, "[DONE]")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
	if urgent {
		o.urgent++
	}
	switch {
	case status == 200 && ended:
		good := first <= goodFirst
		if urgent {
			o.urgentFirst = append(o.urgentFirst, first)
		} else {
			o.first = append(o.first, first)
		}
		if good {
			o.good++
		}
		if good && urgent {
			o.urgentGood++
		}
	case status == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
		o.refused++
		o.refusals = append(o.refusals, time.Since(sent))
		if strings.Contains(text, "queue_full") {
			o.atOnce = append(o.atOnce, time.Since(sent))
		}
	default:
		o.failed++
	}
}

func (o *offered) String() string {
	return fmt.Sprintf("%d sent, %d good, %d refused, %d failed, first token %v", o.sent, o.good, o.refused, o.failed, o.first)
}

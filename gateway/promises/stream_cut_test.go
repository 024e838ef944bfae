package promises_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// framing is a way to send a body, and what a cut does to it.
type framing struct {
	name string
	head string // after the content type
	wrap func(event string) string
	tail string
}

// framings are the three of HTTP/1.1. A close-delimited stream that is cut ends cleanly by its framing: only its events tell.
func framings(length int) []framing {
	same := func(e string) string { return e }
	return []framing{
		{"chunked", "Transfer-Encoding: chunked\r\n", chunk, lastChunk},
		{"close-delimited", "Connection: close\r\n", same, ""},
		{"content-length", fmt.Sprintf("Content-Length: %d\r\n", length), same, ""},
	}
}

// family is one API with a stream that was recorded from a real vLLM.
type family struct {
	file, path, body string
	ends             []string // of which each must have come for the stream to be complete
	failed           string   // how the last event begins that tells of a cut
}

func families() []family {
	const messages = `"messages":[{"role":"user","content":"hello"}]}`
	const openAI = `data: {"error":{"message":`
	return []family{
		{"vllm-chat-usage", chat, `{"model":"m","stream":true,"stream_options":{"include_usage":true},` + messages, []string{`"finish_reason":"length"`}, openAI},
		{"vllm-chat", chat, `{"model":"m","stream":true,` + messages, []string{`"finish_reason":"length"`}, openAI},
		{"vllm-chat-n2", chat, `{"model":"m","stream":true,"n":2,` + messages, []string{`{"index":0`, `{"index":1`}, openAI},
		{"vllm-completions-usage", "/v1/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"prompt":"hello"}`, []string{`"finish_reason":"length"`}, openAI},
		{"vllm-messages", "/v1/messages", `{"model":"m","stream":true,"max_tokens":5,` + messages, []string{`event: message_stop`}, "event: error\ndata: {\"type\":\"error\""},
		{"vllm-responses", "/v1/responses", `{"model":"m","stream":true,"input":"hello"}`, []string{`event: response.completed`, `event: response.incomplete`}, "event: response.failed\n"},
	}
}

// complete says whether these bytes are a complete answer of the family, read event by event and not by the gateway's code.
func (f family) complete(content string) bool {
	events := strings.SplitAfter(content, "\n\n")
	if n := len(events); n > 0 && !strings.HasSuffix(events[n-1], "\n\n") {
		events = events[:n-1]
	}
	ended := map[string]bool{}
	for _, e := range events {
		for _, end := range f.ends {
			if strings.Contains(e, end) && (f.file != "vllm-chat-n2" || strings.Contains(e, `"finish_reason":"`)) {
				ended[end] = true
			}
		}
	}
	return len(ended) == len(f.ends) || f.file == "vllm-responses" && len(ended) > 0
}

// Promise: a stream that is cut upstream never looks complete. The engine breaks recorded streams off at every byte, in every framing,
// with a FIN (an RST takes away what is still on the way; it is tried on each tenth). The client must see an error event without
// choices and then an unclean end of its body, or a plain error status if nothing had begun.
func TestPromise_StreamCut(t *testing.T) {
	var sum tally
	for i, f := range families() {
		recorded, err := os.ReadFile("../api/testdata/" + f.file + ".sse")
		if err != nil {
			t.Fatal(err)
		}
		content := string(recorded)
		if !f.complete(content) {
			t.Fatalf("%s is not complete by the test's own rule", f.file)
		}
		for _, fr := range framings(len(content)) {
			wire := ""
			for _, e := range strings.SplitAfter(content, "\n\n") {
				if e != "" {
					wire += fr.wrap(e)
				}
			}
			wire += fr.tail
			// A normal run takes some of the bytes.
			step := count(41, 1)
			if i == 0 {
				step = count(5, 1)
			}
			t.Run(f.file+" "+fr.name, func(t *testing.T) { sum.add(cutEverywhere(t, f, fr, content, wire, step)) })
		}
	}
	t.Logf("%d cuts, of them %d before the first event", sum.cuts, sum.early)
	none(t, "cut streams that looked complete", sum.looked, sum.cuts)
	none(t, "cut streams without an error", sum.quiet, sum.cuts)
}

// tally counts cuts: all, those before the first event, those that looked complete, those without an error at the end.
type tally struct{ cuts, early, looked, quiet int }

func (s *tally) add(more tally) {
	s.cuts += more.cuts
	s.early += more.early
	s.looked += more.looked
	s.quiet += more.quiet
}

func cutEverywhere(t *testing.T, f family, fr framing, content, wire string, step int) tally {
	e := startEngine(t, func(c *call) bool {
		cut, _ := strconv.Atoi(strings.TrimPrefix(c.id, "cut"))
		c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" + fr.head + "\r\n" + wire[:cut])
		if cut%10 == 9 {
			c.reset()
		}
		return false
	})
	// Failures must not eject the only endpoint.
	g := open(t, strings.Replace(pool, "interval: 1h", "interval: 1h, eject_after: 1000000", 1), e.url)
	var mu sync.Mutex
	sum := tally{cuts: (len(wire) - 1) / step}
	crowd(sum.cuts, 8, g.address, func(i int, _ *worker) {
		cut := (i + 1) * step
		r, err := once(g.address, f.path, f.body, fmt.Sprintf("X-Request-Id: cut%d", cut))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			t.Errorf("cut at %d: no answer: %v", cut, err)
		case r.status != 200:
			sum.early++
			if !strings.Contains(r.body, `"error"`) {
				sum.quiet++
				t.Errorf("cut at %d: status %d without an error: %s", cut, r.status, r.body)
			}
		case r.cut == nil:
			if !f.complete(r.body) {
				sum.looked++
				t.Errorf("cut at %d: looks complete: %q", cut, tailOf(r.body))
			}
		default:
			if got := f.relayed(r.body); !strings.HasPrefix(content, got) {
				t.Errorf("cut at %d: bytes are not the engine's: %q", cut, tailOf(got))
			}
			if last := lastEvent(r.body); !strings.HasPrefix(last, f.failed) || strings.Contains(last, `"choices"`) {
				sum.quiet++
				t.Errorf("cut at %d: no error event at the end: %q", cut, tailOf(r.body))
			}
		}
	})
	return sum
}

// relayed is what of a broken answer came from the engine.
func (f family) relayed(body string) string {
	i := strings.LastIndex(body, f.failed)
	if i < 0 {
		return body
	}
	return strings.TrimSuffix(body[:i], "\n\n")
}

// lastEvent is the last event of a stream without its end. Blank lines before an event are none of it.
func lastEvent(body string) string {
	events := strings.Split(strings.TrimRight(body, "\n"), "\n\n")
	return strings.TrimLeft(events[len(events)-1], "\n")
}

func tailOf(s string) string { return s[max(0, len(s)-300):] }

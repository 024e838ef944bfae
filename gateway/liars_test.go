package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	ok200   = "HTTP/1.1 200 OK\r\n"
	asJSON  = "Content-Type: application/json\r\n"
	asSSE   = "Content-Type: text/event-stream\r\n"
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
)

// liar is an engine that answers with raw bytes: once, then again and again what repeats, until the gateway has closed the connection.
// sent counts the bytes that it could send.
func liar(t *testing.T, once, repeats string) (url string, sent *atomic.Int64) {
	t.Helper()
	sent = new(atomic.Int64)
	block := strings.Repeat(repeats, 1+(64<<10)/max(1, len(repeats)))
	return engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		for text := once; err == nil; text = block {
			var n int
			n, err = io.WriteString(c, text)
			sent.Add(int64(n))
			if repeats == "" {
				return
			}
		}
	}).URL, sent
}

// twoTries is a pool that gives an engine a second for anything.
const twoTries = `
server: {lame_duck: 0s, drain: 2s}
pools: [{name: m, endpoints: ENGINES, policy: round_robin, probe_idle: false, timeouts: {first_event: 1s, between_events: 1s}}]
`

// What an engine says before its answer makes sense is bounded in bytes and time and reaches nobody: another engine answers.
func TestLiar_BeforeTheFirstEvent(t *testing.T) {
	big := strings.Repeat("x", 1000)
	for name, c := range map[string]struct{ body, once, repeats string }{
		"no events in a stream":         {streamChat, ok200 + asSSE + "\r\nhello world", ""},
		"empty stream":                  {streamChat, ok200 + asSSE + "Content-Length: 0\r\n\r\n", ""},
		"endless first event":           {streamChat, ok200 + asSSE + "\r\ndata: {\"choices\":\"", big},
		"endless comments":              {streamChat, ok200 + asSSE + "\r\n", ": ping\n\n"},
		"endless comment":               {streamChat, ok200 + asSSE + "\r\n: ", big},
		"endless empty lines":           {streamChat, ok200 + asSSE + "\r\n", "\n"},
		"endless event without data":    {streamChat, ok200 + asSSE + "\r\n", "event: x\n\n"},
		"endless chunk, first event":    {streamChat, ok200 + asSSE + chunked + "ffffffff\r\ndata: ", big},
		"endless head":                  {plainChat, ok200, "X-Y: z\r\n"},
		"endless header":                {plainChat, ok200 + "X: ", big},
		"endless status line":           {plainChat, "HTTP/1.1 200 ", big},
		"endless interim answers":       {plainChat, "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"},
		"other protocol":                {plainChat, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello", ""},
		"length too long":               {plainChat, ok200 + asJSON + "Content-Length: 1000\r\n\r\n" + answer, ""},
		"length negative":               {plainChat, ok200 + asJSON + "Content-Length: -5\r\n\r\n" + answer, ""},
		"length no number":              {plainChat, ok200 + asJSON + "Content-Length: ten\r\n\r\n" + answer, ""},
		"two lengths":                   {plainChat, ok200 + asJSON + "Content-Length: 5\r\nContent-Length: 200\r\n\r\n" + answer, ""},
		"chunk size no number":          {plainChat, ok200 + asJSON + chunked + "zz\r\n" + answer + "\r\n0\r\n\r\n", ""},
		"chunk size beyond all":         {plainChat, ok200 + asJSON + chunked + "ffffffffffffffff\r\n" + answer + "\r\n0\r\n\r\n", ""},
		"chunk extension without end":   {plainChat, ok200 + asJSON + chunked + "5;", big},
		"trailers without end":          {plainChat, ok200 + asJSON + chunked + "c8\r\n" + answer + "\r\n0\r\n", "X: y\r\n"},
		"bare CR in a header":           {plainChat, ok200 + asJSON + "X: a\rSet-Cookie: evil=1\r\nContent-Length: 200\r\n\r\n" + answer, ""},
		"NUL in a header":               {plainChat, ok200 + asJSON + "X: a\x00b\r\nContent-Length: 200\r\n\r\n" + answer, ""},
		"HTTP/0.9":                      {plainChat, answer, ""},
		"status of two digits":          {plainChat, "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", ""},
		"nothing":                       {plainChat, ok200 + asJSON + "Content-Length: 0\r\n\r\n", ""},
		"nothing, of no type":           {plainChat, ok200 + "Content-Length: 0\r\n\r\n", ""},
		"half of an answer":             {plainChat, ok200 + asJSON + "Content-Length: 60\r\n\r\n" + answer[:60], ""},
		"no JSON":                       {plainChat, ok200 + asJSON + "Content-Length: 6\r\n\r\nhello!", ""},
		"a list":                        {plainChat, ok200 + asJSON + "Content-Length: 2\r\n\r\n[]", ""},
		"error body of a status of 200": {plainChat, ok200 + asJSON + "Content-Length: 66\r\n\r\n" + `{"object":"error","message":"The engine failed.","code":500,"x":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, sent := liar(t, c.once, c.repeats)
			r := newRig(t, twoTries, bad, engine(t, good).URL)
			for range 2 { // whichever engine is first
				before := time.Now()
				a := r.post(chat, c.body)
				if a.status != 200 || a.err != nil || a.body != answer && !strings.HasSuffix(a.body, done) || a.header.Get("Set-Cookie") != "" {
					t.Errorf("answered %d %.200s, %v", a.status, a.body, a.err)
				}
				if took := time.Since(before); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
			}
			switch n := sent.Load(); {
			case n == 0:
				t.Error("the lying engine was never asked")
			case n > 64<<20:
				t.Errorf("the gateway took %d bytes", n)
			}
		})
	}
}

// What an engine says in the middle of an answer either passes or ends it, in words and uncleanly.
func TestLiar_AfterTheFirstEvent(t *testing.T) {
	begun := ok200 + asSSE + chunked + fmt.Sprintf("%x\r\n%s\r\n", len(delta), delta)
	for name, once := range map[string]string{
		"chunk size no number":    begun + "zz\r\n" + finish,
		"chunk too long":          begun + fmt.Sprintf("%x\r\n%s", len(finish)-3, finish),
		"chunk too short":         begun + fmt.Sprintf("%x\r\n%s", len(finish)+50, finish[:20]),
		"another answer":          begun + ok200 + asJSON + "\r\n" + answer,
		"last chunk too early":    begun + "0\r\n\r\n",
		"length too short":        ok200 + asSSE + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(delta)+10) + delta + finish + done,
		"length too long":         ok200 + asSSE + "Content-Length: 9999\r\n\r\n" + delta + delta,
		"error in place of a sum": begun + fmt.Sprintf("%x\r\n%s\r\n", 33, `data: {"error":{"message":"no"}}`+"\n") + "1\r\n\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, _ := liar(t, once, "")
			r := newRig(t, twoTries, bad)
			a := r.post(chat, streamChat)
			if a.status != 200 || a.err == nil || !strings.HasPrefix(a.body, delta) || !strings.Contains(a.body, `data: {"error":`) {
				t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
			}
		})
	}
}

// An event that never ends passes as it comes and is not kept; the client may leave, and then the engine is left too.
func TestLiar_EndlessEventIsNotKept(t *testing.T) {
	for name, once := range map[string]string{
		"by its lines":  ok200 + asSSE + "\r\n" + delta + "data: ",
		"by its length": ok200 + asSSE + chunked + fmt.Sprintf("%x\r\n%s\r\nffffffff\r\ndata: ", len(delta), delta),
		"no stream":     ok200 + asJSON + chunked + "ffffffff\r\n{\"x\":\"",
	} {
		t.Run(name, func(t *testing.T) {
			bad, sent := liar(t, once, strings.Repeat("x", 1000))
			r := newRig(t, strings.ReplaceAll(twoTries, ": 1s", ": 1m"), bad)
			conn := r.dial()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(streamChat), streamChat)
			a, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			const taken = 64 << 20
			before := heap()
			if n, err := io.CopyN(io.Discard, a.Body, taken); err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			if grown := heap() - before; grown > 48<<20 {
				t.Errorf("%d bytes of %d are kept", grown, taken)
			}
			_ = conn.Close()
			if l := r.lastLine(); l["failure"] != "client_gone" {
				t.Errorf("access line %v", l)
			}
			if n := sent.Load(); n > 4*taken {
				t.Errorf("the engine could send %d bytes", n)
			}
		})
	}
}

// Bytes behind an answer are never taken for the next one.
func TestLiar_NextAnswerIsItsOwn(t *testing.T) {
	const evil = `{"id":"evil","object":"chat.completion","choices":[]}`
	behind := ok200 + asJSON + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(evil), evil)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(answer))
	for name, head := range map[string]string{
		"length too short":  ok200 + asJSON + length + "\r\n" + answer,
		"length and chunks": ok200 + asJSON + length + chunked + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(answer), answer),
		"chunks and length": ok200 + asJSON + "Transfer-Encoding: chunked\r\n" + length + "\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(answer), answer),
		"two answers":       ok200 + asJSON + chunked + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(answer), answer),
		"body of a 204":     "HTTP/1.1 204 No Content\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			defer close(hold)
			bad := engine(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = io.WriteString(c, head+behind)
				<-hold // it stays open, as one that can be used again
			})
			r := newRig(t, twoTries, bad.URL)
			for range 5 {
				if a := r.post(chat, plainChat); strings.Contains(a.body, "evil") {
					t.Fatalf("answered %d %s", a.status, a.body)
				}
			}
		})
	}
}

// An engine that counts no tokens is served like any other.
func TestLiar_NoUsage(t *testing.T) {
	r := newRig(t, onePool, engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"stream":true`) {
			events(w, delta, finish, done)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi!"},"finish_reason":"stop"}]}`)
	}).URL)
	for _, body := range []string{plainChat, streamChat} {
		if a := r.post(chat, body); a.status != 200 || a.err != nil {
			t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
		}
	}
}

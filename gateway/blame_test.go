package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// states are the endpoints' states by URL, with the failures counted there.
func (r *rig) states() map[string]string {
	r.t.Helper()
	admin := *r
	admin.URL = r.Admin
	var got struct {
		Endpoints []struct {
			URL, State, Reason string
			Endings            map[string]int
		}
	}
	a := admin.do("GET", "/admin/v1/endpoints", "")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		r.t.Fatal(err, a.body)
	}
	all := map[string]string{}
	for _, e := range got.Endpoints {
		all[e.URL] = fmt.Sprint(e.State, " ", e.Reason, " ", e.Endings)
	}
	return all
}

// Engines quote the caller's words in their 400s (pydantic: input_value=...). Such words must not take engines out of service.
func TestBlame_CallersWordsInA400EjectNobody(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text, _ := json.Marshal("1 validation error: input_value=" + string(body))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"error":{"message":%s,"type":"BadRequestError","param":null,"code":400}}`, text)
	}
	for _, words := range []string{"EngineDeadError", "the server busy"} {
		t.Run(words, func(t *testing.T) {
			u1, n1 := counting(t, echo)
			u2, n2 := counting(t, echo)
			r := newRig(t, onePool, u1, u2)
			a := r.post(chat, `{"model":"m","messages":[{"role":"user","content":"what is `+words+`?"}],"temperature":"x"}`)
			if a.status != 400 {
				t.Errorf("answered %d %s", a.status, a.body)
			}
			if n := n1.Load() + n2.Load(); n != 1 {
				t.Errorf("%d tries, want 1", n)
			}
			for url, s := range r.states() {
				if !strings.HasPrefix(s, "serving") {
					t.Errorf("%s is %s", url, s)
				}
			}
		})
	}
}

// crashing is an engine that dies of a prompt with the word poison: its connections break and its port refuses.
func crashing(t *testing.T, died *atomic.Int64) string {
	var s *httptest.Server
	s = engine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "poison") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
			return
		}
		died.Add(1)
		_ = s.Listener.Close()
		panic(http.ErrAbortHandler)
	})
	return s.URL
}

// A request that kills its engine is tried once more and not again: it must not kill the pool.
func TestBlame_KillerPromptKillsTwoEnginesAtMost(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprintf("pooled connections %v", warm), func(t *testing.T) {
			var died atomic.Int64
			var urls []string
			for range 5 {
				urls = append(urls, crashing(t, &died))
			}
			r := newRig(t, onePool, urls...)
			if warm {
				for range 5 {
					if a := r.post(chat, plainChat); a.status != 200 {
						t.Fatal(a)
					}
				}
			}
			a := r.post(chat, strings.Replace(plainChat, "hello", "poison", 1))
			if n := died.Load(); n > 2 {
				t.Errorf("%d engines died of one request (answered %d %s), tried %v", n, a.status, a.body, r.lastLine()["tries"])
			}
		})
	}
}

// An engine that keeps its connections open though its port refuses is found dead after some seconds. A request that waits there
// for its first event has lost nothing: it goes elsewhere.
func TestBlame_DeadEngineBeforeTheFirstEventIsRetried(t *testing.T) {
	l := listen(t)
	begun, hold := make(chan struct{}, 10), make(chan struct{})
	t.Cleanup(func() { close(hold) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil || req.Method == "GET" {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					return
				}
				begun <- struct{}{}
				<-hold
			}()
		}
	}()
	well, _ := counting(t, good)
	r := newRig(t, onePool, "http://"+l.Addr().String(), well)
	answers := make(chan reply, 2)
	for range 2 { // one of them goes to each
		go func() { answers <- r.post(chat, streamChat) }()
	}
	<-begun
	_ = l.Close()
	for range 6 { // some of these are refused there, and answered by the other
		if a := r.post(chat, streamChat); a.status != 200 {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
	for range 2 {
		if a := <-answers; a.status != 200 {
			t.Errorf("answered %d %s, want the other engine's answer", a.status, a.body)
		}
	}
}

// Refused connections cost nothing and are not bounded by a number of tries while an endpoint is left.
func TestBlame_ManyDeadEnginesAndOneWell(t *testing.T) {
	var urls []string
	for range 6 {
		dead := engine(t, good)
		dead.Close()
		urls = append(urls, dead.URL)
	}
	well, _ := counting(t, good)
	r := newRig(t, onePool, append(urls, well)...)
	if a := r.post(chat, plainChat); a.status != 200 {
		t.Errorf("answered %d %s (tries %v)", a.status, a.body, r.lastLine()["tries"])
	}
}

// An engine that takes the connection but reads nothing must be given up within first_event, however large the body is.
func TestBlame_EngineThatDoesNotReadIsGivenUpInTime(t *testing.T) {
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	var held sync.Map
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held.Store(c, true)
		}
	}()
	t.Cleanup(func() { held.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true }) })
	well, _ := counting(t, good)
	r := newRig(t, strings.Replace(onePool, "policy: round_robin", "policy: round_robin, health: {interval: 1h}, timeouts: {first_event: 1s}", 1),
		"http://"+l.Addr().String(), well)
	body := strings.Replace(streamChat, "hello", strings.Repeat("hello ", 2<<20), 1)
	for range 2 {
		start := time.Now()
		done := make(chan reply, 1)
		go func() { done <- r.post(chat, body) }()
		select {
		case a := <-done:
			if a.status != 200 {
				t.Errorf("answered %d %s", a.status, a.body)
			}
			t.Logf("answered after %v", time.Since(start))
		case <-time.After(8 * time.Second):
			t.Fatal("no answer 8 s after a first_event of 1 s")
		}
	}
}

// What an engine answers before it has read the whole body (413 of a proxy in front of it) reaches the caller, and is not held
// against the engine.
func TestBlame_EarlyAnswerToALargeBody(t *testing.T) {
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	const early = `{"error":{"message":"too large for me","type":"invalid_request_error","code":413}}`
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				br := bufio.NewReader(c)
				req, err := http.ReadRequest(br)
				if err == nil && req.Method == "POST" {
					fmt.Fprintf(c, "HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(early), early)
				} else {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				}
				// As nginx does: shut the sending side, then wait a little.
				_ = c.(*net.TCPConn).CloseWrite()
				linger(300 * time.Millisecond)
				_ = c.Close()
			}()
		}
	}()
	r := newRig(t, onePool, "http://"+l.Addr().String())
	a := r.post(chat, strings.Replace(plainChat, "hello", strings.Repeat("hello ", 4<<20), 1))
	if a.status != 413 {
		t.Errorf("answered %d %s (%v)", a.status, a.body, r.lastLine()["cause"])
	}
	t.Log(r.states())
}

// A reader that pauses is not an engine that stalls.
func TestBlame_SlowReaderIsNotHeldAgainstTheEngine(t *testing.T) {
	big := strings.Replace(delta, "hi", strings.Repeat("hi", 4<<10), 1)
	u, _ := counting(t, func(w http.ResponseWriter, _ *http.Request) {
		events(w, delta)
		for range 4000 { // 32 MB: more than the sockets hold
			if _, err := io.WriteString(w, big); err != nil {
				return
			}
		}
		events(w, finish, done)
	})
	r := newRig(t, strings.Replace(onePool, "policy: round_robin", "policy: round_robin, timeouts: {between_events: 2s}", 1), u)
	c := r.dial()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(streamChat), streamChat)
	br := bufio.NewReader(c)
	a, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	linger(4 * time.Second) // within clientPatience
	n, err := io.Copy(io.Discard, a.Body)
	if err != nil {
		t.Errorf("the answer was cut after %d bytes: %v; access line %v; %v", n, err, r.lastLine(), r.states())
	}
}

// between_events bounds one silence, not a stream.
func TestBlame_ShortBetweenEventsIsASilenceNotATotal(t *testing.T) {
	u, _ := counting(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 8 {
			events(w, delta)
			linger(250 * time.Millisecond)
		}
		events(w, finish, done)
	})
	r := newRig(t, strings.Replace(onePool, "policy: round_robin", "policy: round_robin, timeouts: {between_events: 1s}", 1), u)
	if a := r.post(chat, streamChat); a.err != nil {
		t.Errorf("an event each 250 ms was cut with between_events 1s: %v, %s", a.err, a.body[max(0, len(a.body)-200):])
	}
}

// health.timeout is the file's, not the balancer's.
func TestBlame_HealthTimeoutOfTheFileHolds(t *testing.T) {
	cut := make(chan time.Duration, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			return
		}
		begun := time.Now()
		select {
		case <-r.Context().Done():
			cut <- time.Since(begun)
		case <-time.After(2500 * time.Millisecond):
			cut <- 0
		}
	}))
	t.Cleanup(s.Close)
	newRig(t, strings.Replace(onePool, "policy: round_robin", "policy: round_robin, health: {interval: 100ms, timeout: 5s}", 1), s.URL)
	if d := <-cut; d > 0 {
		t.Errorf("a health probe with a timeout of 5 s was given up after %v", d)
	}
}

// A single capacity refusal without a time tells the caller when to come back all the same.
func TestBlame_CapacityRefusalCarriesRetryAfter(t *testing.T) {
	u, _ := counting(t, status(503, `{"error":{"message":"queue is full","code":503}}`))
	r := newRig(t, onePool, u)
	if a := r.post(chat, plainChat); a.header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %d %v %s", a.status, a.header, a.body)
	}
}

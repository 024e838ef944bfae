package promises_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// restarts is the configuration as it would be in production, with health probes and scraping.
const restarts = `
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
pools: [{name: m, endpoints: ENGINES, health: {interval: INTERVAL}}]
`

const streamEnd = 10 * time.Second // the promise for streams that had begun

// Promise: while the engines restart one after the other under load, no request fails that had not begun, and each stream that had
// begun ends explicitly, with an error event, within 10 s. Here engines are killed, and all their connections reset.
func TestPromise_RollingRestart(t *testing.T) {
	u := roll(t, engine.FaultDie, "5s", 3, count(1, 10_000))
	none(t, "requests failed that had not begun", u.failed, int(u.sent.Load()))
}

// roll restarts some of three engines in turn, and again until there were enough requests.
func roll(t *testing.T, kind engine.FaultKind, interval string, replicas, requests int) *users {
	t.Helper()
	var fleet []*engine.Server
	var urls []string
	for i := range 3 {
		s, err := engine.Start(engine.Config{Model: "m", Replica: i, TimeScale: 10, OutputMean: 50})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		fleet, urls = append(fleet, s), append(urls, s.URL())
	}
	g := open(t, strings.Replace(restarts, "INTERVAL", interval, 1), urls...)
	u := &users{address: g.address, open: map[int64]time.Time{}}
	u.start(count(24, 48))
	defer u.stop()
	const rounds = 10 // at most, until one breaks a stream off: on a busy machine a short one may find none that has begun
	for round := 0; round == 0 || u.sent.Load() < int64(requests) || u.brokenOff() == 0 && round < rounds; round++ {
		for _, s := range fleet[:replicas] {
			u.more(t, 40)
			if err := s.Apply(engine.Fault{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			if kind == engine.FaultVanish {
				u.outlive(t, time.Now())
			} else {
				u.more(t, 20)
			}
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
			u.outlive(t, time.Now()) // no request meets two restarts
		}
	}
	u.stop()
	for _, what := range u.said {
		t.Log(what)
	}
	none(t, "streams that had begun and ended without a word", u.wordless, int(u.sent.Load()))
	t.Logf("FIGURE silence of the %d streams that had begun and were broken off: p50 %v, longest %v (promised %v)", u.broken,
		u.silences.at(0.5).Round(time.Millisecond), u.silences.at(1).Round(time.Millisecond), streamEnd)
	if u.silences.at(1) > streamEnd {
		t.Errorf("a stream was silent for %v before it ended, more than %v", u.silences.at(1), streamEnd)
	}
	if u.broken == 0 {
		t.Error("no stream was broken off: nothing is shown")
	}
	return u
}

// users is a closed loop of clients, most of them streaming.
type users struct {
	address     string
	sent, whole atomic.Int64
	over        atomic.Bool
	all         sync.WaitGroup

	mu       sync.Mutex // guards the rest
	open     map[int64]time.Time
	failed   int // had not begun
	broken   int // had begun
	wordless int // had begun, and ended without an error event or as if complete
	silences times
	said     []string
}

func (u *users) start(n int) {
	for i := range n {
		u.all.Go(func() {
			for !u.over.Load() {
				u.one(i%4 != 0)
			}
		})
	}
}

func (u *users) stop() {
	u.over.Store(true)
	u.all.Wait()
}

// more waits until n further requests were answered whole.
func (u *users) more(t *testing.T, n int64) {
	t.Helper()
	served := u.whole.Load()
	await(t, "requests to be answered", patience, func() bool { return u.whole.Load() >= served+n })
}

func (u *users) brokenOff() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken
}

// outlive waits until every request that was sent before then has ended.
func (u *users) outlive(t *testing.T, then time.Time) {
	t.Helper()
	await(t, "end of what had begun", 3*streamEnd, func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, sent := range u.open {
			if sent.Before(then) {
				return false
			}
		}
		return true
	})
}

// one sends a request and judges how it ended.
func (u *users) one(stream bool) {
	n := u.sent.Add(1)
	body := fmt.Sprintf(`{"model":"m","stream":%v,"max_tokens":100,"messages":[{"role":"user","content":"this is question number %d"}]}`, stream, n)
	sent := time.Now()
	u.mu.Lock()
	u.open[n] = sent
	u.mu.Unlock()
	r, last, err := u.exchange(body)
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, n)
	switch {
	case err != nil || r.status != 200 || !stream && r.cut != nil:
		u.failed++
		u.say("request %d, stream %v, failed after %v: %v %v, %d %.200s", n, stream, time.Since(sent), err, r.cut, r.status, r.body)
	case r.cut == nil && (!stream || strings.HasSuffix(r.body, done) && strings.Contains(r.body, `"finish_reason":"`)):
		u.whole.Add(1)
	case r.cut != nil && r.errorEvent():
		u.broken++
		u.silences = append(u.silences, time.Since(last))
	default:
		u.wordless++
		u.say("request %d: %v, ends %q", n, r.cut, tailOf(r.body))
	}
}

// exchange is one request on a connection of its own; last is when the last but one piece of the answer came, which for a stream
// broken off holds the last event of the engine.
func (u *users) exchange(body string) (r reply, last time.Time, err error) {
	c, err := dial(u.address)
	if err != nil {
		return reply{}, last, err
	}
	defer c.conn.Close()
	if err := c.send(chat, body); err != nil {
		return reply{}, last, err
	}
	pieces := &pieceTimes{client: c}
	c.br.Reset(pieces)
	_ = c.conn.SetDeadline(time.Now().Add(3 * streamEnd))
	r, err = c.receive()
	if pieces.last.IsZero() {
		return r, pieces.newest, err
	}
	return r, pieces.last, err
}

// pieceTimes notes when pieces of an answer come: of the last one and of the one before it.
type pieceTimes struct {
	client       *client
	last, newest time.Time
}

func (p *pieceTimes) Read(b []byte) (int, error) {
	n, err := p.client.conn.Read(b)
	if n > 0 {
		p.last, p.newest = p.newest, time.Now()
	}
	return n, err
}

func (u *users) say(format string, args ...any) {
	if len(u.said) < 10 {
		u.said = append(u.said, fmt.Sprintf(format, args...))
	}
}

package limit_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// journal collects what is logged and the states that are told.
type journal struct {
	mu     sync.Mutex
	lines  bytes.Buffer
	states []bool
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

func (j *journal) state(up bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.states = append(j.states, up)
}

func (j *journal) last() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.states[len(j.states)-1]
}

// away says whether Redis was away at least once.
func (j *journal) away() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Contains(j.states, false)
}

// check checks that Redis was away at least once, and that each change of state was told and logged once. On a busy machine
// there may be more changes than the test made.
func (j *journal) check(t *testing.T) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	away, back := 0, 0
	for i, up := range j.states {
		if i > 0 && up == j.states[i-1] {
			t.Errorf("told one state twice: %v", j.states)
		}
		if !up {
			away++
		} else if i > 0 {
			back++
		}
	}
	text := j.lines.String()
	if away == 0 || strings.Count(text, "does not answer") != away || strings.Count(text, "answers again") != back {
		t.Errorf("told the states %v and logged\n%s", j.states, text)
	}
}

// troubled is a limiter of 10 an hour over a real Redis that a test can hurt.
func troubled(t *testing.T) (*redistest.Server, *journal, *limit.Limiter) {
	server, j := redistest.Start(t), &journal{}
	shared := openRedis(t, limit.RedisConfig{
		URL: server.URL, Probe: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(j, nil)), OnState: j.state,
	})
	eventually(t, "redis is up", shared.Up) // on a busy machine the first call may be late
	l := newLimiter(t, limit.Config{Limits: []config.Limit{{
		Name: "x", By: []config.By{{Kind: config.ByUser}}, Requests: []config.Rate{per(10, time.Hour)},
	}}}, shared)
	return server, j, l
}

// timed sends one request and returns whether it passed and what it cost.
func timed(t *testing.T, l *limit.Limiter, user string) (bool, time.Duration) {
	start := time.Now()
	_, fail := l.Reserve(t.Context(), &limit.Query{Subject: config.Subject{User: user}})
	return fail == nil, time.Since(start)
}

// grantsAll checks that the whole limit is granted, in Redis.
func grantsAll(t *testing.T, l *limit.Limiter) {
	t.Helper()
	user := "x"
	eventually(t, "the whole limit is granted after the return", func() bool {
		user += "x"
		return passes(t, l, limit.Query{Subject: config.Subject{User: user}}, 20) == 10
	})
}

const (
	promised = 30 * time.Millisecond // that a Redis in trouble may cost one request
	// ceiling is what a machine busy with other tests may make of it; without time-outs a request would wait 5 s, and without
	// the breaker a thousand requests 25 s.
	ceiling = 3 * time.Second
)

func TestRedis_HangsThenReturns(t *testing.T) {
	server, j, l := troubled(t)
	if got := passes(t, l, limit.Query{Subject: config.Subject{User: "a"}}, 4); got != 4 {
		t.Fatalf("%d of 4 requests passed", got)
	}
	server.Pause()
	passed, first := timed(t, l, "a")
	if !passed || first > ceiling {
		t.Errorf("the first request after the hang passed: %v, after %s", passed, first)
	}
	total := time.Duration(0)
	for range 1000 {
		_, d := timed(t, l, "b")
		total += d
	}
	t.Logf("redis hangs: the first request waited %s (promised %s), the next thousand %s each", first, promised, total/1000)
	if total > ceiling {
		t.Errorf("a thousand requests waited %s together", total)
	}
	if got := passes(t, l, limit.Query{Subject: config.Subject{User: "c"}}, 10); got != 5 {
		t.Errorf("%d of 10 requests passed while Redis hung, want half of the limit", got)
	}
	server.Continue()
	eventually(t, "redis is asked again", j.last)
	grantsAll(t, l)
	j.check(t)
}

func TestRedis_DiesThenReturns(t *testing.T) {
	server, j, l := troubled(t)
	server.Kill()
	passed, first := timed(t, l, "a")
	_, second := timed(t, l, "a")
	t.Logf("redis is gone: the first request waited %s (promised %s), the second %s", first, promised, second)
	if !passed || first > ceiling || second > ceiling {
		t.Errorf("requests waited %s and %s; the first passed: %v", first, second, passed)
	}
	server.Start()
	eventually(t, "redis is asked again", j.last)
	grantsAll(t, l)
	j.check(t)
}

func TestRedis_ConcurrentRequestsWaitOnce(t *testing.T) {
	server, j, l := troubled(t)
	server.Pause()
	defer server.Continue()
	var mu sync.Mutex
	var slowest time.Duration
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 20 {
				_, d := timed(t, l, "a")
				mu.Lock()
				slowest = max(slowest, d)
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	all.Wait()
	t.Logf("64 callers, 20 requests each: done after %s, slowest request %s (promised %s)", time.Since(start), slowest, promised)
	if slowest > ceiling {
		t.Errorf("a request waited %s", slowest)
	}
	j.check(t)
}

func TestRedis_AwayAtStart(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	j := &journal{}
	start := time.Now()
	shared := openRedis(t, limit.RedisConfig{
		URL: server.URL, Probe: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(j, nil)), OnState: j.state,
	})
	t.Logf("opened in %s", time.Since(start))
	if shared.Up() {
		t.Error("a Redis that is away is up")
	}
	server.Start()
	eventually(t, "redis is asked", shared.Up)
	j.check(t)
}

// TestRedis_RefusesWrites has a Redis that answers but cannot count: it is as good as away.
func TestRedis_RefusesWrites(t *testing.T) {
	server, j, l := troubled(t)
	server.Do("REPLICAOF", "127.0.0.1", "1") // a replica is read-only
	if got := passes(t, l, limit.Query{Subject: config.Subject{User: "a"}}, 20); got != 5 {
		t.Errorf("%d of 20 requests passed, want half of the limit", got)
	}
	server.Do("REPLICAOF", "NO", "ONE")
	eventually(t, "redis is asked again", j.last)
	j.check(t)
}

package limit_test

import (
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/limit"
	"github.com/warmlane/warmlane/gateway/redistest"
)

// TestRedis_DownRefuses has a limit that would rather refuse than count alone.
func TestRedis_DownRefuses(t *testing.T) {
	server, _, _ := troubled(t)
	shared := openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: time.Second, Probe: 20 * time.Millisecond})
	eventually(t, "redis is up", shared.Up)
	l := newLimiter(t, limit.Config{Limits: []config.Limit{
		{Name: "free", Requests: []config.Rate{per(10, time.Hour)}},
		{Name: "spend", Match: config.Match{Models: []string{"dear"}}, Requests: []config.Rate{per(10, time.Hour)}, RedisDown: config.RedisRefuse},
	}}, shared)
	admitted(t, l, limit.Query{Subject: config.Subject{Model: "dear"}})
	server.Kill()
	place, fail := l.Reserve(t.Context(), &limit.Query{Subject: config.Subject{Model: "dear"}})
	if place != nil || fail == nil || fail.Kind != failure.LimitsAway || fail.HTTPStatus() != 503 || fail.RetryAfter != time.Second {
		t.Errorf("a limit that refuses while Redis is gone gave %v", fail)
	}
	if got := passes(t, l, limit.Query{Subject: config.Subject{Model: "cheap"}}, 10); got != 4 {
		t.Errorf("%d requests passed another limit, want half of it less the one that Redis has granted", got)
	}
	server.Start()
	eventually(t, "redis is asked again", shared.Up)
	admitted(t, l, limit.Query{Subject: config.Subject{Model: "dear"}})
}

// TestRedis_EvictsKeys has a Redis that forgets all: limits start anew and nobody fails, not even what is under way.
func TestRedis_EvictsKeys(t *testing.T) {
	server := redistest.Start(t)
	shared := openRedis(t, limit.RedisConfig{URL: server.URL, Timeout: time.Second})
	l := newLimiter(t, limit.Config{Limits: []config.Limit{{
		Name: "x", Requests: []config.Rate{per(2, time.Hour)}, Tokens: []config.Rate{per(1000, config.Day)}, Concurrency: 1,
	}}}, shared)
	place := admitted(t, l, chat(100, 500))
	server.Do("FLUSHALL")
	server.Do("SCRIPT", "FLUSH")
	second := admitted(t, l, chat(100, 500))
	place.Settle(limit.Use{Input: 100, Output: 100}, true) // its reservation is gone: nothing to give back
	second.Settle(limit.Use{Input: 100, Output: 300}, true)
	eventually(t, "both are settled", func() bool {
		p, fail := l.Reserve(t.Context(), &limit.Query{})
		return fail == nil && header(p, "x-ratelimit-remaining-tokens") == "600"
	})
	if !shared.Up() {
		t.Error("the limits were not kept in Redis")
	}
}

// TestRedis_RefusesAll has a Redis that refuses every command for a while, as one does that reads its file.
func TestRedis_RefusesAll(t *testing.T) {
	server, j, l := troubled(t)
	server.Do("CONFIG", "SET", "min-replicas-to-write", "1") // no replica: NOREPLICAS to every write
	if got := passes(t, l, limit.Query{Subject: config.Subject{User: "a"}}, 20); got != 5 {
		t.Errorf("%d of 20 requests passed, want half of the limit", got)
	}
	server.Do("CONFIG", "SET", "min-replicas-to-write", "0")
	eventually(t, "redis is asked again", j.last)
	grantsAll(t, l)
}

// TestRedis_IsSlow has a Redis that is busy for longer than a request may wait: the first one waits in vain, then none does.
func TestRedis_IsSlow(t *testing.T) {
	server, j, l := troubled(t)
	seen, slept := make(chan struct{}), make(chan struct{})
	go func() { // until a request has met it
		defer close(slept)
		for {
			server.Do("EVAL", "for i = 1, 3e7 do end return 1", 0)
			select {
			case <-seen:
				return
			default:
			}
		}
	}()
	eventually(t, "redis is too slow", func() bool {
		_, _ = l.Reserve(t.Context(), &limit.Query{Subject: config.Subject{User: "z"}})
		return j.away()
	})
	close(seen)
	_, d := timed(t, l, "b")
	t.Logf("a request beside a Redis that is too slow took %s", d)
	<-slept
	eventually(t, "redis is asked again", j.last)
	grantsAll(t, l)
}

// TestRedis_ShareIsNotFull has a gateway lose its Redis after it has used up the limit there.
func TestRedis_ShareIsNotFull(t *testing.T) {
	server, _, l := troubled(t)
	user := ""
	eventually(t, "somebody gets the whole limit", func() bool { // a busy machine's Redis may be too late for the first
		user += "a"
		return passes(t, l, limit.Query{Subject: config.Subject{User: user}}, 20) == 10
	})
	server.Kill()
	if got := passes(t, l, limit.Query{Subject: config.Subject{User: user}}, 20); got != 0 {
		t.Errorf("%d requests more passed once Redis was gone", got)
	}
}

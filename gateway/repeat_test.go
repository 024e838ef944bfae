package gateway_test

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

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// A request that dies on two engines is answered by the third.
func TestRepeat_TwoDieAndTheThirdIsWell(t *testing.T) {
	for name, die := range map[string]http.HandlerFunc{
		"reset": abort,
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the gateway go
			<-r.Context().Done()
		},
		"garbage": hijacked("SSH-2.0-OpenSSH_9.2\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			u1, n1 := counting(t, die)
			u2, n2 := counting(t, die)
			u3, _ := counting(t, good)
			r := newRig(t, strings.Replace(onePool, "policy: round_robin",
				"policy: round_robin, health: {interval: 1h, eject_after: 1000}, timeouts: {first_event: 200ms}", 1), u1, u2, u3)
			for range 3 {
				if a := r.post(chat, streamChat); a.status != 200 || a.body != delta+finish+done {
					t.Errorf("answered %d %s", a.status, a.body)
				}
			}
			if n1.Load()+n2.Load() < 2 {
				t.Errorf("%d requests met a bad engine: nothing is shown", n1.Load()+n2.Load())
			}
		})
	}
}

// When everything fails, the work that reaches engines grows by a fifth and no more.
func TestRepeat_BudgetBoundsAnOutage(t *testing.T) {
	var urls []string
	var hits atomic.Int64
	for range 4 {
		u := engine(t, func(w http.ResponseWriter, r *http.Request) {
			hits.Add(1)
			abort(w, r)
		}).URL
		urls = append(urls, u)
	}
	r := newRig(t, strings.Replace(onePool, "policy: round_robin", "policy: round_robin, health: {interval: 1h, eject_after: 100000}", 1), urls...)
	const n = 400
	start := time.Now()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range n / 8 {
				if a := r.post(chat, plainChat); a.status != 502 {
					t.Errorf("answered %d %s", a.status, a.body)
				}
			}
		})
	}
	all.Wait()
	windows := 1 + int64(time.Since(start)/(10*time.Second))
	extra := hits.Load() - n
	if most := n/5 + 20*windows; extra > most || extra < 20 {
		t.Errorf("%d retries of %d requests, want 20 to %d", extra, n, most)
	}
	if text := r.metrics(); !strings.Contains(text, `warmlane_retries_denied_total{pool="m"}`) || strings.Contains(text, `warmlane_retries_denied_total{pool="m"} 0`) {
		t.Errorf("denied retries are not counted")
	}
}

// Refusals for want of capacity cost engines nothing and draw on no budget.
func TestRepeat_RefusalsAreFree(t *testing.T) {
	busy, hits := counting(t, status(429, `{"error":{"message":"slow down","code":429}}`))
	well, _ := counting(t, good)
	r := newRig(t, onePool, busy, well)
	for i := range 60 {
		if a := r.post(chat, plainChat, "X-Request-Id", fmt.Sprint(i)); a.status != 200 {
			t.Fatalf("request %d: answered %d %s", i, a.status, a.body)
		}
	}
	if hits.Load() == 0 {
		t.Error("no request met the busy engine: nothing is shown")
	}
}

func (r *rig) metrics() string {
	r.t.Helper()
	admin := *r
	admin.URL = r.Admin
	return admin.do("GET", "/metrics", "").body
}

package promises_test

import (
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"
)

const refusal = 10 * time.Millisecond // the promise

// Promise: when every engine is dead, a request is refused in < 10 ms (p99) with 503, Retry-After and an error in OpenAI's form.
func TestPromise_RefusalWhenAllAreDead(t *testing.T) {
	g := open(t, pool, deadPort(t), deadPort(t), deadPort(t))
	refuseAll(t, g, count(200, 5000), 503, "refusal when all engines are dead")
}

// refuseAll sends n requests, all of which are to be refused in time and in form.
func refuseAll(t *testing.T, g *gate, n, status int, what string) {
	t.Helper()
	var mu sync.Mutex
	var all times
	wrong, tried := 0, 0
	quiet(func() {
		all = nil
		crowd(n, 2, g.address, func(i int, w *worker) {
			body := plainChat
			if i%2 == 0 {
				body = streamChat
			}
			sent := time.Now()
			r, err := w.do(chat, body)
			took := time.Since(sent)
			mu.Lock()
			defer mu.Unlock()
			tried++
			all = append(all, took)
			if err != nil || !r.refused(status) {
				if wrong++; wrong < 5 {
					t.Logf("request %d: %v, %d %v %s", i, err, r.status, r.header, r.body)
				}
			}
		})
		t.Logf("%d refusals: %v", len(all), all)
	}, func() bool { return all.at(0.99) <= ceiling(refusal) })
	none(t, what+" without status, Retry-After or error body", wrong, tried)
	hold(t, what+", p99", all.at(0.99), refusal)
}

// refused says whether the answer is a refusal as it has to be.
func (r reply) refused(status int) bool {
	var e struct {
		Error struct{ Message, Type, Code string }
	}
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	return r.status == status && r.cut == nil && err == nil && seconds > 0 && json.Unmarshal([]byte(r.body), &e) == nil &&
		e.Error.Message != "" && e.Error.Type != "" && e.Error.Code != ""
}

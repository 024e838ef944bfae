package promises_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
)

// Promise: reloading the gateway costs no request and cuts no stream, though endpoints come and go with it, and leaves nothing behind.
func TestPromise_GatewayReload(t *testing.T) {
	const reloads = 100
	streams, clients := count(20, 200), 16
	finishing := make(chan struct{})
	var begun atomic.Int64
	script := func(c *call) bool {
		if c.id == "" || !c.stream {
			return c.serve()
		}
		c.write(streamHead + chunk(delta))
		begun.Add(1)
		<-finishing
		return c.write(chunk(finish) + chunk(done) + lastChunk)
	}
	a, b := startEngine(t, script), startEngine(t, script)
	source := &config.Source{Path: filepath.Join(t.TempDir(), "warmlane.yaml")}
	put := func(engines string) {
		t.Helper()
		text := fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
pools: [{name: m, engine: generic, endpoints: [%s], policy: round_robin, health: {interval: 1h}}]
`, engines)
		if err := os.WriteFile(source.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	both := fmt.Sprintf("%q, %q", a.url, b.url)
	put(both)
	cfg, err := source.Load()
	if err != nil {
		t.Fatal(err)
	}
	g := openFrom(t, cfg, source)
	var held, load sync.WaitGroup
	var cut, failed, tried atomic.Int64
	for range streams {
		held.Go(func() {
			r, err := once(g.address, chat, streamChat, "X-Request-Id: held")
			if err != nil || !r.served(true) {
				cut.Add(1)
				t.Logf("a stream ended with %v %v, %d %s", err, r.cut, r.status, r.body)
			}
		})
	}
	await(t, "streams to begin", patience, func() bool { return begun.Load() == int64(streams) })
	stop := make(chan struct{})
	for range clients {
		load.Go(func() {
			w := &worker{address: g.address}
			defer w.drop()
			for {
				select {
				case <-stop:
					return
				default:
				}
				tried.Add(1)
				if r, err := w.do(chat, plainChat); err != nil || !r.served(false) {
					failed.Add(1)
					t.Logf("a request ended with %v %v, %d %s", err, r.cut, r.status, r.body)
				}
			}
		})
	}
	before := 0
	for i := range reloads {
		put([]string{fmt.Sprintf("%q", a.url), both}[i%2])
		if err := g.gateway.Reload("test"); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			before = runtime.NumGoroutine()
		}
	}
	close(finishing)
	held.Wait()
	close(stop)
	load.Wait()
	none(t, "streams cut by 100 reloads", int(cut.Load()), streams)
	none(t, "requests failed by 100 reloads", int(failed.Load()), int(tried.Load()))
	await(t, "what served the replaced pools to end", patience, func() bool { return runtime.NumGoroutine() < before })
	t.Logf("FIGURE goroutines: %d in the first reload, %d after the last", before, runtime.NumGoroutine())
}

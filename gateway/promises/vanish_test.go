package promises_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// vanishedPool has the default health probes.
const vanishedPool = `
server: {lame_duck: 0s, drain: 2s}
observe: {log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin}]
`

// An engine vanishes as a vLLM after SIGTERM does: its port refuses, what is open stays open and silent. Requests that wait there for
// their first event have not begun, so they are answered by the other engine.
func TestPromise_VanishedBeforeTheFirstEvent(t *testing.T) {
	for name, body := range map[string]string{"stream": streamChat, "plain": plainChat} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			vanishing := startEngine(t, func(c *call) bool {
				asked <- struct{}{}
				c.gone()
				return false
			})
			well := startEngine(t, (*call).serve)
			g := open(t, vanishedPool, vanishing.url, well.url)
			answers := make(chan error, 1)
			sent := time.Now()
			go func() {
				r, err := once(g.address, chat, body)
				if err == nil && !r.served(name == "stream") {
					err = fmt.Errorf("%d %w %s", r.status, r.cut, r.body)
				}
				answers <- err
			}()
			<-asked
			_ = vanishing.listener.Close()
			// Two more requests: one of them finds the port refusing.
			for range 2 {
				if r, err := once(g.address, chat, plainChat); err != nil || !r.served(false) {
					t.Errorf("a later request: %v, %d %s", err, r.status, r.body)
				}
			}
			if err := <-answers; err != nil {
				t.Errorf("after %v: %v", time.Since(sent), err)
			}
		})
	}
}

// An engine vanishes with a stream open, and nobody asks for anything more: only the gateway's own probes can find out. The stream
// ends within 10 s, with an error event.
func TestPromise_SilentStreamEndsWithoutTraffic(t *testing.T) {
	vanishing := startEngine(t, func(c *call) bool {
		c.write(streamHead + chunk(delta))
		c.gone()
		return false
	})
	g := open(t, vanishedPool, vanishing.url, startEngine(t, (*call).serve).url)
	c := mustDial(t, g.address)
	began := time.Now()
	for c.send(chat, streamChat) == nil {
		line := ""
		for line != delta[:len(delta)-1] && line != finish[:len(finish)-1] {
			line, _ = c.br.ReadString('\n')
		}
		if line == delta[:len(delta)-1] {
			break
		}
	}
	_ = vanishing.listener.Close()
	rest := make(chan string, 1)
	go func() {
		var all []byte
		for {
			b, err := c.br.ReadByte()
			if err != nil {
				rest <- string(all) + err.Error()
				return
			}
			all = append(all, b)
		}
	}()
	text := <-rest
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stream ended after %v: %q", took, text)
	} else {
		t.Logf("ended after %v: %q", took, text)
	}
}

// The same for engines that vanish as a vLLM does after SIGTERM: the port refuses while the open streams stay silent.
func TestPromise_RollingRestart_SilentStreamsEnd(t *testing.T) {
	interval, replicas := "1s", 1 // quicker to notice than the default, which the full run takes
	if held() {
		interval, replicas = "5s", 3
	}
	u := roll(t, engine.FaultVanish, interval, replicas, count(1, 1))
	none(t, "requests failed that had not begun", u.failed, int(u.sent.Load()))
}

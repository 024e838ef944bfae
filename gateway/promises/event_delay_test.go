package promises_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	eventGap    = 40 * time.Millisecond // mean time between two events of a stream, 25 tokens a second
	mergeAcross = 5 * time.Millisecond  // events further apart must never arrive in one piece
	eventDelay  = time.Millisecond      // the promise, p99
)

// Promise: an event is not delayed, p99 of the added time <= 1 ms. Every event carries the time at which the engine sent it. Some
// streams go to the engine directly at the same time, and tell what engine, client and machine take by themselves.
//
// Promise: events are never merged across more than 5 ms: no chunk holds two events sent further apart.
func TestPromise_EventDelay(t *testing.T) {
	streams, events := count(20, 200), count(25, 250)
	epoch := time.Now()
	e := startEngine(t, func(c *call) bool { return stamped(c, epoch, events) })
	g := open(t, pool, e.url)
	var added, widest time.Duration
	quiet(func() {
		through, direct := measureStreams(t, epoch, streams, g.address, e.listener.Addr().String())
		if want := streams * events; len(through.delays) != want {
			t.Fatalf("%d events of %d arrived", len(through.delays), want)
		}
		added, widest = max(0, through.delays.at(0.99)-direct.delays.at(0.99)), through.widest
		t.Logf("%d streams, %d events: %v; directly %v; furthest apart in one chunk %v", streams, len(through.delays), through.delays, direct.delays, widest)
	}, func() bool { return added <= ceiling(eventDelay) && widest <= ceiling(mergeAcross) })
	hold(t, "event delay, p99 added", added, eventDelay)
	hold(t, "events merged across", widest, mergeAcross)
}

// stamped streams events at random moments, each with the time since epoch as its content.
func stamped(c *call, epoch time.Time, events int) bool {
	if !c.write(streamHead) {
		return false
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for range events {
		timer.Reset(eventGap/4 + rand.N(eventGap*3/2))
		<-timer.C
		event := fmt.Sprintf(`data: {"id":"c1","choices":[{"index":0,"delta":{"content":"<%d>"},"finish_reason":null}]}`+"\n\n", time.Since(epoch))
		if !c.write(chunk(event)) {
			return false
		}
	}
	return c.write(chunk(finish) + chunk(done) + lastChunk)
}

// arrivals is what clients saw of stamped events.
type arrivals struct {
	delays times
	widest time.Duration // longest time between two events that came in one chunk
}

func measureStreams(t *testing.T, epoch time.Time, streams int, gateway, engine string) (through, direct arrivals) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range streams + max(5, streams/10) {
		address, to := gateway, &through
		if i >= streams {
			address, to = engine, &direct
		}
		all.Go(func() {
			got, err := readStamped(address, epoch)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("a stream ended with %v", err)
			}
			to.delays = append(to.delays, got.delays...)
			to.widest = max(to.widest, got.widest)
		})
	}
	all.Wait()
	return through, direct
}

// readStamped reads one stream chunk by chunk, as the gateway wrote it.
func readStamped(address string, epoch time.Time) (arrivals, error) {
	var got arrivals
	c, err := dial(address)
	if err != nil {
		return got, err
	}
	defer c.conn.Close()
	if err := c.send(chat, streamChat); err != nil {
		return got, err
	}
	for line := ""; line != "\r\n"; { // the head
		if line, err = c.br.ReadString('\n'); err != nil {
			return got, err
		}
	}
	for {
		_ = c.conn.SetDeadline(time.Now().Add(patience))
		content, err := readChunk(c.br)
		if err != nil || content == "" {
			return got, err
		}
		now := time.Since(epoch)
		first := time.Duration(-1)
		for _, part := range strings.Split(content, "<")[1:] {
			digits, _, _ := strings.Cut(part, ">")
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil {
				return got, err
			}
			sent := time.Duration(n)
			got.delays = append(got.delays, now-sent)
			if first < 0 {
				first = sent
			}
			got.widest = max(got.widest, sent-first)
		}
	}
}

// readChunk reads one chunk of a chunked body; "" is the last one.
func readChunk(br *bufio.Reader) (string, error) {
	line, err := br.ReadString('\n')
	if err != nil {
		return "", err
	}
	size, err := strconv.ParseUint(strings.TrimSpace(line), 16, 31)
	if err != nil {
		return "", err
	}
	content := make([]byte, size+2)
	_, err = io.ReadFull(br, content)
	return string(content[:size]), err
}

// Promise: no event waits for a later one. The engine sends an event only after the client has the one before it, which no machine
// can be too slow for.
func TestPromise_EventsNeverWaitForEachOther(t *testing.T) {
	events := count(200, 5000)
	next := make(chan struct{}, 1)
	e := startEngine(t, func(c *call) bool {
		if !c.write(streamHead) {
			return false
		}
		for range events {
			if !c.write(chunk(delta)) {
				return false
			}
			if _, ok := <-next; !ok {
				return false
			}
		}
		return c.write(chunk(finish) + chunk(done) + lastChunk)
	})
	g := open(t, pool, e.url)
	defer close(next)
	c := mustDial(t, g.address)
	if err := c.send(chat, streamChat); err != nil {
		t.Fatal(err)
	}
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = c.br.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	alone := 0
	for range events {
		_ = c.conn.SetDeadline(time.Now().Add(patience))
		content, err := readChunk(c.br)
		if err != nil {
			t.Fatalf("after %d events: %v", alone, err)
		}
		if content != delta {
			t.Fatalf("event %d came as %q", alone, content)
		}
		alone++
		next <- struct{}{}
	}
	none(t, "events that waited for the next one", events-alone, events)
}

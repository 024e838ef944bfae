package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd are the clients: half of them stream, one of twenty leaves before it is answered.
type crowd struct {
	url    string
	client *http.Client
	rng    *rand.Rand
	all    sync.WaitGroup

	sent, complete, left, told atomic.Int64 // told: streams that had begun and ended with an error
	failed, wordless           atomic.Int64 // requests that had not begun and failed; streams that ended as if they were complete

	mu     sync.Mutex // guards the rest
	faults []string   // the first failures
}

func newCrowd(address string, seed uint64) *crowd {
	return &crowd{
		url: "http://" + address + "/v1/chat/completions", rng: rand.New(rand.NewPCG(seed, 2)),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 10 * time.Second}, Timeout: time.Minute},
	}
}

// run sends requests until ctx ends, and waits for the last of them.
func (c *crowd) run(ctx context.Context, rate float64) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			c.all.Wait()
			return
		case <-timer.C:
		}
		stream, leaves := c.rng.IntN(2) == 0, time.Duration(0)
		if c.rng.IntN(20) == 0 {
			leaves = time.Duration(1+c.rng.IntN(40)) * time.Millisecond
		}
		c.all.Go(func() { c.ask(i, stream, leaves) })
		next = next.Add(time.Duration(c.rng.ExpFloat64() / rate * float64(time.Second)))
		timer.Reset(time.Until(next))
	}
}

func (c *crowd) close() { c.client.CloseIdleConnections() }

func (c *crowd) ask(i int, stream bool, leaves time.Duration) {
	c.sent.Add(1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if leaves > 0 {
		ctx, cancel = context.WithTimeout(ctx, leaves)
		defer cancel()
	}
	body := fmt.Sprintf(`{"model":"m","stream":%v,"max_tokens":8,"messages":[{"role":"user","content":"%d %s"}]}`,
		stream, i%997, strings.Repeat("soak ", 20+i%200))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		panic("BUG: soak: " + err.Error())
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	var text []byte
	status := 0
	if err == nil {
		status = resp.StatusCode
		text, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	complete := err == nil && (!stream || bytes.Contains(text, []byte("[DONE]")) && !bytes.Contains(text, []byte(`"error"`)))
	switch {
	case leaves > 0 && ctx.Err() != nil:
		c.left.Add(1)
	case status == http.StatusOK && complete:
		c.complete.Add(1)
	case stream && status == http.StatusOK && (err != nil || bytes.Contains(text, []byte(`data: {"error"`))):
		c.told.Add(1)
	case stream && status == http.StatusOK:
		c.wordless.Add(1)
		c.note("wordless", i, status, text, err)
	default:
		c.failed.Add(1)
		c.note("failed", i, status, text, err)
	}
}

func (c *crowd) note(what string, i, status int, text []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) < 10 {
		c.faults = append(c.faults, fmt.Sprintf("request %d %s: %d %.200s %v", i, what, status, text, err))
	}
}

func (c *crowd) String() string {
	return fmt.Sprintf("requests %d, complete %d, clients left %d, streams broken off with a word %d, without %d, failed %d",
		c.sent.Load(), c.complete.Load(), c.left.Load(), c.told.Load(), c.wordless.Load(), c.failed.Load())
}

// verdict is the error of a crowd that was not served well.
func (c *crowd) verdict() error {
	if c.failed.Load()+c.wordless.Load() == 0 && c.complete.Load() > 0 {
		return nil
	}
	return errors.New("not everybody was served:\n" + strings.Join(c.faults, "\n"))
}

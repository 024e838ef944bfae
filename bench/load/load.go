// Package load is a closed-loop load generator for any OpenAI-compatible URL.
//
// It plays conversations turn by turn as a chat client does: it streams each answer, puts the real answer into the
// history and sends the whole history with the next turn. Its metrics have AIPerf's definitions, so that its figures
// can be laid beside AIPerf's:
//
//   - time to first token: request start to the first event that carries a token (text, reasoning or tool call; the
//     role chunk does not count);
//   - request latency: request start to the last event of the answer, the usage chunk aside;
//   - inter-token latency: (request latency - time to first token) / (output tokens - 1), one value a request;
//   - output token throughput and request throughput: totals over the time from the first request's start to the
//     last answer's end.
//
// Output tokens come from the answer's usage, which is asked for; where a server sends none they are counted here and
// marked as estimates. Failed requests enter no latency and no token count. Every request ends as one of: complete,
// or failed with a Kind; a stream that ends without a finish_reason, or that carries an error, is a failure however
// cleanly it ends.
//
// A connection that the server closed while it was idle is replaced without being counted as a failure. Cost: two
// goroutines and about 40 KB a connection; two small allocations and about 2 microseconds an event beyond reading it.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conversation is what one session says. Its methods are called by one goroutine.
type Conversation interface {
	System() string       // system prompt, "" = none
	Turns() int           // user turns
	User(turn int) string // user text of a turn, counted from 0
}

// Config says whom to load with what.
type Config struct {
	URL    string // base URL, with or without /v1
	Model  string // "" = the first model that the server lists
	APIKey string // sent as bearer token; "" = none

	Sessions    []Conversation // started in this order
	Concurrency int            // requests in flight at most; 0 = 1
	Open        int            // sessions begun and not ended at most; 0 = Concurrency. With more, the next turn is that of a waiting session picked at random
	Think       time.Duration  // mean pause between an answer and the next turn of its session, exponentially distributed; 0 = none

	OutputTokens int      // max_tokens; 0 = the server's own limit
	IgnoreEOS    bool     // asks the engine to generate all of OutputTokens (vLLM, SGLang)
	Temperature  *float64 // nil = the server's own

	Seed        uint64             // of think times and of the choice among waiting sessions
	Timeout     time.Duration      // longest silence within a request; 0 = 2 minutes
	BlockTokens int                // block size for IdealHitRate; 0 = 16
	Progress    func(now Progress) // called after each request, never twice at once; nil = not called

	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil = TCP
}

// Progress is how far a run has come.
type Progress struct {
	Done, Total int // requests ended, requests planned
	Errors      int
	TTFT        time.Duration // mean so far
	HitRate     float64       // by the answers' usage, so far; NaN when unknown
}

// Run plays all sessions and returns what it measured. A failed request is part of the result, not an error: the
// session goes on with its next turn, its history without the failed one. The error says why the run could not begin, or that ctx ended it; in
// the latter case the result covers the requests that had ended by then.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	client, err := newClient(&cfg)
	if err != nil {
		return nil, err
	}
	defer client.close()
	if cfg.Model == "" {
		if cfg.Model, err = client.firstModel(ctx); err != nil {
			return nil, err
		}
	}
	g := &generator{cfg: &cfg, client: client, gate: newGate(cfg.Concurrency, cfg.Seed), rec: newRecorder(&cfg)}
	g.run(ctx)
	return g.rec.result(), context.Cause(ctx)
}

func (c *Config) check() error {
	if len(c.Sessions) == 0 {
		return errors.New("no sessions to play")
	}
	if c.Concurrency < 0 || c.Open < 0 || c.OutputTokens < 0 || c.Think < 0 || c.Timeout < 0 || c.BlockTokens < 0 {
		return fmt.Errorf("concurrency %d, open sessions %d, output tokens %d, think time %v, timeout %v, block tokens %d: none may be negative",
			c.Concurrency, c.Open, c.OutputTokens, c.Think, c.Timeout, c.BlockTokens)
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	if c.Open == 0 {
		c.Open = c.Concurrency
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Minute
	}
	if c.BlockTokens == 0 {
		c.BlockTokens = 16
	}
	if c.dial == nil {
		c.dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	return nil
}

// generator is one run.
type generator struct {
	cfg    *Config
	client *client
	gate   *gate
	rec    *recorder
	next   atomic.Int64 // sessions begun
}

// run starts one goroutine for each open session and waits for all of them.
func (g *generator) run(ctx context.Context) {
	var players sync.WaitGroup
	for range min(g.cfg.Open, len(g.cfg.Sessions)) {
		players.Go(func() {
			for ctx.Err() == nil {
				i := int(g.next.Add(1)) - 1
				if i >= len(g.cfg.Sessions) {
					return
				}
				g.play(ctx, i)
			}
		})
	}
	players.Wait()
}

// play is one session from its first turn to its last.
func (g *generator) play(ctx context.Context, session int) {
	talk := g.cfg.Sessions[session]
	pause := rand.New(rand.NewPCG(g.cfg.Seed, uint64(session)))
	h := newHistory(talk.System())
	for turn := range talk.Turns() {
		if turn > 0 && !think(ctx, time.Duration(pause.ExpFloat64()*float64(g.cfg.Think))) {
			return
		}
		if !g.gate.enter(ctx) {
			return
		}
		h.say(talk.User(turn))
		a := g.client.ask(ctx, g.cfg, h)
		g.gate.leave()
		if ctx.Err() != nil {
			return
		}
		g.rec.add(session, turn, a)
		if a.failure != nil {
			h.unsay()
			continue
		}
		h.hear(a.text)
	}
}

// think waits d and reports whether the run still goes on.
func think(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

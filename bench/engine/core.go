package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Never is the time of a step that will not come: the core has nothing to do.
const Never = time.Duration(math.MaxInt64)

// CoreConfig sets up a Core. Zero fields take the preset's value or the default named beside them.
type CoreConfig struct {
	Preset           Preset        // constants of GPU and model; zero: a10-llama3-8b
	Blocks           int           // KV blocks; zero: the preset's
	BlockTokens      int           // tokens of a block; zero: 16
	MaxBatchedTokens int           // tokens of one step; zero: the preset's
	MaxSeqs          int           // requests running at once; zero: the preset's
	LongPrefill      int           // most prompt tokens of one request in a step; zero: no limit but the budget
	NoPrefixCache    bool          // never look up blocks
	Ingest           time.Duration // from arrival until the scheduler sees the request (parsing, tokenising)
	Slow             float64       // every step takes this many times as long; zero: 1
	Noise            float64       // sigma of the lognormal factor on each step; zero: 0.03, negative: none
	Seed             uint64        // of the noise
}

// Request is one sequence to generate. The caller sets the first group and may read the second one at any event; the
// core owns the rest. A Request may be submitted again once it has finished or was aborted.
type Request struct {
	Prompt int      // prompt tokens, at least 1
	Output int      // tokens to generate, at least 1
	Blocks []uint64 // hash chain of the full blocks of prompt and answer (see HashBlocks); shorter: the rest is never found again
	Tag    any      // the caller's

	Arrived     time.Duration // when it was submitted
	Scheduled   time.Duration // when a step took it first
	FirstToken  time.Duration // when its first token came out
	Finished    time.Duration // when its last token came out
	Cached      int           // prompt tokens found in the cache at the first admission
	Generated   int           // tokens generated so far
	Preemptions int           // times it lost its blocks

	state     state
	admitted  bool          // it has been scheduled before
	ready     time.Duration // the scheduler does not see it before
	last      time.Duration // its latest token
	computed  int           // tokens whose keys and values are in the cache
	scheduled int           // tokens of it in the step under way
	hashed    int           // leading blocks that were registered under their hash
	blocks    []int32       // its blocks in the pool
}

type state uint8

const (
	stateNew state = iota
	stateWaiting
	stateRunning
	stateDone
)

func (r *Request) known() int { return r.Prompt + r.Generated }

// Event is one generated token.
type Event struct {
	Request *Request
	At      time.Duration // when it came out
	Index   int           // 1 for the first token of the request
	Last    bool          // the request has finished
}

// Core is one engine replica in virtual time. Times are durations since an epoch of the caller's choice and must not
// go backwards. It is not safe for concurrent use.
type Core struct {
	cfg  CoreConfig
	step StepModel
	rng  *rand.Rand
	pool *blockPool

	waiting queue
	running []*Request
	clock   time.Duration // start of the step under way, or end of the last one
	stepEnd time.Duration
	busy    bool // a step is under way
	batch   Batch
	events  []Event
	stats   Stats
}

// New makes an idle core with an empty cache.
func New(cfg CoreConfig) *Core {
	if cfg.Preset.Name == "" {
		cfg.Preset = mustPreset(DefaultPreset)
	}
	setDefault(&cfg.Blocks, cfg.Preset.Blocks)
	setDefault(&cfg.BlockTokens, 16)
	setDefault(&cfg.MaxBatchedTokens, cfg.Preset.MaxBatchedTokens)
	setDefault(&cfg.MaxSeqs, cfg.Preset.MaxSeqs)
	if cfg.Slow == 0 {
		cfg.Slow = 1
	}
	if cfg.Noise == 0 {
		cfg.Noise = 0.03
	}
	return &Core{
		cfg:   cfg,
		step:  cfg.Preset.Step,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0x9e3779b97f4a7c15)),
		pool:  newBlockPool(cfg.Blocks),
		stats: newStats(),
	}
}

func setDefault(field *int, value int) {
	if *field == 0 {
		*field = value
	}
}

// Capacity returns the tokens that the KV cache can hold.
func (c *Core) Capacity() int { return c.cfg.Blocks * c.cfg.BlockTokens }

// Config returns the configuration with its defaults filled in.
func (c *Core) Config() CoreConfig { return c.cfg }

// SetSlow changes the factor on the duration of the steps that start from now on.
func (c *Core) SetSlow(factor float64) { c.cfg.Slow = factor }

// Submit puts a request at the end of the waiting queue. Call Advance(now) before, so that steps which ended earlier
// are done, and Advance(now) again after the last Submit of an instant. The error tells that the request is empty,
// under way already, or larger than the whole cache.
func (c *Core) Submit(r *Request, now time.Duration) error {
	if r.Prompt < 1 || r.Output < 1 {
		return fmt.Errorf("submitting a request of %d prompt and %d output tokens: both must be at least 1", r.Prompt, r.Output)
	}
	if r.state == stateWaiting || r.state == stateRunning {
		return fmt.Errorf("submitting a request that is under way")
	}
	if r.Prompt+r.Output > c.Capacity() {
		return fmt.Errorf("submitting a request of %d tokens: the cache holds %d", r.Prompt+r.Output, c.Capacity())
	}
	*r = Request{
		Prompt: r.Prompt, Output: r.Output, Blocks: r.Blocks, Tag: r.Tag, blocks: r.blocks[:0],
		Arrived: now, ready: now + c.cfg.Ingest, state: stateWaiting,
	}
	if !c.busy && c.clock < now {
		c.clock = now
	}
	c.waiting.pushBack(r)
	c.stats.Submitted++
	return nil
}

// Abort removes a request that has not finished; its full blocks stay in the cache until they are needed. The step
// under way keeps its duration. It reports whether the request was under way.
func (c *Core) Abort(r *Request) bool {
	switch r.state {
	case stateWaiting:
		c.waiting.remove(r)
	case stateRunning:
		c.removeRunning(r)
		c.release(r)
	default:
		return false
	}
	r.state, r.scheduled = stateDone, 0
	c.stats.Aborted++
	return true
}

// Next returns when Advance has something to do: the end of the step under way, the start of a step that waits for a
// request's ingest, or Never.
func (c *Core) Next() time.Duration {
	switch {
	case c.busy:
		return c.stepEnd
	case len(c.running) > 0:
		return c.clock
	case c.waiting.len() > 0:
		return max(c.clock, c.waiting.front().ready)
	}
	return Never
}

// Advance does everything that is due until now: it ends steps, starts the ones that follow, and returns the tokens
// that came out, oldest first. The slice is valid until the next call. To react to each token at its own time
// advance to Next, not beyond.
func (c *Core) Advance(now time.Duration) []Event {
	c.events = c.events[:0]
	for {
		due := c.Next()
		if due > now || due == Never {
			return c.events
		}
		c.clock = due
		if c.busy {
			c.endStep()
		}
		c.beginStep()
		if !c.busy && c.Next() <= due {
			panic("BUG: engine core: requests are due but no step could start")
		}
	}
}

// beginStep forms the next batch, if there is anything to do, and fixes its end.
func (c *Core) beginStep() {
	c.batch = Batch{}
	if !c.scheduleRunning() {
		c.admit()
	}
	if c.batch.Tokens == 0 {
		return
	}
	seconds := c.step.Seconds(&c.batch) * c.cfg.Slow
	if c.cfg.Noise > 0 {
		seconds *= math.Exp(c.cfg.Noise*c.rng.NormFloat64() - c.cfg.Noise*c.cfg.Noise/2)
	}
	c.busy, c.stepEnd = true, c.clock+time.Duration(seconds*1e9)
	c.stats.iteration(c.batch.Tokens)
}

// endStep books the computed tokens, registers the blocks that became full and lets every request whose tokens are
// all computed emit one.
func (c *Core) endStep() {
	c.busy = false
	kept := c.running[:0]
	for _, r := range c.running {
		if r.scheduled > 0 {
			r.computed += r.scheduled
			r.scheduled = 0
			if r.computed == r.known() {
				c.emit(r)
			}
		}
		if r.state == stateRunning {
			kept = append(kept, r)
		}
	}
	clear(c.running[len(kept):])
	c.running = kept
}

// emit gives the request its next token and ends it with the last one.
func (c *Core) emit(r *Request) {
	r.Generated++
	last := r.Generated == r.Output
	if r.Generated == 1 {
		r.FirstToken = c.clock
	}
	c.stats.token(r, c.clock)
	r.last = c.clock
	if last {
		r.Finished = c.clock
		c.release(r)
		r.state = stateDone
		c.stats.finish(r)
	}
	c.events = append(c.events, Event{Request: r, At: c.clock, Index: r.Generated, Last: last})
}

func (c *Core) removeRunning(r *Request) {
	for i, other := range c.running {
		if other == r {
			c.running = append(c.running[:i], c.running[i+1:]...)
			return
		}
	}
}

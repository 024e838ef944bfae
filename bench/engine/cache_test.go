package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// rig drives one small core whose figures can be computed by hand.
type rig struct {
	*engine.Core
	t *testing.T
}

func newRig(t *testing.T, cfg engine.CoreConfig) *rig {
	t.Helper()
	cfg.Noise = -1
	return &rig{engine.New(cfg), t}
}

// start submits a request at the core's present time; finish runs it (and all others) to the end.
func (r *rig) start(prompt, output int, blocks []uint64) *engine.Request {
	r.t.Helper()
	q := &engine.Request{Prompt: prompt, Output: output, Blocks: blocks}
	if err := r.Submit(q, r.time()); err != nil {
		r.t.Fatal(err)
	}
	return q
}

func (r *rig) time() time.Duration {
	if at := r.Next(); at != engine.Never {
		return at
	}
	return 0
}

func (r *rig) finish() {
	for r.Next() != engine.Never {
		r.Advance(r.Next())
	}
}

func (r *rig) do(prompt, output int, blocks []uint64) *engine.Request {
	r.t.Helper()
	q := r.start(prompt, output, blocks)
	r.finish()
	return q
}

// chain returns the hashes of n blocks that no other key shares.
func chain(key uint32, n int) []uint64 {
	tokens := make([]uint32, 16*n)
	for i := range tokens {
		tokens[i] = key*1000 + uint32(i)
	}
	return engine.HashBlocks(nil, 1, tokens, 16)
}

func TestCache_HitsWholeBlocksButNeverTheLastToken(t *testing.T) {
	for _, c := range []struct {
		name                  string
		first, answer, second int
		want                  int
	}{
		{"the same prompt of no whole number of blocks", 100, 1, 100, 96},
		{"the same prompt of exactly six blocks loses the last one", 96, 1, 96, 80},
		{"one token more than six blocks keeps them", 96, 1, 97, 96},
		{"prompt and answer are found by the next turn", 100, 60, 200, 144}, // 159 of 160 tokens were computed: 9 blocks
		{"the last generated token is never computed", 100, 61, 200, 160},   // 160 computed: 10 blocks
		{"shorter than a block", 10, 1, 10, 0},
	} {
		r := newRig(t, engine.CoreConfig{})
		blocks := chain(1, 20)
		if q := r.do(c.first, c.answer, blocks); q.Cached != 0 {
			t.Errorf("%s: a cold cache gave %d tokens", c.name, q.Cached)
		}
		if q := r.do(c.second, 1, blocks); q.Cached != c.want {
			t.Errorf("%s: %d tokens cached, want %d", c.name, q.Cached, c.want)
		}
		n := r.Counters()
		if n.Queries != uint64(c.first+c.second) || n.Hits != uint64(c.want) {
			t.Errorf("%s: queries %d hits %d, want %d and %d", c.name, n.Queries, n.Hits, c.first+c.second, c.want)
		}
	}
}

func TestCache_DifferentRootsAndDifferentBeginningsShareNothing(t *testing.T) {
	tokens := make([]uint32, 64)
	for i := range tokens {
		tokens[i] = uint32(i)
	}
	a, b := engine.HashBlocks(nil, 1, tokens, 16), engine.HashBlocks(nil, 2, tokens, 16)
	changed := slices.Clone(tokens)
	changed[0]++
	c := engine.HashBlocks(nil, 1, changed, 16)
	for i := range a {
		if a[i] == b[i] || a[i] == c[i] {
			t.Errorf("block %d has the same hash though what is before it differs", i)
		}
	}
	if continued := engine.HashBlocks(slices.Clone(a[:2]), 1, tokens, 16); !slices.Equal(continued, a) {
		t.Error("continuing a chain gives other hashes than building it at once")
	}
}

func TestCache_EvictsTheOldestSequenceTailFirst(t *testing.T) {
	// 20 blocks. A and B leave 6 blocks each; C needs 10 and gets the 8 that were never used and the two last ones of A.
	r := newRig(t, engine.CoreConfig{Blocks: 20})
	a, b, c := chain(1, 6), chain(2, 6), chain(3, 10)
	r.do(96, 1, a)
	r.do(96, 1, b)
	r.do(160, 1, c)
	if q := r.do(97, 1, a); q.Cached != 64 {
		t.Errorf("%d tokens of A are left, want 64", q.Cached)
	}
}

func TestCache_UseMakesABlockYoungAgain(t *testing.T) {
	// 14 blocks hold A and B of 6 each. A is used once more, so that C takes its blocks from B.
	r := newRig(t, engine.CoreConfig{Blocks: 14})
	a, b, c := chain(1, 7), chain(2, 7), chain(3, 7)
	r.do(96, 1, a)
	r.do(96, 1, b)
	r.do(97, 1, a)
	r.do(96, 1, c)
	if q := r.do(97, 1, a); q.Cached != 96 {
		t.Errorf("%d tokens of A are left, want 96", q.Cached)
	}
	if q := r.do(97, 1, b); q.Cached != 0 {
		t.Errorf("%d tokens of B are left, want none: C took five blocks and A's last turn the sixth", q.Cached)
	}
}

// A block is known by its hash from the step on that fills it, as in vLLM's KVCacheManager.allocate_slots: of equal
// prompts that one step admits only the first is computed.
func TestCache_EqualPromptsInOneStepAreComputedOnce(t *testing.T) {
	r := newRig(t, engine.CoreConfig{})
	blocks := chain(1, 6)
	first, second := r.start(100, 1, blocks), r.start(100, 1, blocks)
	r.finish()
	if first.Cached != 0 || second.Cached != 96 {
		t.Errorf("cached %d and %d, want 0 and 96: the second finds what the first will have computed", first.Cached, second.Cached)
	}
	if q := r.do(100, 1, blocks); q.Cached != 96 {
		t.Errorf("cached %d afterwards, want 96", q.Cached)
	}
}

func TestCore_ChunksAPromptOverSteps(t *testing.T) {
	r := newRig(t, engine.CoreConfig{MaxBatchedTokens: 100})
	q := r.do(250, 1, nil)
	if got := r.Counters().Steps; got != 3 {
		t.Errorf("%d steps for 250 tokens at 100 a step, want 3", got)
	}
	if q.FirstToken == 0 || q.FirstToken != q.Finished {
		t.Errorf("first token at %v, end at %v: want one time for one token", q.FirstToken, q.Finished)
	}
}

func TestCore_DecodesGoBeforePrompts(t *testing.T) {
	r := newRig(t, engine.CoreConfig{MaxBatchedTokens: 64})
	early := r.start(16, 50, nil)
	r.Advance(r.Next()) // starts
	r.Advance(r.Next()) // first token
	r.start(640, 1, nil)
	for range 10 {
		r.Advance(r.Next())
	}
	if early.Generated != 11 {
		t.Errorf("the running request has %d tokens after 11 steps, want 11: a long prompt must not stop it", early.Generated)
	}
}

func TestCore_PreemptsTheLastRequestAndResumesItFirst(t *testing.T) {
	// Ten blocks: two requests of 4 blocks each grow to 6 each. The second one has to give way, keeps its tokens, and
	// finds its prompt's blocks again when it comes back, which is not counted as a hit.
	r := newRig(t, engine.CoreConfig{Blocks: 10})
	a, b := r.start(64, 32, chain(1, 6)), r.start(64, 32, chain(2, 6))
	c := r.start(16, 1, nil)
	r.finish()
	if a.Preemptions != 0 || b.Preemptions == 0 {
		t.Errorf("preemptions %d and %d, want none of the first and some of the second", a.Preemptions, b.Preemptions)
	}
	if a.Generated != 32 || b.Generated != 32 || c.Generated != 1 {
		t.Errorf("generated %d, %d, %d, want 32, 32, 1", a.Generated, b.Generated, c.Generated)
	}
	n := r.Counters()
	if n.Queries != 144 || n.Hits != 0 {
		t.Errorf("queries %d hits %d, want 144 and 0: only first admissions count", n.Queries, n.Hits)
	}
	if n.KVUse != 0 || n.Running != 0 || n.Waiting != 0 {
		t.Errorf("after the end: %+v, want an idle engine", n)
	}
}

func TestCore_TheFirstThatDoesNotFitBlocksTheQueue(t *testing.T) {
	r := newRig(t, engine.CoreConfig{Blocks: 10})
	r.start(128, 16, nil)
	big, small := r.start(64, 1, nil), r.start(16, 1, nil)
	r.finish()
	if small.Scheduled < big.Scheduled {
		t.Errorf("the small request overtook: %v before %v", small.Scheduled, big.Scheduled)
	}
}

func TestCore_AbortFreesBlocksInEveryState(t *testing.T) {
	r := newRig(t, engine.CoreConfig{Blocks: 10})
	running, waiting := r.start(128, 30, nil), r.start(128, 30, nil)
	r.Advance(r.Next())
	if n := r.Counters(); n.Running != 1 || n.Waiting != 1 {
		t.Fatalf("running %d waiting %d, want 1 and 1", n.Running, n.Waiting)
	}
	if !r.Abort(waiting) || !r.Abort(running) || r.Abort(running) {
		t.Error("Abort must report true once for each request under way")
	}
	if n := r.Counters(); n.Running != 0 || n.Waiting != 0 || n.KVUse != 0 {
		t.Errorf("after the aborts: %+v", n)
	}
	r.finish()
	if q := r.do(128, 1, nil); q.Generated != 1 {
		t.Error("the engine does not work after aborts")
	}
}

func TestCore_SameSeedSameRun(t *testing.T) {
	run := func(seed uint64) time.Duration {
		core := engine.New(engine.CoreConfig{Seed: seed})
		q := &engine.Request{Prompt: 500, Output: 100}
		if err := core.Submit(q, 0); err != nil {
			t.Fatal(err)
		}
		for core.Next() != engine.Never {
			core.Advance(core.Next())
		}
		return q.Finished
	}
	one, again := run(1), run(1)
	if one != again {
		t.Error("equal seeds gave different times")
	}
	if one == run(2) {
		t.Error("different seeds gave the same times")
	}
}

func TestCore_AdvanceAtOnceEqualsAdvanceByStep(t *testing.T) {
	var want, got []time.Duration
	for _, jump := range []bool{false, true} {
		core := engine.New(engine.CoreConfig{Seed: 7})
		for i := range 5 {
			if err := core.Submit(&engine.Request{Prompt: 100 + i, Output: 40}, 0); err != nil {
				t.Fatal(err)
			}
		}
		times := &want
		if jump {
			times = &got
		}
		for core.Next() != engine.Never {
			now := core.Next()
			if jump {
				now = time.Hour
			}
			for _, e := range core.Advance(now) {
				*times = append(*times, e.At)
			}
		}
	}
	if !slices.Equal(want, got) {
		t.Error("a long Advance gives other times than many short ones")
	}
}

// A clock that comes late finds the queue's next request ready only after the last running one had ended.
func TestCore_LateAdvanceAfterAPause(t *testing.T) {
	r := newRig(t, engine.CoreConfig{Blocks: 100, Ingest: 5 * time.Millisecond})
	r.start(10, 1, nil)
	r.Advance(r.Next())
	late := &engine.Request{Prompt: 10, Output: 2}
	if err := r.Submit(late, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := len(r.Advance(2 * time.Hour)); got != 3 || r.Next() != engine.Never {
		t.Errorf("%d tokens and next at %v, want 3 and never", got, r.Next())
	}
}

package balancer_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/affinity"
	"github.com/warmlane/warmlane/tokenize"
)

// cachingEngine is one endpoint whose engine keeps so many blocks, and tells after each answer how much of the prompt it had.
type cachingEngine struct {
	*fleet
	cache *affinity.Index
	match affinity.Match
	tells func(depth int) int // cached blocks that it tells for so many that it has
}

func newCachingEngine(t testing.TB, blocks int, options ...option) *cachingEngine {
	e := &cachingEngine{fleet: newFleet(t, "warm", 1, options...), cache: affinity.New(1), tells: func(depth int) int { return depth }}
	e.cache.SetBudget(0, blocks)
	return e
}

// ask sends a prompt, and returns how much of it was predicted to be cached and how much was, in blocks.
func (e *cachingEngine) ask(t testing.TB, p *tokenize.Prompt) (predicted, cached float64) {
	t.Helper()
	l := e.send(t, p)
	predicted = float64(l.Decision().Matched) / 64
	e.cache.Walk(p.Blocks, e.now, &e.match)
	depth := e.tells(int(e.match.Depth[0]))
	e.cache.Use(0, p.Blocks, &e.match, e.now)
	e.cache.Finish(0, p.Blocks, nil)
	e.later(300 * time.Millisecond)
	l.FirstToken(e.now)
	e.later(700 * time.Millisecond)
	o := done(20)
	o.PromptTokens, o.CachedTokens = p.Tokens, depth*64
	l.End(o, e.now)
	return predicted, float64(depth)
}

// conversations asks n times, mostly those of 300 conversations of 20 blocks that are popular.
func (e *cachingEngine) conversations(t testing.TB, n int) (wrong float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, uint64(n)))
	popular := rand.NewZipf(r, 1.1, 10, 299)
	for range n {
		predicted, cached := e.ask(t, prompt(popular.Uint64(), 1, 0, 20))
		wrong += math.Abs(predicted-cached) / float64(n)
	}
	return wrong
}

func (e *cachingEngine) budget() int { return e.Status(e.now)[0].IndexBudget }

func TestTrust_BudgetIsTheEngines(t *testing.T) {
	e := newCachingEngine(t, 2000)
	if got := e.budget(); got != 250_000/64 {
		t.Errorf("before the engine has told its size the budget is %d blocks", got)
	}
	e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 128_000, Started: start}, e.now)
	if e.conversations(t, 3000); e.budget() != 2000 {
		t.Errorf("an engine that keeps what it told has a budget of %d blocks, want 2000", e.budget())
	}
}

// Blocks are equal in bytes; how many of them fit depends on the tokens they make.
func TestTrust_BudgetCountsBlocksAsLongAsTheyAre(t *testing.T) {
	for _, tokens := range []int{48, 85} { // English prose, and JSON
		f := newFleet(t, "warm", 1)
		for i := range 500 {
			p := prompt(uint64(i%30), 1, 0, 20)
			p.Tokens, p.Bytes = 20*tokens, 20*tokenize.BlockBytes
			f.answer(f.send(t, p))
			f.answer(f.send(t, &tokenize.Prompt{Bytes: 9, Tokens: 9})) // too short to tell
		}
		f.Observe(f.Endpoints()[0], balancer.Load{KVTokens: 128_000}, f.now)
		if got, want := f.Status(f.now)[0].IndexBudget, 128_000/tokens; got < want*98/100 || got > want*102/100 {
			t.Errorf("with blocks of %d tokens the budget is %d, want %d", tokens, got, want)
		}
	}
}

// Others use the engine too, so that less of its memory is left for our prompts.
func TestTrust_BudgetShrinksToWhatIsLeft(t *testing.T) {
	e := newCachingEngine(t, 1500)
	e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 128_000, Started: start}, e.now)
	first := e.conversations(t, 300)
	e.conversations(t, 5000)
	last := e.conversations(t, 1000)
	if got := e.budget(); got < 1200 || got > 1800 {
		t.Errorf("with 1500 blocks left of 2000 the budget is %d", got)
	}
	t.Logf("%.2f blocks of 20 wrong at first, %.2f in the end", first, last)
	e.cache.SetBudget(0, 2000) // the others leave
	if e.conversations(t, 6000); e.budget() != 2000 {
		t.Errorf("with all 2000 blocks left the budget is %d", e.budget())
	}
}

// An engine that does not tell its size has far less than is guessed.
func TestTrust_BudgetFindsAnUntoldSize(t *testing.T) {
	e := newCachingEngine(t, 600)
	e.conversations(t, 8000)
	if got := e.budget(); got < 480 || got > 780 {
		t.Errorf("with 600 blocks the budget is %d of 3906 guessed ones", got)
	}
	if wrong := e.conversations(t, 1000); wrong > 2 {
		t.Errorf("%.2f blocks of 20 are predicted wrongly on average", wrong)
	}
	e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 64_000}, e.now)
	if got := e.budget(); got != 1000 {
		t.Errorf("once it tells 1000 blocks the budget is %d", got)
	}
}

// What is missing at every age is not missing for want of memory.
func TestTrust_BudgetStaysWhereAgeIsNotToBlame(t *testing.T) {
	for what, tells := range map[string]func(int) int{
		"caches nothing":                 func(int) int { return 0 },
		"reads the last third otherwise": func(depth int) int { return depth * 2 / 3 },
	} {
		e := newCachingEngine(t, 2000)
		e.tells = tells
		e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 128_000, Started: start}, e.now)
		if e.conversations(t, 5000); e.budget() < 2000 {
			t.Errorf("%s: the budget is %d of 2000", what, e.budget())
		}
		if wrong := e.conversations(t, 1000); wrong > 1.5 {
			t.Errorf("%s: %.2f blocks of 20 are predicted wrongly on average", what, wrong)
		}
	}
}

// A conversation of a moment ago is believed while those of long ago are not.
func TestTrust_TellsAgesApart(t *testing.T) {
	e := newCachingEngine(t, 300)
	e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 128_000, Started: start}, e.now) // it has less than half of that: the floor
	e.conversations(t, 5000)
	if got := e.budget(); got != 1000 {
		t.Errorf("the budget is %d blocks, want half of what was told at least", got)
	}
	fresh := prompt(5000, 1, 0, 20)
	e.ask(t, fresh)
	if predicted, _ := e.ask(t, fresh); predicted < 15 {
		t.Errorf("%.1f of 20 blocks of a second ago are believed", predicted)
	}
	for i := range 30 {
		e.ask(t, prompt(uint64(6000+i), 1, 0, 20))
	}
	if predicted, cached := e.ask(t, fresh); predicted > 5 || cached != 0 {
		t.Errorf("%.1f of 20 blocks that have long gone are believed, the engine has %.0f", predicted, cached)
	}
}

func TestTrust_RestartGivesTheBudgetBack(t *testing.T) {
	e := newCachingEngine(t, 1000)
	e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 128_000, Started: start}, e.now)
	if e.conversations(t, 4000); e.budget() > 1300 {
		t.Fatalf("the budget is %d before the restart", e.budget())
	}
	e.ask(t, prompt(1, 1, 0, 20))
	running := e.send(t, prompt(1, 1, 0, 20))
	e.later(time.Hour)
	e.Observe(e.Endpoints()[0], balancer.Load{Started: e.now}, e.now)
	if got := e.budget(); got != 2000 {
		t.Errorf("after a restart the budget is %d, want 2000", got)
	}
	o := done(20)
	o.PromptTokens, o.CachedTokens = 1290, 0
	running.End(o, e.now)
	if q := e.Status(e.now)[0].Trust; q != 1 {
		t.Errorf("an answer of the process before makes trust in the one after it %.2f", q)
	}
}

func TestTrust_AdoptKeepsTheBudget(t *testing.T) {
	e := newCachingEngine(t, 1000)
	e.Observe(e.Endpoints()[0], balancer.Load{KVTokens: 128_000, Started: start}, e.now)
	e.conversations(t, 4000)
	next := newFleet(t, "warm", 1)
	next.Adopt(e.Pool)
	if got, want := next.Status(e.now)[0].IndexBudget, e.budget(); got != want || want == 2000 {
		t.Errorf("after a reload the budget is %d, want %d", got, want)
	}
}

package engine_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// conversation is one session of the published workload; its blocks are those of the whole history.
type conversation struct {
	id, turn int
	outputs  []int
	blocks   []uint64
	request  engine.Request
}

// prompt returns the length of the present turn's prompt: each turn adds 200 tokens to the history.
func (c *conversation) prompt() int {
	n := 200 * (c.turn + 1)
	for _, out := range c.outputs[:c.turn] {
		n += out
	}
	return n
}

func newConversations(seed uint64) []*conversation {
	rng := rand.New(rand.NewPCG(seed, 0))
	all := make([]*conversation, 60)
	for i := range all {
		c := &conversation{id: i}
		total := 0
		for range 5 {
			out := min(800, gamma(rng, 2.2, 300))
			c.outputs = append(c.outputs, out)
			total += 200 + out
		}
		c.blocks = chain(uint32(seed)*100+uint32(i)+1, total/16+1)
		all[i] = c
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// gamma draws by summing exponentials for the whole part of the shape and by rejection for the rest.
func gamma(rng *rand.Rand, shape, mean float64) int {
	d := shape - 1.0/3
	for {
		x := rng.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return max(1, int(d*v*mean/shape))
		}
	}
}

type outcome struct {
	hit, ttft, e2e float64 // share, ms, ms
	requests       int
}

// runHeadline plays 60 conversations of 5 turns, 20 at once, on three A10-class replicas; choose is the policy.
func runHeadline(t *testing.T, seed uint64, choose func(c *conversation, n int) int) outcome {
	t.Helper()
	cores := make([]*engine.Core, 3)
	for i := range cores {
		cores[i] = engine.New(engine.CoreConfig{Seed: seed*10 + uint64(i), Ingest: 2 * time.Millisecond})
	}
	queue, sent := newConversations(seed), 0
	submit := func(c *conversation, now time.Duration) {
		core := cores[choose(c, sent)]
		sent++
		core.Advance(now)
		c.request = engine.Request{Prompt: c.prompt(), Output: c.outputs[c.turn], Blocks: c.blocks, Tag: c}
		if err := core.Submit(&c.request, now); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(now time.Duration) {
		if len(queue) > 0 {
			submit(queue[0], now)
			queue = queue[1:]
		}
	}
	for range 20 {
		begin(0)
	}
	var o outcome
	for {
		core := cores[0]
		for _, other := range cores[1:] {
			if other.Next() < core.Next() {
				core = other
			}
		}
		now := core.Next()
		if now == engine.Never {
			break
		}
		var ended []*conversation
		for _, e := range core.Advance(now) {
			if e.Last {
				ended = append(ended, e.Request.Tag.(*conversation))
			}
		}
		for _, c := range ended {
			o.requests++
			o.ttft += (c.request.FirstToken - c.request.Arrived).Seconds() * 1e3
			o.e2e += (c.request.Finished - c.request.Arrived).Seconds() * 1e3
			if c.turn++; c.turn < 5 {
				submit(c, now)
			} else {
				begin(now)
			}
		}
	}
	var queries, hits uint64
	for _, core := range cores {
		n := core.Counters()
		queries, hits = queries+n.Queries, hits+n.Hits
	}
	o.hit = float64(hits) / float64(queries)
	o.ttft /= float64(o.requests)
	o.e2e /= float64(o.requests)
	return o
}

// TestCore_HeadlineWorkload checks the published comparison: spreading turns over three replicas finds about 0.43 of
// the prompt tokens in their caches, keeping a conversation on one replica about 0.83, and halves the time to the
// first token.
func TestCore_HeadlineWorkload(t *testing.T) {
	const seeds = 10
	var rr, affinity outcome
	for seed := range uint64(seeds) {
		a := runHeadline(t, seed, func(_ *conversation, n int) int { return n % 3 })
		b := runHeadline(t, seed, func(c *conversation, _ int) int { return c.id % 3 })
		for _, o := range []outcome{a, b} {
			if o.requests != 300 {
				t.Fatalf("seed %d: %d requests, want 300", seed, o.requests)
			}
		}
		rr.hit, rr.ttft, rr.e2e = rr.hit+a.hit/seeds, rr.ttft+a.ttft/seeds, rr.e2e+a.e2e/seeds
		affinity.hit, affinity.ttft, affinity.e2e = affinity.hit+b.hit/seeds, affinity.ttft+b.ttft/seeds, affinity.e2e+b.e2e/seeds
	}
	t.Logf("round robin: hit %.3f, TTFT %.0f ms, request %.0f ms", rr.hit, rr.ttft, rr.e2e)
	t.Logf("affinity:    hit %.3f, TTFT %.0f ms (%+.1f %%), request %.0f ms (%+.1f %%)", affinity.hit, affinity.ttft,
		100*(affinity.ttft/rr.ttft-1), affinity.e2e, 100*(affinity.e2e/rr.e2e-1))
	if rr.hit < 0.40 || rr.hit > 0.46 {
		t.Errorf("round robin hits %.3f, want about 0.43", rr.hit)
	}
	if affinity.hit < 0.81 || affinity.hit > 0.84 {
		t.Errorf("affinity hits %.3f, want about 0.83", affinity.hit)
	}
	if affinity.ttft > 0.62*rr.ttft {
		t.Errorf("affinity's TTFT is %.2f of round robin's, want about 0.55", affinity.ttft/rr.ttft)
	}
}

package balancer_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/tokenize"
)

var start = time.Unix(1_800_000_000, 0)

// fleet is a pool under test with its own clock.
type fleet struct {
	*balancer.Pool
	now time.Time
}

type option func(*balancer.PoolConfig)

func newFleet(t testing.TB, policy string, endpoints int, options ...option) *fleet {
	t.Helper()
	p, err := policies.New(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := balancer.PoolConfig{Name: "test", Policy: p, Seed: 7}
	for i := range endpoints {
		cfg.Endpoints = append(cfg.Endpoints, balancer.EndpointConfig{URL: url(i)})
	}
	for _, o := range options {
		o(&cfg)
	}
	pool, err := balancer.NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &fleet{Pool: pool, now: start}
}

func url(i int) string {
	return "http://10.0." + string(rune('a'+i/26)) + "." + string(rune('a'+i%26))
}

// prompt makes a prompt of whole blocks whose first shared blocks are those of the trunk.
func prompt(trunk, branch uint64, shared, blocks int) *tokenize.Prompt {
	p := &tokenize.Prompt{Bytes: blocks*tokenize.BlockBytes + 40, Tokens: blocks*64 + 10}
	for i := range blocks {
		seed := trunk
		if i >= shared {
			seed = trunk<<20 ^ branch
		}
		p.Blocks = append(p.Blocks, (seed+1)*0x9e3779b97f4a7c15^uint64(i+1)*0xc2b2ae3d27d4eb4f)
	}
	return p
}

func (f *fleet) later(d time.Duration) { f.now = f.now.Add(d) }

// send chooses for a new request and fails the test when nothing can be chosen.
func (f *fleet) send(t testing.TB, p *tokenize.Prompt) *balancer.Lease {
	t.Helper()
	return f.try(t, &balancer.Request{Prompt: p})
}

func (f *fleet) try(t testing.TB, r *balancer.Request) *balancer.Lease {
	t.Helper()
	l, err := f.Choose(r, f.now)
	if err != nil {
		t.Fatalf("choosing: %v", err)
	}
	return l
}

// answer lets a lease run to a good end at the speed of a usual engine.
func (f *fleet) answer(l *balancer.Lease) {
	f.later(50 * time.Millisecond)
	l.FirstToken(f.now)
	f.later(20 * time.Millisecond)
	l.Token(f.now, 1)
	l.End(done(2), f.now)
}

func done(tokens int) balancer.Outcome {
	return balancer.Outcome{Cause: balancer.OK, PromptTokens: -1, CachedTokens: -1, OutputTokens: tokens, Streamed: true}
}

func ended(c balancer.Cause) balancer.Outcome {
	return balancer.Outcome{Cause: c, PromptTokens: -1, CachedTokens: -1, OutputTokens: -1}
}

// TestPool_CountsAreExact drives random lives of requests and compares every count with a plain sum over those in
// flight; at the end all must be zero.
func TestPool_CountsAreExact(t *testing.T) {
	for _, policy := range policies.Names() {
		t.Run(policy, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { liveRandomly(t, policy) })
		})
	}
}

type flight struct {
	lease   *balancer.Lease
	prompt  int
	charged int
	relayed int
	first   bool
	whole   bool // its first token is presumed at some moment that the test does not know
}

func liveRandomly(t *rapid.T, policy string) {
	p, err := policies.New(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := balancer.PoolConfig{Name: "test", Policy: p, DefaultKVTokens: 3000}
	for i := range rapid.IntRange(1, 5).Draw(t, "endpoints") {
		cfg.Endpoints = append(cfg.Endpoints, balancer.EndpointConfig{URL: url(i), MaxConcurrency: i * 3})
	}
	pool, err := balancer.NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	var flying []*flight
	pick := func(t *rapid.T) *flight {
		if len(flying) == 0 {
			t.Skip("nothing in flight")
		}
		return flying[rapid.IntRange(0, len(flying)-1).Draw(t, "which")]
	}
	end := func(fl *flight, o balancer.Outcome) {
		fl.lease.End(o, now)
		fl.lease.End(ended(balancer.Cut), now)
		fl.lease.FirstToken(now)
		fl.lease.Token(now, 9)
		for i := range flying {
			if flying[i] == fl {
				flying = append(flying[:i], flying[i+1:]...)
				return
			}
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"choose": func(t *rapid.T) {
			r := &balancer.Request{Prompt: prompt(rapid.Uint64Range(0, 3).Draw(t, "trunk"),
				rapid.Uint64Range(0, 9).Draw(t, "branch"), 3, rapid.IntRange(0, 12).Draw(t, "blocks")), Whole: rapid.IntRange(0, 9).Draw(t, "whole") == 0}
			l, err := pool.Choose(r, now)
			if err != nil {
				return
			}
			flying = append(flying, &flight{lease: l, whole: r.Whole, prompt: r.Prompt.Tokens, charged: l.Decision().Uncached})
		},
		"first token": func(t *rapid.T) {
			fl := pick(t)
			if fl.whole {
				t.Skip("it has no first token")
			}
			fl.lease.FirstToken(now)
			if !fl.first {
				fl.first, fl.relayed = true, 1
			}
		},
		"token": func(t *rapid.T) {
			fl, n := pick(t), rapid.IntRange(0, 4).Draw(t, "tokens")
			fl.lease.Token(now, n)
			if fl.first {
				fl.relayed += max(1, n)
			}
		},
		"end": func(t *rapid.T) {
			fl := pick(t)
			o := ended(balancer.Cause(rapid.IntRange(0, balancer.NumCauses-1).Draw(t, "cause")))
			o.OutputTokens = rapid.IntRange(-1, 500).Draw(t, "output")
			o.CachedTokens, o.PromptTokens = rapid.IntRange(-1, 900).Draw(t, "cached"), rapid.IntRange(-1, 900).Draw(t, "prompt")
			o.Answer = prompt(9, 9, 9, rapid.IntRange(0, 3).Draw(t, "answer")).Blocks
			end(fl, o)
		},
		"time": func(t *rapid.T) {
			now = now.Add(time.Duration(rapid.IntRange(-500, 5000).Draw(t, "ms")) * time.Millisecond)
			for _, pr := range pool.Due(now) {
				var err error
				if rapid.Bool().Draw(t, "fails") {
					err = errors.New("refused")
				}
				pool.Probed(pr, err, now)
			}
		},
		"restart": func(t *rapid.T) {
			e := pool.Endpoints()[rapid.IntRange(0, len(pool.Endpoints())-1).Draw(t, "endpoint")]
			pool.Observe(e, balancer.Load{Running: 3, Started: now, KVTokens: rapid.IntRange(64, 5000).Draw(t, "kv")}, now)
		},
		"": func(t *rapid.T) { compareCounts(t, pool, flying, now) },
	})
	for len(flying) > 0 {
		end(flying[0], ended(balancer.ClientGone))
	}
	compareCounts(t, pool, nil, now)
}

func compareCounts(t *rapid.T, pool *balancer.Pool, flying []*flight, now time.Time) {
	for _, s := range pool.Status(now) {
		var n, d, a, x, presumed, presumedTokens int
		for _, fl := range flying {
			if fl.lease.Endpoint().URL() != s.URL {
				continue
			}
			n++
			if fl.whole {
				presumed, presumedTokens = presumed+1, presumedTokens+fl.charged
				x += fl.prompt
				continue
			}
			x += fl.prompt + fl.relayed
			if fl.first {
				d++
			} else {
				a += fl.charged
			}
		}
		if n != s.InFlight || x != s.Context || s.Decoding < d || s.Decoding > d+presumed ||
			s.Pending < a || s.Pending > a+presumedTokens {
			t.Fatalf("%s counts n=%d d=%d A=%d X=%d, want %d %d %d %d",
				s.URL, s.InFlight, s.Decoding, s.Pending, s.Context, n, d, a, x)
		}
		if s.IndexBlocks > s.IndexBudget {
			t.Fatalf("%s holds %d blocks of %d", s.URL, s.IndexBlocks, s.IndexBudget)
		}
		for what, v := range map[string]float64{"W": s.Step, "b": s.PerContext, "r": s.Rate, "q": s.Trust} {
			if !(v > 0) || v > 1e9 {
				t.Fatalf("%s believes %s = %v", s.URL, what, v)
			}
		}
	}
}

func TestPool_ConcurrentUseLosesNothing(t *testing.T) {
	f := newFleet(t, "warm", 8)
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			now := start
			for i := range 60 {
				r := &balancer.Request{Prompt: prompt(uint64(g%4), uint64(g), 4, 4+i%9)}
				l, err := f.Choose(r, now)
				if err != nil {
					t.Errorf("choosing: %v", err)
					return
				}
				now = now.Add(30 * time.Millisecond)
				l.FirstToken(now)
				for range 5 {
					now = now.Add(20 * time.Millisecond)
					l.Token(now, 1)
				}
				l.End(done(6), now)
				if i%20 == 0 {
					f.Status(now)
					f.Observe(l.Endpoint(), balancer.Load{Running: 1}, now)
					for _, pr := range f.Due(now) {
						f.Probed(pr, nil, now)
					}
				}
			}
		})
	}
	wg.Wait()
	sent := uint64(0)
	for _, s := range f.Status(start.Add(time.Hour)) {
		sent += s.Sent
		if s.InFlight != 0 || s.Pending != 0 || s.Context != 0 || s.Decoding != 0 {
			t.Errorf("%s still counts n=%d d=%d A=%d X=%d", s.URL, s.InFlight, s.Decoding, s.Pending, s.Context)
		}
	}
	if sent != 64*60 {
		t.Errorf("sent %d requests, want %d", sent, 64*60)
	}
}

func TestPool_RetryNeverReturnsToATriedEndpoint(t *testing.T) {
	for _, policy := range policies.Names() {
		f := newFleet(t, policy, 4)
		p := prompt(1, 1, 5, 20)
		f.answer(f.send(t, p)) // its holder must not win the retries
		r := &balancer.Request{Prompt: p}
		seen := map[string]bool{}
		for range 4 {
			l := f.try(t, r)
			if seen[l.Endpoint().URL()] {
				t.Errorf("%s returned to %s", policy, l.Endpoint().URL())
			}
			seen[l.Endpoint().URL()] = true
			l.End(ended(balancer.ServerError), f.now)
		}
		if _, err := f.Choose(r, f.now); !errors.Is(err, balancer.ErrNoEndpoint) {
			t.Errorf("%s: error after all were tried is %v, want ErrNoEndpoint", policy, err)
		}
	}
}

func TestPool_CapsAreKept(t *testing.T) {
	f := newFleet(t, "warm", 2, func(c *balancer.PoolConfig) {
		for i := range c.Endpoints {
			c.Endpoints[i].MaxConcurrency = 2
		}
	})
	var leases []*balancer.Lease
	for range 4 {
		leases = append(leases, f.send(t, prompt(1, 1, 3, 3)))
	}
	var full *balancer.Saturated
	if _, err := f.Choose(&balancer.Request{}, f.now); !errors.As(err, &full) {
		t.Fatalf("the fifth request gets %v, want Saturated", err)
	}
	f.answer(leases[0])
	f.send(t, nil)
}

func TestPool_AdapterGoesWhereItIsServed(t *testing.T) {
	f := newFleet(t, "round_robin", 3)
	e := f.Endpoints()
	f.Observe(e[0], balancer.Load{Models: []string{"base"}}, f.now)
	f.Observe(e[1], balancer.Load{Models: []string{"base", "adapter"}}, f.now)
	f.Observe(e[2], balancer.Load{Models: []string{"base"}}, f.now)
	for range 6 {
		if l := f.try(t, &balancer.Request{Model: "adapter"}); l.Endpoint() != e[1] {
			t.Errorf("the adapter's request went to %s", l.Endpoint().URL())
		}
	}
	if _, err := f.Choose(&balancer.Request{Model: "other"}, f.now); !errors.Is(err, balancer.ErrNoEndpoint) {
		t.Errorf("error for a model that nobody serves is %v, want ErrNoEndpoint", err)
	}
}

func TestPool_DrainingGetsNothingNew(t *testing.T) {
	f := newFleet(t, "round_robin", 2)
	if err := f.SetAdmin(url(0), balancer.Draining); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if l := f.send(t, nil); l.Endpoint().Index() != 1 {
			t.Error("a draining endpoint got a request")
		}
	}
	if err := f.SetAdmin("http://nowhere", balancer.Enabled); err == nil {
		t.Error("setting the state of an unknown endpoint succeeded")
	}
}

// A cap holds over both pools after a reload: the requests of the old one count, and what waits there goes first.
func TestPool_AdoptKeepsTheCap(t *testing.T) {
	capped := func(c *balancer.PoolConfig) {
		c.Endpoints[0].MaxConcurrency = 2
		c.Queue = balancer.QueueConfig{Max: 10, Wait: 10 * time.Second}
	}
	old := newFleet(t, "random", 1, capped)
	first, second := old.send(t, prompt(1, 1, 0, 1)), old.send(t, prompt(1, 2, 0, 1))
	waiting := old.join(t, &balancer.Request{})
	f := newFleet(t, "random", 1, capped)
	f.Adopt(old.Pool)
	var full *balancer.Saturated
	if _, err := f.Choose(&balancer.Request{}, f.now); !errors.As(err, &full) {
		t.Fatalf("the new pool gives a lease beyond the cap: %v", err)
	}
	newcomer := f.join(t, &balancer.Request{})
	later := newFleet(t, "random", 1, capped)
	later.Adopt(f.Pool)
	f.Due(f.now)
	old.answer(first)
	<-waiting.Done()
	third, err := waiting.Result()
	if err != nil {
		t.Fatal(err)
	}
	f.Due(f.now)
	select {
	case <-newcomer.Done():
		t.Fatal("the place went to both")
	default:
	}
	old.answer(second)
	f.Due(f.now)
	<-newcomer.Done()
	fourth, err := newcomer.Result()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Choose(&balancer.Request{}, f.now); !errors.As(err, &full) {
		t.Errorf("one of each pool, and a third: %v", err)
	}
	if _, err := later.Choose(&balancer.Request{}, f.now); !errors.As(err, &full) {
		t.Errorf("one of each older pool, and one of the third: %v", err)
	}
	old.answer(third)
	f.answer(fourth)
	for range 2 {
		later.send(t, prompt(1, 3, 0, 1))
	}
}

func TestPool_AdoptKeepsWhatWasLearned(t *testing.T) {
	old := newFleet(t, "warm", 2)
	p := prompt(1, 1, 3, 30)
	first := old.send(t, p)
	old.answer(first)
	old.Observe(old.Endpoints()[0], balancer.Load{KVTokens: 100_000}, old.now)
	f := newFleet(t, "warm", 3)
	f.Adopt(old.Pool)
	f.now = old.now
	l := f.send(t, p)
	if l.Endpoint().URL() != first.Endpoint().URL() || l.Decision().Matched != 30*64 {
		t.Errorf("after a reload %d tokens match on %s, want 1920 on %s",
			l.Decision().Matched, l.Endpoint().URL(), first.Endpoint().URL())
	}
	if s := f.Status(f.now)[2]; s.State != balancer.Warming {
		t.Errorf("an endpoint that the reload added is %v, want warming", s.State)
	}
	if s := f.Status(f.now)[0]; s.IndexBudget != 100_000/64 {
		t.Errorf("budget after a reload is %d blocks, want %d", s.IndexBudget, 100_000/64)
	}
}

func TestNewPool_Refuses(t *testing.T) {
	p, _ := policies.New("random", nil)
	one := []balancer.EndpointConfig{{URL: "a"}}
	for what, cfg := range map[string]balancer.PoolConfig{
		"no policy":    {Endpoints: one},
		"no endpoints": {Policy: p},
		"twice":        {Policy: p, Endpoints: append(one, one...)},
	} {
		if _, err := balancer.NewPool(cfg); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

package balancer_test

import (
	"math"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
)

// The failures of routers in the field that concern choice, load and index, each as a test.

// smart are the policies that look at prompts.
func smart() []string {
	return []string{"warm", "lmetric", "lmetric_learned", "prefix", "least_tokens"}
}

func spread(leases []*balancer.Lease, endpoints int) (by []int, most int) {
	by = make([]int, endpoints)
	for _, l := range leases {
		by[l.Endpoint().Index()]++
		most = max(most, by[l.Endpoint().Index()])
	}
	return by, most
}

func TestHerd_TiesDoNotGatherOnOneEndpoint(t *testing.T) {
	for _, policy := range policies.Names() {
		first := map[int]int{}
		for seed := range uint64(60) {
			f := newFleet(t, policy, 4, func(c *balancer.PoolConfig) { c.Seed = seed })
			if policy == "round_robin" || policy == "consistent_hash" { // their first choice is no tie
				continue
			}
			first[f.send(t, prompt(1, 1, 0, 4)).Endpoint().Index()]++
		}
		if len(first) > 0 && len(first) < 4 {
			t.Errorf("%s: of 60 idle pools the first request went to %v, want each of four at times", policy, first)
		}
	}
}

func TestHerd_LoadCountsBeforeAnyAnswer(t *testing.T) {
	for _, policy := range append(smart(), "least_request") {
		f := newFleet(t, policy, 4)
		var leases []*balancer.Lease
		for i := range 40 {
			leases = append(leases, f.send(t, prompt(uint64(i), 1, 0, 10)))
		}
		if by, most := spread(leases, 4); most > 13 {
			t.Errorf("%s: 40 requests at one instant went %v, want about ten each", policy, by)
		}
	}
}

func TestHerd_SiblingsSeeEachOther(t *testing.T) {
	f := newFleet(t, "warm", 4)
	p := prompt(1, 1, 0, 100)
	f.send(t, p)
	f.later(2 * time.Millisecond)
	second := f.send(t, p)
	if second.Decision().BestMatched != 6400 {
		t.Errorf("the sibling sees %d matched tokens before any event, want 6400", second.Decision().BestMatched)
	}
}

func TestHerd_FailedDispatchLeavesNoMatch(t *testing.T) {
	f := newFleet(t, "warm", 3)
	p := prompt(1, 1, 0, 50)
	f.send(t, p).End(ended(balancer.Reset), f.now)
	if d := f.send(t, p).Decision(); d.BestMatched != 0 {
		t.Errorf("%d tokens are believed cached from a request that failed before its first token", d.BestMatched)
	}
}

func TestHerd_RestartedEngineHoldsNothing(t *testing.T) {
	for name, restart := range map[string]func(f *fleet, e *balancer.Endpoint){
		"start time moved": func(f *fleet, e *balancer.Endpoint) {
			f.Observe(e, balancer.Load{Started: f.now}, f.now)
		},
		"counter went back": func(f *fleet, e *balancer.Endpoint) {
			f.Observe(e, balancer.Load{Queries: 20}, f.now)
		},
		"port was closed": func(f *fleet, e *balancer.Endpoint) {
			f.Unobserved(e, f.now)
			for _, err := range []error{errProbe, errProbe, nil} {
				f.later(500 * time.Millisecond)
				f.probe(e.Index(), err)
			}
		},
	} {
		f := newFleet(t, "warm", 1)
		p := prompt(1, 1, 0, 50)
		f.Observe(f.Endpoints()[0], balancer.Load{Started: start, Queries: 9000}, f.now)
		f.answer(f.send(t, p))
		if name == "counter went back" {
			f = newFleet(t, "warm", 1)
			f.Observe(f.Endpoints()[0], balancer.Load{Queries: 9000}, f.now)
			f.answer(f.send(t, p))
		}
		f.later(10 * time.Second)
		restart(f, f.Endpoints()[0])
		f.probe(0, nil)
		if d := f.send(t, p).Decision(); d.Matched != 0 {
			t.Errorf("%s: %d tokens are believed to have outlived it", name, d.Matched)
		}
	}
}

func TestHerd_UnknownIsNotIdle(t *testing.T) {
	f := newFleet(t, "least_request", 3)
	for _, e := range f.Endpoints()[:2] { // the third is never scraped
		f.Observe(e, balancer.Load{Running: 0, Waiting: 0}, f.now)
	}
	var leases []*balancer.Lease
	for range 30 {
		leases = append(leases, f.send(t, nil))
	}
	if by, most := spread(leases, 3); most > 10 {
		t.Errorf("requests went %v, want ten each: the one never scraped is as busy as we made it", by)
	}
	f.later(5 * time.Second) // all samples are stale now
	for _, s := range f.Status(f.now) {
		if s.HasLoad || s.Foreign != 0 || s.InFlight != 10 {
			t.Errorf("%s: stale sample still counts: fresh %v, foreign %v, own %d", s.URL, s.HasLoad, s.Foreign, s.InFlight)
		}
	}
}

func TestHerd_ForeignLoadIsSeenAndFades(t *testing.T) {
	f := newFleet(t, "least_request", 2)
	busy := f.Endpoints()[0]
	own := f.send(t, nil)
	for own.Endpoint() != busy {
		own = f.send(t, nil)
	}
	own2 := f.Status(f.now)[0].InFlight
	f.Observe(busy, balancer.Load{Running: 6, Waiting: 5, Interval: 10 * time.Second}, f.now)
	if got, want := f.Status(f.now)[0].Foreign, float64(11-own2); got != want {
		t.Errorf("foreign load is %v, want %v: ours are not counted twice", got, want)
	}
	for range 6 {
		if l := f.send(t, nil); l.Endpoint() == busy {
			t.Error("sent to the endpoint that others keep busy")
		}
	}
	f.later(10 * time.Second)
	if got, want := f.Status(f.now)[0].Foreign, float64(11-own2)*math.Exp(-2); math.Abs(got-want) > 1e-6 {
		t.Errorf("after 10 s foreign load is %v, want %v", got, want)
	}
}

func TestHerd_UnknownGaugesChangeNothing(t *testing.T) {
	f := newFleet(t, "warm", 2)
	nan := math.NaN()
	for _, e := range f.Endpoints() {
		f.Observe(e, balancer.Load{Running: nan, Waiting: nan, KVUse: nan, Queries: nan, Hits: nan}, f.now)
	}
	for range 10 {
		if cost := f.send(t, prompt(1, 1, 0, 9)).Decision().Cost; math.IsNaN(cost) || math.IsInf(cost, 0) {
			t.Fatalf("cost with unknown gauges is %v", cost)
		}
	}
}

func TestHerd_BusyHolderDoesNotKeepItsPrefix(t *testing.T) {
	for _, policy := range smart() {
		f := newFleet(t, policy, 4)
		p := prompt(1, 1, 0, 20)
		f.answer(f.send(t, p))
		var leases []*balancer.Lease
		for range 80 {
			leases = append(leases, f.send(t, p))
		}
		if by, most := spread(leases, 4); most > 60 {
			t.Errorf("%s: 80 requests for one prefix at once went %v, pinned to its holder", policy, by)
		}
	}
}

func TestHerd_LongSharedHeadIsNoMissInALongerPrompt(t *testing.T) {
	f := newFleet(t, "warm", 4)
	first := f.send(t, prompt(1, 1, 40, 40))
	f.answer(first)
	second := f.send(t, prompt(1, 2, 40, 400)) // a tenth of the prompt matches
	if second.Decision().Matched != 40*64 || second.Endpoint() != first.Endpoint() {
		t.Errorf("a shared head of 2560 tokens: %d matched on %s, want all on %s",
			second.Decision().Matched, second.Endpoint().URL(), first.Endpoint().URL())
	}
}

func TestHerd_AllHoldersDownSpreadsTheirPrefix(t *testing.T) {
	f := newFleet(t, "warm", 4)
	p := prompt(1, 1, 0, 30)
	holder := f.send(t, p)
	f.answer(holder)
	if err := f.SetAdmin(holder.Endpoint().URL(), balancer.Disabled); err != nil {
		t.Fatal(err)
	}
	var leases []*balancer.Lease
	for i := range 60 {
		leases = append(leases, f.send(t, prompt(1, uint64(i), 30, 60)))
	}
	if by, most := spread(leases, 4); most > 30 {
		t.Errorf("with the holder gone 60 requests of its prefix went %v, herded onto one", by)
	}
}

func TestHerd_TrustFollowsTheEngine(t *testing.T) {
	f := newFleet(t, "warm", 1)
	p := prompt(1, 1, 0, 50)
	for range 80 {
		l := f.send(t, p)
		o := done(10)
		o.PromptTokens, o.CachedTokens = 3000, 0 // the engine caches nothing, whatever is believed
		l.FirstToken(f.now.Add(time.Second))
		f.later(2 * time.Second)
		l.End(o, f.now)
	}
	if d := f.send(t, p).Decision(); d.Matched > 100 {
		t.Errorf("%d tokens are still predicted of an engine that has cached none in 80 answers", d.Matched)
	}
}

func TestHerd_LongSessionsStayInLargePools(t *testing.T) {
	f := newFleet(t, "warm", 300)
	first := f.send(t, prompt(1, 1, 0, 80))
	f.answer(first)
	for i := range 299 {
		f.answer(f.send(t, prompt(uint64(i+2), 1, 0, 10)))
	}
	again := f.send(t, prompt(1, 1, 0, 84))
	if again.Endpoint() != first.Endpoint() || again.Decision().Candidates > 32 {
		t.Errorf("the holder is chosen: %v, among %d candidates, want it among at most 32",
			again.Endpoint() == first.Endpoint(), again.Decision().Candidates)
	}
}

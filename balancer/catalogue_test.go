package balancer_test

import (
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/tokenize"
)

// What is left of the failures of routers in the field; README.md lists all of them and which test shows each.

// at sends p to endpoint e, whatever the policy would do.
func (f *fleet) at(t testing.TB, e int, p *tokenize.Prompt) *balancer.Lease {
	t.Helper()
	return f.try(t, &balancer.Request{Prompt: p, Only: url(e)})
}

// readers keep n answers running on endpoint e, of short prompts that nobody else has.
func (f *fleet) readers(t testing.TB, e, n int) {
	t.Helper()
	for i := range n {
		f.at(t, e, prompt(uint64(1000+e*100+i), 1, 0, 2)).FirstToken(f.now)
	}
}

// Routers that compare the fleet's most and least loaded switch affinity off for everybody while one endpoint is hot.
func TestCatalogue_OneHotEndpointEndsNobodysAffinity(t *testing.T) {
	for _, policy := range smart() {
		f := newFleet(t, policy, 4)
		for e := range 4 {
			f.answer(f.at(t, e, prompt(uint64(e+1), 1, 0, 60)))
		}
		f.readers(t, 0, 80)
		f.at(t, 0, prompt(99, 1, 0, 500))
		for e := 1; e < 4; e++ {
			if l := f.send(t, prompt(uint64(e+1), 1, 0, 62)); l.Endpoint().Index() != e {
				t.Errorf("%s: while another endpoint is hot a conversation left its own, %d, for %s", policy, e, l.Endpoint().URL())
			}
		}
	}
}

// Of a prompt of a few words most may be cached and little is gained by it.
func TestCatalogue_HighShareOfAShortPromptIsLittle(t *testing.T) {
	for _, policy := range []string{"warm", "lmetric", "lmetric_learned", "least_tokens"} {
		f := newFleet(t, policy, 2)
		f.answer(f.at(t, 0, prompt(1, 1, 0, 2)))
		f.at(t, 0, prompt(9, 9, 0, 100))
		if l := f.send(t, prompt(1, 1, 0, 2)); l.Endpoint().Index() != 1 {
			t.Errorf("%s: 128 cached tokens of 138 held a request behind 6,400 that are to be prefilled", policy)
		}
	}
}

func TestCatalogue_TokensNotRequests(t *testing.T) {
	for _, policy := range []string{"warm", "lmetric", "lmetric_learned", "least_tokens", "cost", "llmd", "linear"} {
		f := newFleet(t, policy, 2)
		f.at(t, 0, prompt(1, 1, 0, 400))
		for i := range 3 {
			f.at(t, 1, prompt(uint64(10+i), 1, 0, 2))
		}
		if l := f.send(t, prompt(50, 1, 0, 10)); l.Endpoint().Index() != 1 {
			t.Errorf("%s: behind one prompt of 25,600 tokens instead of three of 128", policy)
		}
	}
}

// Neither a probe nor a scrape that does not see what was sent a moment ago takes it for gone.
func TestCatalogue_ProbesAndScrapesLeaveOurLoadAlone(t *testing.T) {
	f := newFleet(t, "warm", 2, func(c *balancer.PoolConfig) { c.ProbeIdle, c.ProbeHealthEvery = true, time.Second })
	f.at(t, 0, prompt(1, 1, 0, 100))
	f.at(t, 0, prompt(2, 1, 0, 10)).FirstToken(f.now)
	before := f.Status(f.now)[0]
	probes := 0
	for range 30 {
		f.later(time.Second)
		kinds, _ := f.probe(0, nil)
		probes += len(kinds)
		f.Observe(f.Endpoints()[0], balancer.Load{Running: 0, Waiting: 0, KVUse: 0}, f.now)
		f.Unobserved(f.Endpoints()[0], f.now)
	}
	after := f.Status(f.now)[0]
	if after.InFlight != before.InFlight || after.Decoding != before.Decoding || after.Pending != before.Pending || after.Context != before.Context {
		t.Errorf("n=%d d=%d A=%d X=%d became n=%d d=%d A=%d X=%d", before.InFlight, before.Decoding, before.Pending, before.Context,
			after.InFlight, after.Decoding, after.Pending, after.Context)
	}
	if probes == 0 {
		t.Error("nothing was probed")
	}
	if l := f.send(t, prompt(3, 1, 0, 10)); l.Endpoint().Index() != 1 {
		t.Error("the endpoint that has just been scraped as idle got the next request")
	}
}

// A dead sensor whose last word was "idle" must not draw all traffic.
func TestCatalogue_LastSeenIdleFillsUp(t *testing.T) {
	for _, policy := range append(smart(), "least_request", "cost", "gpu") {
		f := newFleet(t, policy, 3)
		f.Observe(f.Endpoints()[0], balancer.Load{}, f.now) // and never again
		var leases []*balancer.Lease
		for i := range 60 {
			f.later(100 * time.Millisecond)
			for _, e := range f.Endpoints()[1:] {
				f.Observe(e, balancer.Load{Running: float64(f.Status(f.now)[e.Index()].InFlight)}, f.now)
			}
			leases = append(leases, f.send(t, prompt(uint64(i), 1, 0, 4)))
			leases[len(leases)-1].FirstToken(f.now)
		}
		if by, _ := spread(leases, 3); by[0] > 30 {
			t.Errorf("%s: 60 requests went %v, drawn to the one last seen idle", policy, by)
		}
	}
}

// With one request at a time nothing is ever in flight at the choice, and all loads are equal.
func TestCatalogue_OneAfterTheOther(t *testing.T) {
	for _, policy := range append(smart(), "least_request", "cost", "llmd", "linear", "cache_aware") {
		f := newFleet(t, policy, 4)
		var leases []*balancer.Lease
		for i := range 200 {
			l := f.send(t, prompt(uint64(i), 1, 0, 20))
			f.answer(l)
			f.later(time.Second)
			leases = append(leases, l)
		}
		if by, most := spread(leases, 4); most > 100 {
			t.Errorf("%s: 200 requests one after the other went %v", policy, by)
		}
	}
}

// An idle holder of nearly all of a prompt is worth more than a busy holder of all.
func TestCatalogue_NotOnlyTheDeepestHolder(t *testing.T) {
	for _, policy := range []string{"warm", "lmetric", "lmetric_learned", "least_tokens", "prefix", "llmd"} {
		f := newFleet(t, policy, 4)
		f.answer(f.at(t, 0, prompt(1, 1, 0, 100)))
		f.answer(f.at(t, 1, prompt(1, 1, 0, 95)))
		f.readers(t, 0, 20)
		f.at(t, 0, prompt(99, 1, 0, 200))
		if l := f.send(t, prompt(1, 1, 0, 100)); l.Endpoint().Index() != 1 {
			t.Errorf("%s: went to %s instead of the idle one that holds 95 of 100 blocks", policy, l.Endpoint().URL())
		}
	}
}

// Overloaded is not a candidate: nobody is sent there to be refused again, not even its own conversation, and the mark does not
// outlive its time.
func TestCatalogue_OverloadedIsNoCandidateForATime(t *testing.T) {
	for _, policy := range smart() {
		f := newFleet(t, policy, 3)
		p := prompt(1, 1, 0, 100)
		f.answer(f.at(t, 0, p))
		f.at(t, 0, p).End(ended(balancer.Capacity), f.now)
		for range 10 {
			l := f.send(t, p)
			if l.Endpoint().Index() == 0 || l.Decision().Candidates != 2 {
				t.Fatalf("%s: chose %s among %d", policy, l.Endpoint().URL(), l.Decision().Candidates)
			}
			l.End(ended(balancer.Cancelled), f.now)
		}
		f.later(time.Second)
		if l := f.send(t, p); l.Endpoint().Index() != 0 || l.Decision().Candidates != 3 {
			t.Errorf("%s: a second later %s of %d candidates", policy, l.Endpoint().URL(), l.Decision().Candidates)
		}
	}
}

// The index does not grow with traffic, whatever its prompts share.
func TestCatalogue_IndexForgets(t *testing.T) {
	const kv = 6400 // tokens, 100 blocks
	f := newFleet(t, "warm", 3, func(c *balancer.PoolConfig) { c.DefaultKVTokens = kv })
	fill := func(from, n int) balancer.PoolStatus {
		for i := from; i < from+n; i++ {
			f.answer(f.send(t, prompt(uint64(i%7), uint64(i), i%5*10, 30)))
		}
		return f.Learned()
	}
	first := fill(0, 1000)
	last := fill(1000, 5000)
	if last.IndexHoldings > 3*kv/64 || last.IndexBlocks > last.IndexHoldings || last.IndexBytes > first.IndexBytes {
		t.Errorf("1,000 requests: %+v, 6,000 requests: %+v, want no more than 300 holdings and no more bytes", first, last)
	}
}

// An endpoint that a reload removes takes its part of the index with it.
func TestCatalogue_RemovedEndpointLeavesTheIndex(t *testing.T) {
	old := newFleet(t, "warm", 3)
	p := prompt(1, 1, 0, 50)
	old.answer(old.at(t, 2, p))
	old.answer(old.at(t, 0, prompt(2, 1, 0, 20)))
	f := newFleet(t, "warm", 2)
	f.Adopt(old.Pool)
	f.now = old.now
	if s := f.Learned(); s.IndexBlocks != 20 || s.IndexHoldings != 20 {
		t.Errorf("%d blocks and %d holdings are left, want the 20 of the endpoint that stayed", s.IndexBlocks, s.IndexHoldings)
	}
	if d := f.send(t, p).Decision(); d.BestMatched != 0 {
		t.Errorf("%d tokens match on an endpoint that is gone", d.BestMatched)
	}
}

// Engines keep what they computed until they need the room: a full cache without requests is no load.
func TestCatalogue_ResidentCacheIsNoLoad(t *testing.T) {
	for _, policy := range append(smart(), "llmd", "linear", "cache_aware", "session") {
		f := newFleet(t, policy, 2)
		p := prompt(1, 1, 0, 80)
		r := balancer.Request{Prompt: p, Session: "s", Only: url(0)}
		f.answer(f.try(t, &r))
		f.Observe(f.Endpoints()[0], balancer.Load{KVUse: 0.99, KVTokens: 100_000}, f.now)
		f.Observe(f.Endpoints()[1], balancer.Load{KVUse: 0.01, KVTokens: 100_000}, f.now)
		to := [2]int{}
		for range 40 {
			l := f.try(t, &balancer.Request{Prompt: p, Session: "s"})
			to[l.Endpoint().Index()]++
			l.End(ended(balancer.Cancelled), f.now)
		}
		if to[0] < 40 {
			t.Errorf("%s: %v: left an idle holder because its cache is full", policy, to)
		}
	}
}

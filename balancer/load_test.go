package balancer_test

import (
	"math"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// What a scrape tells beyond our own count is charged as the usual request of the pool, and fades.
func TestLoad_ForeignRequestsAreCharged(t *testing.T) {
	f, _, seen := witnessed(t, 2)
	own := prompt(1, 1, 0, 20)
	for i := range 3 { // two answering, one waiting
		l := f.send(t, own)
		if i < 2 {
			l.FirstToken(f.now)
			l.Token(f.now, 49)
		}
	}
	look := func() (c balancer.Candidate) {
		t.Helper()
		l := f.send(t, prompt(2, 2, 0, 1))
		c = seen.Candidates[0]
		l.End(ended(balancer.ClientGone), f.now)
		return c
	}
	before := look()
	scrape := func(running, waiting float64) balancer.Candidate {
		t.Helper()
		f.Observe(f.Endpoints()[0], balancer.Load{Running: running, Waiting: waiting}, f.now)
		return look()
	}
	same := func(what string, c balancer.Candidate) {
		t.Helper()
		near(t, what+": n", c.InFlight, before.InFlight)
		near(t, what+": d", c.Decoding, before.Decoding)
		near(t, what+": A", c.Pending, before.Pending)
		near(t, what+": X", c.Context, before.Context)
		near(t, what+": D", c.Distinct, before.Distinct)
	}
	same("an engine that has what is ours", scrape(2, 1))
	same("an engine that has taken in ours to prefill", scrape(3, 0))
	same("an engine that has not got all of ours yet", scrape(1, 0))
	for what, gauges := range map[string][2]float64{
		"an engine that does not tell": {math.NaN(), math.NaN()}, "a gauge below nothing": {-5, 90},
		"an endless gauge": {math.Inf(1), 0}, "an absurd gauge": {1e18, 3},
	} {
		same(what, scrape(gauges[0], gauges[1]))
	}

	p := f.Learned()
	c := scrape(2+4, 1+3)
	near(t, "n", c.InFlight, 3+7)
	near(t, "d", c.Decoding, 2+4)
	near(t, "A", c.Pending, before.Pending+3*p.Uncached)
	near(t, "X", c.Context, before.Context+7*(p.Prompt+p.Answer/2))
	near(t, "D", c.Distinct, before.Distinct+7*(p.Prompt+p.Answer/2))
	near(t, "our own n", c.Own, 3)

	f.later(2 * time.Second) // ours come and go without another scrape
	f.send(t, own)
	p = f.Learned()
	c = look()
	near(t, "n two seconds later", c.InFlight, 4+7*math.Exp(-2./5))
	near(t, "d two seconds later", c.Decoding, 2+4*math.Exp(-2./5))
	near(t, "A two seconds later", c.Pending, before.Pending+10+3*math.Exp(-2./5)*p.Uncached)

	f.later(time.Second + 1) // older than three intervals of a second
	c = look()
	near(t, "n of a stale scrape", c.InFlight, 4)
	near(t, "d of a stale scrape", c.Decoding, 2)
	near(t, "A of a stale scrape", c.Pending, before.Pending+10)
	if !math.IsNaN(c.Running) || !math.IsNaN(c.Waiting) || !math.IsNaN(c.KVUse) {
		t.Errorf("a stale scrape still tells running %v, waiting %v, use %v", c.Running, c.Waiting, c.KVUse)
	}
}

func TestLoad_ScrapeOfTheFutureIsUnknown(t *testing.T) {
	f, _, seen := witnessed(t, 1)
	f.Observe(f.Endpoints()[0], balancer.Load{Running: 9, Waiting: 9}, f.now.Add(time.Hour))
	f.send(t, nil)
	near(t, "n", seen.Candidates[0].InFlight, 0)
}

// A request that waits because its endpoint is late waits for an event there, which only our own can bring.
func TestLoad_NobodyWaitsForStrangers(t *testing.T) {
	f := newFleet(t, "warm", 1, func(c *balancer.PoolConfig) {
		c.Queue = balancer.QueueConfig{Max: 10, Wait: time.Minute, Late: 300 * time.Millisecond}
	})
	f.answer(f.send(t, prompt(1, 1, 0, 100)))
	f.Observe(f.Endpoints()[0], balancer.Load{Running: 1, Waiting: 500}, f.now)
	l, ticket, err := f.Enter(&balancer.Request{Prompt: prompt(2, 2, 0, 10)}, f.now)
	if l == nil || ticket != nil || err != nil {
		t.Errorf("with nothing of ours in flight a request gets lease %v, ticket %v, error %v, want a lease", l, ticket, err)
	}
}

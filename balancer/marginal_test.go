package balancer_test

import (
	"math"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
)

// witness chooses the endpoint that the test names and keeps what it was shown.
type witness struct {
	choose *int
	seen   *balancer.View
}

func (w witness) Name() string { return "witness" }

func (w witness) Pick(v *balancer.View) (best, runnerUp int) {
	*w.seen = *v
	w.seen.Candidates = append([]balancer.Candidate(nil), v.Candidates...)
	return *w.choose, -1
}

// witnessed is a fleet whose choices the test makes and sees.
func witnessed(t testing.TB, endpoints int, options ...option) (f *fleet, choose *int, seen *balancer.View) {
	choose, seen = new(int), new(balancer.View)
	options = append(options, func(c *balancer.PoolConfig) { c.Policy = witness{choose, seen} })
	return newFleet(t, "random", endpoints, options...), choose, seen
}

func near(t *testing.T, what string, have, want float64) {
	t.Helper()
	if !(math.Abs(have-want) <= 1e-9*max(1, math.Abs(want))) {
		t.Errorf("%s is %v, want %v", what, have, want)
	}
}

func TestMarginal_IsTheSumOfItsParts(t *testing.T) {
	v := balancer.View{Tokens: 1000, Answer: 200}
	c := balancer.Candidate{
		InFlight: 3, Decoding: 2, Pending: 500, Context: 4000, Uncached: 600, Bought: 400,
		Distinct: 3000, New: 600, Tail: 40, KV: 4000, Step: 0.02, PerContext: 1e-6, Rate: 5000, Floor: 0.03,
	}
	near(t, "S", v.Step(&c), 0.02+1e-6*(4000+1000+100))
	terms := v.Marginal(&c, 0.5)
	near(t, "wait", terms.Wait, 500./5000+400./5000+0.03)
	near(t, "answer", terms.Answer, 200*(0.02+1e-6*(1000+100)+0.5*1e-6*4000))
	near(t, "stall", terms.Stall, 2*400./5000)
	near(t, "company", terms.Company, 0.5*3*200*1e-6*(1000+100))
	over, soft := 3000+600+40+100+3*100-4000., 0.08*4000
	near(t, "memory", terms.Memory, soft*math.Log1p(math.Exp(over/soft))/3000*200*v.Step(&c))

	for what, change := range map[string]func(c *balancer.Candidate){
		"an engine that does not tell its memory": func(c *balancer.Candidate) { c.KV = 0 },
		"nothing in flight":                       func(c *balancer.Candidate) { c.InFlight, c.Decoding, c.Context, c.Distinct = 0, 0, 0, 0 },
	} {
		d := c
		change(&d)
		near(t, "memory with "+what, v.Marginal(&d, 0.5).Memory, 0)
	}
}

func TestView_ExpectedAnswer(t *testing.T) {
	f, _, seen := witnessed(t, 1)
	expect := func(maxTokens int, want float64) {
		t.Helper()
		l := f.try(t, &balancer.Request{MaxTokens: maxTokens})
		near(t, "o", seen.Answer, want)
		l.End(ended(balancer.ClientGone), f.now)
	}
	expect(0, 200)
	expect(50, 50)
	expect(5000, 200)
	f.send(t, nil).End(done(700), f.now)
	expect(0, 200+0.02*(700-200))
	whole := done(100) // not streamed, but counted by the engine
	whole.Streamed = false
	f.send(t, nil).End(whole, f.now)
	expect(0, 210+0.02*(100-210))
	f.send(t, nil).End(ended(balancer.OK), f.now) // nobody counted
	f.send(t, nil).End(ended(balancer.Cut), f.now)
	expect(0, 210+0.02*(100-210))
}

// A block's rate is uses a second: how often each copy will be used while one answer lasts is rate * o * S / copies.
func TestView_CreditIsByUsesASecond(t *testing.T) {
	f, choose, seen := witnessed(t, 3)
	p := prompt(1, 1, 0, 40)
	p.Tokens *= 2 // as in a script of few bytes a token
	uses := 0.0
	for range 100 { // two a second, into the steady state
		f.later(500 * time.Millisecond)
		f.answer(f.send(t, p))
		uses = uses*math.Exp(-0.57/20) + 1 // an answer takes 70 ms
	}
	f.later(500 * time.Millisecond)
	*choose = 1
	l := f.send(t, p)
	c := &seen.Candidates[1]
	k := uses * math.Exp(-0.5/20) / 20 * seen.Answer * seen.Step(c) / (1 + 1)
	if missing := float64(p.TokensIn(40)); math.Abs(c.Bought-(c.Uncached-missing*k/(1+k))) > 0.01*missing {
		t.Errorf("u' is %.0f of %.0f tokens, want %.0f: k = %.2f", c.Bought, c.Uncached, c.Uncached-missing*k/(1+k), k)
	}
	if c := &seen.Candidates[0]; c.Bought != c.Uncached {
		t.Errorf("the holder gets a credit for %v tokens that it has", c.Uncached-c.Bought)
	}
	l.End(done(1), f.now)

	g, _, seen := witnessed(t, 2)
	own := prompt(2, 1, 0, 40)
	g.answer(g.send(t, own)) // one session, its second turn after a minute
	g.later(time.Minute)
	g.send(t, own)
	if c := seen.Candidates[1]; c.Bought < 0.98*c.Uncached {
		t.Errorf("one session's own context is copied: u' is %.0f of %.0f tokens", c.Bought, c.Uncached)
	}
}

package policies_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
)

// view is a request of 6,400 tokens over idle, equal endpoints that hold nothing.
func view(endpoints int) *balancer.View {
	v := &balancer.View{Tokens: 6400, Answer: 200, Last: -1, Endpoints: endpoints, Rand: rand.New(rand.NewPCG(1, 1))}
	for i := range endpoints {
		v.Candidates = append(v.Candidates, balancer.Candidate{
			Index: i, Uncached: 6400, Bought: 6400, New: 6400, KVUse: math.NaN(), Waiting: math.NaN(), Running: math.NaN(),
			Step: 0.02, PerContext: 1.6e-7, Rate: 7500, Floor: 0.02, Weight: 1,
		})
	}
	return v
}

func hold(c *balancer.Candidate, tokens float64) {
	c.Matched, c.Uncached, c.Bought, c.New = tokens, 6400-tokens, 6400-tokens, 6400-tokens
}

func must(t *testing.T, name string, params map[string]any) balancer.Policy {
	t.Helper()
	p, err := policies.New(name, params)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNew_TellsWhatIsWrong(t *testing.T) {
	f := func(name string, params map[string]any, want ...string) {
		t.Helper()
		_, err := policies.New(name, params)
		if err == nil {
			t.Errorf("%s %v: no error", name, params)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s %v: error %q does not say %q", name, params, err, w)
			}
		}
	}
	f("warmest", nil, "warmest", "round_robin", "warm")
	f("warm", map[string]any{"w": 1000}, "0.1 to 100", "1000")
	f("warm", map[string]any{"w": "much"}, "a number", "much")
	f("warm", map[string]any{"speed": 3, "w": -1}, "speed", "rho", "-1")
	f("random", map[string]any{"speed": 3}, "has none")
	f("warm", map[string]any{"w": math.NaN()}, "want")
}

func TestAll_ChooseAmongWhatTheyAreShown(t *testing.T) {
	for _, name := range policies.Names() {
		p := must(t, name, nil)
		if p.Name() != name {
			t.Errorf("policy %s calls itself %s", name, p.Name())
		}
		for n := 1; n <= 3; n++ {
			for range 20 {
				best, second := p.Pick(view(n))
				if best < 0 || best >= n || second == best || second >= n || (n > 1) != (second >= 0) {
					t.Errorf("%s chose %d and %d of %d", name, best, second, n)
				}
			}
		}
	}
}

func TestAll_AvoidTheBusy(t *testing.T) {
	for _, name := range []string{"least_request", "least_tokens", "prefix", "lmetric", "lmetric_learned", "warm"} {
		v := view(3)
		for _, i := range []int{0, 2} {
			c := &v.Candidates[i]
			c.InFlight, c.Own, c.Decoding, c.Pending, c.Context, c.Distinct = 9, 9, 6, 9000, 60000, 60000
		}
		if best, _ := must(t, name, nil).Pick(v); best != 1 {
			t.Errorf("%s chose a busy endpoint", name)
		}
	}
}

func TestPrefixAware_TakeTheHolder(t *testing.T) {
	for _, name := range []string{"least_tokens", "prefix", "lmetric", "lmetric_learned", "warm"} {
		v := view(4)
		hold(&v.Candidates[2], 5000)
		v.Candidates[2].InFlight, v.Candidates[2].Decoding, v.Candidates[2].Context = 1, 1, 3000
		if best, _ := must(t, name, nil).Pick(v); best != 2 {
			t.Errorf("%s did not choose the holder", name)
		}
	}
}

func TestRoundRobin_Turns(t *testing.T) {
	p, v := must(t, "round_robin", nil), view(4)
	for want := range 9 {
		best, _ := p.Pick(v)
		v.Last = v.Candidates[best].Index
		if v.Last != want%4 {
			t.Errorf("turn %d went to %d", want, v.Last)
		}
	}
	v.Candidates = append(v.Candidates[:1], v.Candidates[2:]...) // 1 is out, 0 was last
	if best, _ := p.Pick(v); v.Candidates[best].Index != 2 {
		t.Errorf("after 0 without 1 came %d, want 2", v.Candidates[best].Index)
	}
}

func TestRandom_FollowsWeights(t *testing.T) {
	p, v := must(t, "random", nil), view(2)
	v.Candidates[1].Weight = 3
	second := 0
	for range 4000 {
		if best, _ := p.Pick(v); best == 1 {
			second++
		}
	}
	if second < 2850 || second > 3150 {
		t.Errorf("a weight of 3 to 1 gave %d of 4000, want about 3000", second)
	}
}

func TestPrefix_LeavesAHolderAboveTheBound(t *testing.T) {
	p, v := must(t, "prefix", nil), view(4)
	hold(&v.Candidates[0], 6000)
	v.Candidates[0].InFlight = 30
	if best, _ := p.Pick(v); best == 0 {
		t.Error("chose a holder with 30 requests in flight beside idle endpoints")
	}
}

// TestWarm_IsTheFormula works the cost out a second time, term by term.
func TestWarm_IsTheFormula(t *testing.T) {
	v := view(1)
	c := &v.Candidates[0]
	c.InFlight, c.Decoding, c.Pending, c.Context = 7, 4, 3000, 20000
	c.Distinct, c.New, c.Tail, c.KV = 15000, 4000, 30, 21000
	c.Matched, c.Uncached, c.Bought, c.Penalty = 2000, 4400, 4100, 0.7
	must(t, "warm", nil).Pick(v)
	const w, rho, l, o = 4.0, 0.5, 6400.0, 200.0
	s := c.Step + c.PerContext*(c.Context+l+o/2)
	soft := 0.08 * c.KV
	m := soft * math.Log(1+math.Exp((c.Distinct+c.New+c.Tail+o/2+7*o/2-c.KV)/soft)) / c.Distinct * o * s
	want := w*(3000/c.Rate+c.Bought/c.Rate+c.Floor+m) +
		o*(c.Step+c.PerContext*(l+o/2)+rho*c.PerContext*c.Context) +
		4*c.Bought/c.Rate +
		rho*7*o*c.PerContext*(l+o/2) + 0.7
	if math.Abs(c.Cost-want) > 1e-9*want {
		t.Errorf("cost is %v, want %v", c.Cost, want)
	}
}

func TestWarm_SlowCardIsSlowForTheWholeAnswer(t *testing.T) {
	v := view(2)
	hold(&v.Candidates[0], 3000)
	v.Candidates[0].Step *= 3 // its head start in cache is lost ten times over
	v.Candidates[0].PerContext *= 3
	if best, _ := must(t, "warm", nil).Pick(v); best != 1 {
		t.Error("chose the slow card for its cache")
	}
}

func TestWarm_LeavesFullMemoryAlone(t *testing.T) {
	v := view(2)
	for i := range v.Candidates {
		v.Candidates[i].KV = 30000
	}
	hold(&v.Candidates[0], 1000)
	c := &v.Candidates[0]
	c.InFlight, c.Decoding, c.Context, c.Distinct = 6, 6, 29000, 29000
	v.Candidates[1].InFlight, v.Candidates[1].Decoding, v.Candidates[1].Context, v.Candidates[1].Distinct = 8, 8, 9000, 9000
	if best, _ := must(t, "warm", nil).Pick(v); best != 1 {
		t.Error("chose the endpoint whose KV memory is full")
	}
	for i := range v.Candidates {
		v.Candidates[i].KV = 0 // unknown: the term is left out
	}
	must(t, "warm", nil).Pick(v)
	if math.IsNaN(v.Candidates[0].Cost) {
		t.Error("cost without a known capacity is not a number")
	}
}

func TestWarm_SessionBonusIsSoft(t *testing.T) {
	p := must(t, "warm", map[string]any{"session_bonus": 1})
	v := view(3)
	v.Candidates[1].Session = true
	if best, _ := p.Pick(v); best != 1 {
		t.Error("among equals the conversation left its endpoint")
	}
	v.Candidates[1].InFlight, v.Candidates[1].Pending = 20, 100_000
	if best, _ := p.Pick(v); best == 1 {
		t.Error("the conversation stayed on a saturated endpoint")
	}
}

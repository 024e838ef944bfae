package policies_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/balancer/policies"
)

// view is a request of 6,400 tokens over idle, equal endpoints that hold nothing.
func view(endpoints int) *balancer.View {
	v := &balancer.View{Tokens: 6400, Answer: 200, Last: -1, Endpoints: endpoints, Rand: rand.New(rand.NewPCG(1, 1))}
	for i := range uint64(100) {
		v.Blocks = append(v.Blocks, (i+1)*0x9e3779b97f4a7c15)
	}
	for i := range endpoints {
		v.Candidates = append(v.Candidates, balancer.Candidate{
			Index: i, Key: uint64(i+1) * 0xc2b2ae3d27d4eb4f, Uncached: 6400, Bought: 6400, New: 6400, KVUse: math.NaN(), Waiting: math.NaN(), Running: math.NaN(),
			Step: 0.02, PerContext: 1.6e-7, Rate: 7500, Floor: 0.02, Weight: 1,
		})
	}
	return v
}

func hold(c *balancer.Candidate, tokens float64) {
	c.Matched, c.Uncached, c.Bought, c.New = tokens, 6400-tokens, 6400-tokens, 6400-tokens
	c.Blocks = int(tokens / 64)
}

// occupy lets n of our requests be in flight there, a third of them before their first token.
func occupy(c *balancer.Candidate, n float64) {
	c.InFlight, c.Own, c.Decoding = n, n, n-n/3
	c.Pending, c.Context, c.Distinct = 1000*n, 7000*n, 7000*n
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
	f("consistent_hash", map[string]any{"factor": 0.5, "ring": 150}, "1 to 10", "0.5", "ring", "blocks")
	f("session", map[string]any{"slack": -1}, "0 to 1000", "-1")
	f("gpu", map[string]any{"metric": "heat"}, "tree, waiting, kv, running", "heat")
	f("gpu", map[string]any{"metric": 3}, "tree, waiting", "3")
	f("gpu", map[string]any{"mode": "most"}, "most needs a metric")
	f("cache_aware", map[string]any{"cache_threshold": 1.5, "gate": "no"}, "0 to 1", "1.5", "request, fleet")
	f("linear", map[string]any{"block": 0, "temperature": "hot"}, "1 to 1024", "a number", "hot")
	f("llmd", map[string]any{"threshold": 0, "tau": -5}, "0.01 to 1", "-5")
	f("cost", map[string]any{"kappa": math.Inf(1)}, "0 to 100")
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

// except are all policies but those that must not be judged by a test.
func except(blind ...string) []string {
	return slices.DeleteFunc(policies.Names(), func(name string) bool { return slices.Contains(blind, name) })
}

func TestAll_TiesDoNotGather(t *testing.T) {
	for _, name := range except("round_robin") {
		p, v := must(t, name, nil), view(4)
		v.Blocks = nil // a prompt below one block has nothing that could be hashed
		var by [4]int
		for range 800 {
			best, _ := p.Pick(v)
			by[best]++
		}
		for i, n := range by {
			if n < 140 || n > 260 {
				t.Errorf("%s: of 800 choices among equals endpoint %d got %d: %v", name, i, n, by)
			}
		}
	}
}

func TestAll_FailingAttractsNobody(t *testing.T) {
	for _, name := range except("round_robin", "random") {
		for _, gauges := range []bool{false, true} {
			v := view(3)
			ill := &v.Candidates[0]
			if slices.Contains([]string{"prefix", "cache_aware", "llmd"}, name) {
				hold(ill, 6336) // rules in which a match comes before all load
			}
			ill.Session, ill.Failing, ill.Penalty = true, 3, 6
			for i := range v.Candidates {
				c := &v.Candidates[i]
				if i > 0 {
					occupy(c, 2)
				}
				if gauges {
					c.Running, c.Waiting, c.KVUse = c.Own, c.Own-1, 0.1*c.Own
				}
			}
			for range 20 {
				if best, _ := must(t, name, nil).Pick(v); best == 0 {
					t.Errorf("%s chose the endpoint that fails fast and so has nothing in flight (gauges: %v)", name, gauges)
					break
				}
			}
		}
	}
}

func TestAll_UnknownIsNotIdle(t *testing.T) {
	for _, name := range except("round_robin", "random") {
		v := view(3)
		occupy(&v.Candidates[0], 12) // its gauges are not known
		for i := range v.Candidates[1:] {
			c := &v.Candidates[i+1]
			occupy(c, 2)
			c.Running, c.Waiting, c.KVUse = 2, 0, 0.3
		}
		for range 20 {
			if best, _ := must(t, name, nil).Pick(v); best == 0 {
				t.Errorf("%s took the busy endpoint that shows no metrics for an idle one", name)
				break
			}
		}
	}
}

// TestAll_SurviveAnything shows them endpoints with any mixture of missing, extreme and usual values.
func TestAll_SurviveAnything(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	any := func(values ...float64) float64 { return values[rnd.IntN(len(values))] }
	nan, inf := math.NaN(), math.Inf(1)
	for _, name := range policies.Names() {
		p := must(t, name, nil)
		for range 2000 {
			v := view(1 + rnd.IntN(5))
			v.Endpoints = 40
			v.Session = []string{"", "a"}[rnd.IntN(2)]
			v.Blocks = v.Blocks[:rnd.IntN(3)*50]
			for i := range v.Candidates {
				c := &v.Candidates[i]
				c.Index = 7 * i
				occupy(c, any(0, 0, 1, 5, 400))
				c.Blocks = rnd.IntN(len(v.Blocks) + 1)
				c.Distinct, c.New, c.Tail = any(0, 5000), any(0, 6370), 30
				if rnd.IntN(3) == 0 {
					c.Distinct, c.New, c.Tail = nan, nan, nan
				}
				c.KV, c.KVUse = any(0, 1, 30000), any(nan, 0, 0.5, 1, 7, inf)
				c.Waiting, c.Running = any(nan, 0, 3, 1e6, -1, inf), any(nan, 0, 3, -1)
				c.Failing, c.Weight, c.Sent = any(0, 0, 0.3, 9), any(1, 0.1, 20), rnd.Uint64()
				c.Session = i == 0 && v.Session != ""
			}
			best, second := p.Pick(v)
			n := len(v.Candidates)
			if best < 0 || best >= n || second == best || second >= n || (n > 1) != (second >= 0) {
				t.Fatalf("%s chose %d and %d of %d", name, best, second, n)
			}
			if math.IsNaN(v.Candidates[best].Cost) {
				t.Fatalf("%s: the cost of its choice is not a number: %+v", name, v.Candidates[best])
			}
		}
	}
}

func TestAll_AvoidTheBusy(t *testing.T) {
	for _, name := range except("round_robin", "random", "power_of_two") {
		v := view(3)
		for _, i := range []int{0, 2} {
			occupy(&v.Candidates[i], 9)
		}
		if best, _ := must(t, name, nil).Pick(v); best != 1 {
			t.Errorf("%s chose a busy endpoint", name)
		}
	}
}

func TestPrefixAware_TakeTheHolder(t *testing.T) {
	for _, name := range []string{
		"least_tokens", "prefix", "lmetric", "lmetric_learned", "warm", "cache_aware", "linear", "llmd", "cost",
	} {
		v := view(4)
		hold(&v.Candidates[2], 6016)
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
	const w, rho, l, o = 4.0, 0.3, 6400.0, 200.0
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

// now is the time of tests that need one.
var now = time.Unix(1_800_000_000, 0)

package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/workload"
)

// stepful is a prompt that fills a step of an A10 but for what a probe takes, so that those of a replica are answered one after the other.
func stepful(t *testing.T, at time.Duration) workload.TraceRequest {
	t.Helper()
	preset, err := engine.LookupPreset(a10)
	if err != nil {
		t.Fatal(err)
	}
	return workload.TraceRequest{At: at, Input: preset.MaxBatchedTokens - 64, Output: 1, Session: -1}
}

// sized searches with what the tests have in common.
func sized(t *testing.T, z *Sizing) *Plan {
	t.Helper()
	z.Preset, z.Most, z.Seeds = a10, max(z.Most, 16), max(z.Seeds, 2)
	if z.Rate == 0 {
		z.Rate = 1
	}
	if z.SLO.TPOT == 0 {
		z.SLO.TPOT = time.Second
	}
	p, err := z.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// step is how long such a prompt takes alone.
func step(t *testing.T) time.Duration {
	t.Helper()
	p := sized(t, &Sizing{Requests: []workload.TraceRequest{stepful(t, 0)}, Policies: []string{"round_robin"}, Goal: 1, SLO: SLO{TTFT: time.Minute}})
	return time.Duration(p.Choices[0].Tried[0].TTFT * float64(time.Second))
}

func triedSizes(c *Size) []int {
	var all []int
	for _, t := range c.Tried {
		all = append(all, t.Replicas)
	}
	return all
}

func TestFind_BurstsNeedWhatCanBeCountedByHand(t *testing.T) {
	// Eight at once. Where two steps are in time, a replica keeps the goal for its first two: 2, 4, 6 and 8 of 8 on 1, 2, 3 and 4.
	var bursts []workload.TraceRequest
	for i := range 10 {
		bursts = append(bursts, slices.Repeat([]workload.TraceRequest{stepful(t, time.Duration(i)*20*time.Second)}, 8)...)
	}
	in := step(t) * 5 / 2
	policies := []string{"warm", "lmetric", "least_request", "round_robin"}
	for _, c := range []struct {
		goal float64
		want int
	}{{1, 4}, {0.75, 3}, {0.5, 2}, {0.25, 1}} {
		p := sized(t, &Sizing{Requests: bursts, Policies: policies, Goal: c.goal, SLO: SLO{TTFT: in}})
		for i := range p.Choices {
			got := &p.Choices[i]
			if got.Policy != policies[i] || got.Replicas != c.want {
				t.Errorf("%s of goal %v: %d replicas, want %d of %s", got.Policy, c.goal, got.Replicas, c.want, policies[i])
			}
			for near := max(1, c.want-1); near <= c.want+1; near++ {
				if !slices.Contains(triedSizes(got), near) {
					t.Errorf("%s of goal %v: tried are %v, want the neighbours of %d among them", got.Policy, c.goal, triedSizes(got), c.want)
				}
			}
			for _, trial := range got.Tried {
				if want := math.Min(1, 0.25*float64(trial.Replicas)); trial.Good != want {
					t.Errorf("%s: %d replicas keep the goal for %v, want %v", got.Policy, trial.Replicas, trial.Good, want)
				}
			}
		}
	}
}

func TestFind_TwiceTheTrafficNeedsTwiceTheReplicas(t *testing.T) {
	// 3.5 prompts come in the time that a replica needs for one.
	var steady []workload.TraceRequest
	one := step(t)
	for i := range 300 {
		steady = append(steady, stepful(t, time.Duration(i)*one*2/7))
	}
	need := func(rate float64) (int, *Plan) {
		p := sized(t, &Sizing{Requests: steady, Policies: []string{"round_robin"}, Goal: 0.95, Rate: rate, SLO: SLO{TTFT: 2 * one}})
		return p.Choices[0].Replicas, p
	}
	once, slow := need(1)
	twice, fast := need(2)
	if once != 4 || twice != 7 {
		t.Errorf("%d replicas, and %d for twice the rate, want 4 and 7", once, twice)
	}
	if ratio := slow.Seconds / fast.Seconds; math.Abs(ratio-2) > 1e-9 || slow.Requests != 300 || fast.Requests != 300 {
		t.Errorf("%d requests in %v s, and %d in %v s at twice the rate", slow.Requests, slow.Seconds, fast.Requests, fast.Seconds)
	}
}

func TestFind_TooFewWhereNoNumberHelps(t *testing.T) {
	alone := sized(t, &Sizing{
		Requests: []workload.TraceRequest{stepful(t, 0), {At: 10 * time.Second, Input: 100, Output: 1, Session: -1}},
		Policies: []string{"warm"}, Goal: 0.9, Most: 24, SLO: SLO{TTFT: step(t) / 2},
	})
	c := &alone.Choices[0]
	if c.Replicas != 0 || !slices.Equal(triedSizes(c), []int{1, 2, 4, 8, 16, 24}) || c.Tried[5].Good != 0.5 {
		t.Errorf("%+v: half of the requests are too much for a replica", c)
	}
	text := table(t, alone)
	for _, want := range []string{
		"  warm  too few: 16       50.00 ", "  too few: 24       50.00 ", "\nwarm: too few. On 24 replicas, the most tried, 50.00 % of the requests keep the goal, on 16 50.00 %.\n",
		"too slow even alone on a replica",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

func TestFind_LeavesOutAndCountsWhatCannotBePlayed(t *testing.T) {
	capacity := func() int {
		preset, err := engine.LookupPreset(a10)
		if err != nil {
			t.Fatal(err)
		}
		return 16 * preset.Blocks
	}()
	p := sized(t, &Sizing{
		Requests: []workload.TraceRequest{
			{Input: 300, Output: 20, Session: -1},
			{At: 1 * time.Second, Input: 500, Session: -1},
			{At: 2 * time.Second, Input: capacity - 10, Output: 10, Session: -1},
			{At: 3 * time.Second, Input: capacity - 10, Output: 11, Session: -1},
			{At: 9 * time.Second, Input: 500, Session: -1},
		},
		Policies: []string{"warm"}, Goal: 0.5, SLO: SLO{TTFT: time.Minute},
	})
	if p.Requests != 2 || p.TooLarge != 1 || p.Silent != 2 || p.Seconds != 2 || p.Output != 15 || p.Choices[0].Replicas != 1 {
		t.Errorf("%+v", p)
	}
	text := table(t, p)
	for _, want := range []string{"2 requests in 2 s (1.00/s)", "Left out: 1 more, too large", "Left out: 2 more without an answer", "\nwarm: 1 replica is enough.\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	z := Sizing{Requests: []workload.TraceRequest{{Input: 500, Session: -1}, {Input: capacity, Output: 1, Session: -1}}, Preset: a10, Policies: []string{"warm"}, Goal: 1, Rate: 1, Seeds: 1, Most: 1}
	if _, err := z.Find(t.Context()); err == nil || !strings.Contains(err.Error(), "none of the 2 requests is a generation that fits into the memory of a "+a10) {
		t.Errorf("with nothing to play: %v", err)
	}
}

func TestFind_FollowsConversations(t *testing.T) {
	// The second turn was asked a second after the first answer, which here comes earlier or later than it did.
	first := quoted(0, 1, 128, 40, 1, 2)
	first.Total = 5 * time.Second
	p := sized(t, &Sizing{Requests: []workload.TraceRequest{first, quoted(6, 1, 256, 20, 1, 2, 3, 4)}, Policies: []string{"warm"}, Goal: 1, SLO: SLO{TTFT: time.Minute}})
	// 128 tokens and 32 of the answer's 40 are in full blocks.
	if got, want := p.Choices[0].Tried[0].Hit, 160.0/384; math.Abs(got-want) > 1e-9 || !p.Shared || math.Abs(p.Ceiling-want) > 1e-9 {
		t.Errorf("%v of the prompts were found and %v could be, want %v", got, p.Ceiling, want)
	}
}

func TestFind_NamesWhatItDoesNotKnow(t *testing.T) {
	z := Sizing{Requests: []workload.TraceRequest{{Input: 500, Output: 1}}, Preset: "abacus", Policies: []string{"warm"}, Goal: 1, Rate: 1, Seeds: 1, Most: 1}
	if _, err := z.Find(t.Context()); err == nil || !strings.Contains(err.Error(), `"abacus"`) || !strings.Contains(err.Error(), a10) {
		t.Errorf("preset: %v", err)
	}
	z.Preset, z.Policies = a10, []string{"warm", "warmer"}
	if _, err := z.Find(t.Context()); err == nil || !strings.Contains(err.Error(), `"warmer"`) || !strings.Contains(err.Error(), "lmetric") {
		t.Errorf("policy: %v", err)
	}
}

// leaving ends its user's patience at the first choice.
type leaving struct {
	balancer.Policy
	leave func()
}

func (p leaving) Pick(v *balancer.View) (best, runnerUp int) {
	p.leave()
	return p.Policy.Pick(v)
}

func TestFind_EndsInTheMiddleOfATrial(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	z := Sizing{Preset: a10, Seeds: 3}
	century := recorded([]workload.TraceRequest{stepful(t, 0), stepful(t, 100*365*24*time.Hour)}, 1) // which takes hours even in virtual time
	_, err := z.try(ctx, century, func() balancer.Policy { return leaving{gatewayPolicy(t, "warm"), cancel} }, 1)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFind_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	z := Sizing{
		Requests: []workload.TraceRequest{stepful(t, 0), stepful(t, 100*365*24*time.Hour)}, Preset: a10, Policies: []string{"warm", "lmetric", "round_robin"},
		Goal: 1, Rate: 1, Seeds: 1, Most: 8, Progress: func(string, int) { cancel() },
	}
	if p, err := z.Find(ctx); !errors.Is(err, context.Canceled) || p != nil {
		t.Errorf("plan %v, error %v", p, err)
	}
}

func TestFewest(t *testing.T) {
	from := func(sizes ...int) func(int) bool {
		return func(n int) bool { return n >= sizes[0] && !slices.Contains(sizes[1:], n) }
	}
	for name, c := range map[string]struct {
		kept func(n int) bool
		most int
		want int
	}{
		"one is enough":                    {from(1), 128, 1},
		"one of one":                       {from(1), 1, 1},
		"two":                              {from(2), 128, 2},
		"between doublings":                {from(23), 128, 23},
		"the most":                         {from(100), 100, 100},
		"below the most":                   {from(99), 100, 99},
		"more than the most":               {from(101), 100, 0},
		"missed with one more":             {from(4, 5), 128, 6},
		"missed with one more than one":    {from(1, 2, 3), 128, 4},
		"missed twice":                     {from(4, 5, 7), 128, 8},
		"missed by the most":               {from(7, 8), 8, 0},
		"missed by the doublings":          {from(3, 4, 8, 16), 128, 17},
		"missed in a gap that is not seen": {from(3, 7), 8, 3},
	} {
		s := search{goal: 0.9, most: c.most, trials: map[int]Trial{}, try: func(n int) (Trial, error) {
			if n < 1 || n > c.most {
				t.Errorf("%s: %d replicas are tried of at most %d", name, n, c.most)
			}
			if c.kept(n) {
				return Trial{Replicas: n, Good: 0.9}, nil
			}
			return Trial{Replicas: n, Good: 0.89}, nil
		}}
		got := s.fewest()
		if got != c.want {
			t.Errorf("%s: %d, want %d; tried are %v", name, got, c.want, s.sorted())
		}
		for _, trial := range s.sorted() {
			if got > 0 && trial.Replicas >= got && trial.Good < s.goal {
				t.Errorf("%s: %d is told though %d misses the goal", name, got, trial.Replicas)
			}
		}
	}
}

func TestFewest_EndsWithATrialThatFails(t *testing.T) {
	n := 0
	broken := errors.New("broken")
	s := search{goal: 0.9, most: 128, trials: map[int]Trial{}, try: func(int) (Trial, error) {
		if n++; n == 3 {
			return Trial{}, broken
		}
		return Trial{}, nil
	}}
	if s.fewest(); !errors.Is(s.err, broken) || n != 3 {
		t.Errorf("error %v after %d trials", s.err, n)
	}
}

func table(t *testing.T, p *Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tinyPlan is a made-up one.
func tinyPlan() *Plan {
	m := func(n int, good float64) Trial {
		return Trial{Replicas: n, Good: good, TTFT: 0.5 / float64(n), TTFTp99: 2.4 / float64(n), TPOTp99: 0.05, RT: 8.123, Hit: 0.789, Ceiling: 0.8}
	}
	return &Plan{
		Sizing: &Sizing{SLO: DefaultSLO(), Goal: 0.99, Rate: 2, Seeds: 3}, Preset: a10, Requests: 1234, TooLarge: 3, Silent: 12, Shared: true,
		Seconds: 617, Input: 1021.4, Output: 309.6, Ceiling: 0.8123,
		Choices: []Size{
			{Policy: "warm", Replicas: 3, Tried: []Trial{m(1, 0.2), m(2, 0.94), m(3, 0.9921), m(4, 1)}},
			{Policy: "lmetric:kv=1", Replicas: 1, Tried: []Trial{m(1, 0.99), m(2, 1)}},
			{Policy: "round_robin", Tried: []Trial{m(1, 0.1), m(2, 0.5), m(4, 0.9), m(8, 0.971), m(10, 0.9715)}},
			{Policy: "random", Tried: []Trial{m(1, 0.1)}},
		},
	}
}

func TestPlan_WriteTable(t *testing.T) {
	blind := tinyPlan()
	blind.Shared, blind.TooLarge, blind.Silent, blind.Choices, blind.Sizing.Rate = false, 0, 0, blind.Choices[:1], 1
	got := table(t, tinyPlan()) + "\n---\n\n" + table(t, blind)
	const file = "testdata/plan.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table changed; if it should, go test ./bench/sweep -update\n%s", got)
	}
	if err := tinyPlan().WriteTable(full{}); err == nil || !strings.Contains(err.Error(), "writing the plan") {
		t.Errorf("error %v", err)
	}
}

func TestPlan_JSONReadsBack(t *testing.T) {
	want := tinyPlan()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Plan
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want.Sizing = nil
	for _, c := range want.Choices {
		for i := range c.Tried {
			c.Tried[i].Ceiling = 0
		}
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got %+v\nwant %+v", &got, want)
	}
}

package policies_test

import (
	"math"
	"testing"
)

func TestLinear_IsTheFormula(t *testing.T) {
	v := view(2)
	c := &v.Candidates[0]
	occupy(c, 6)
	hold(c, 3200)
	c.Distinct, c.New = 20000, 2560
	must(t, "linear", nil).Pick(v)
	if want := (6000+6400-3200)/16. + (20000+2560)/16.; c.Cost != want {
		t.Errorf("cost is %v blocks, want %v", c.Cost, want)
	}
	must(t, "linear", map[string]any{
		"prefill_load_scale": 4, "overlap_credit": 0.5, "overlap_decay": 1, "request_weight": 10, "block": 64,
	}).Pick(v)
	credit := 0.5 * 3200 / (1 + 6000/6400.)
	if want := 4*(12400-credit)/64 + 22560/64. + 60; math.Abs(c.Cost-want) > 1e-9 {
		t.Errorf("with parameters the cost is %v blocks, want %v", c.Cost, want)
	}
}

// TestLinear_ContextOutweighsCache is the known weakness of equal weights: a long context in flight beside the holder
// counts as much as its prefill saved, although it costs far less.
func TestLinear_ContextOutweighsCache(t *testing.T) {
	v := view(2)
	hold(&v.Candidates[0], 6336)
	v.Candidates[0].InFlight, v.Candidates[0].Decoding = 1, 1
	v.Candidates[0].Context, v.Candidates[0].Distinct = 13000, 13000
	if best, _ := must(t, "linear", nil).Pick(v); best != 1 {
		t.Error("by default 13,000 tokens in use do not outweigh 6,336 in cache")
	}
	if best, _ := must(t, "linear", map[string]any{"prefill_load_scale": 8}).Pick(v); best != 0 {
		t.Error("with a prefill weight of 8 the holder is not chosen")
	}
}

func TestLinear_TemperatureIsSoftmax(t *testing.T) {
	p, first := must(t, "linear", map[string]any{"temperature": 0.5}), 0
	v := view(2)
	for range 4000 {
		v.Candidates[1].Pending = 3000
		if best, _ := p.Pick(v); best == 0 {
			first++
		}
	}
	want := 4000 / (1 + math.Exp(-2)) // the costs are scaled to 0 and 1
	if math.Abs(float64(first)-want) > 100 {
		t.Errorf("the cheaper got %d of 4000, want about %.0f", first, want)
	}
}

func TestLLMD_FilterAndValve(t *testing.T) {
	p := must(t, "llmd", nil)
	f := func(held, pending float64, want int, why string) {
		t.Helper()
		v := view(2)
		hold(&v.Candidates[0], held)
		v.Candidates[0].Pending = pending
		v.Candidates[1].Pending = 1000
		if best, _ := p.Pick(v); best != want {
			t.Errorf("%s: chose %d, want %d", why, best, want)
		}
	}
	f(5120, 200_000, 0, "80 of 100 blocks keep it within the filter")
	f(5056, 200_000, 1, "79 do not")
	f(5056, 6000, 0, "below the filter a match still lowers its own tokens")
	f(6336, 287_720, 0, "the valve is shut up to 286,720 above the coldest")
	f(6336, 287_721, 1, "and opens beyond")
}

func TestLLMD_HoldersByTokensAlone(t *testing.T) {
	p, v := must(t, "llmd", nil), view(3)
	hold(&v.Candidates[0], 6336)
	hold(&v.Candidates[1], 6336)
	v.Candidates[0].Pending = 500
	v.Candidates[1].InFlight, v.Candidates[1].Decoding, v.Candidates[1].Context = 200, 200, 1_400_000
	if best, _ := p.Pick(v); best != 1 {
		t.Errorf("chose %d, want the holder without prefill to do, however many answers it writes", best)
	}
}

func TestCost_IsTheFormula(t *testing.T) {
	v := view(1)
	c := &v.Candidates[0]
	occupy(c, 6)
	hold(c, 3200)
	c.KV, c.KVUse, c.Penalty = 60_000, 0.5, 0.3
	must(t, "cost", nil).Pick(v)
	want := 6000/c.Rate + 2*3200/c.Rate + 0.25*4*3200/c.Rate +
		0.25*200*(0.4e-3*6+1.4e-7*42000) + 0.1*0.7/0.3 + 0.3
	if math.Abs(c.Cost-want) > 1e-9 {
		t.Errorf("cost is %v s, want %v", c.Cost, want)
	}
	must(t, "cost", map[string]any{"kappa": 1, "lambda": 0, "delta": 0, "nu": 0}).Pick(v)
	if want := 9200/c.Rate + 0.3; math.Abs(c.Cost-want) > 1e-9 {
		t.Errorf("prefill alone costs %v s, want %v", c.Cost, want)
	}
}

func TestCost_LearnedRateDecides(t *testing.T) {
	v := view(2)
	hold(&v.Candidates[0], 3200)
	v.Candidates[0].Rate /= 3
	if best, _ := must(t, "cost", nil).Pick(v); best != 1 {
		t.Error("chose the slow card for its cache")
	}
}

func TestCost_NearTiesGoToTheLessBusy(t *testing.T) {
	p, v := must(t, "cost", nil), view(3)
	for i := range v.Candidates {
		occupy(&v.Candidates[i], 3)
		v.Candidates[i].Pending = 0
	}
	v.Candidates[1].InFlight, v.Candidates[1].Penalty = 2, 0.022 // a request fewer saves 20 ms: 2 ms dearer
	if best, second := p.Pick(v); best != 1 || second == 1 {
		t.Errorf("chose %d before %d, want 1", best, second)
	}
	v.Candidates[1].Penalty = 0.2
	if best, _ := p.Pick(v); best == 1 {
		t.Error("0.18 s are no tie")
	}
}

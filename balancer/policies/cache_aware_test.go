package policies_test

import (
	"testing"

	"github.com/warmlane/warmlane/balancer"
)

func TestCacheAware_RatioThreshold(t *testing.T) {
	p := must(t, "cache_aware", nil)
	for _, c := range []struct {
		tokens float64
		want   int
	}{{1920, 1}, {1984, 0}} { // 30 and 31 of 100 blocks
		v := view(2)
		hold(&v.Candidates[0], c.tokens)
		occupy(&v.Candidates[0], 1)
		if best, _ := p.Pick(v); best != c.want {
			t.Errorf("with %v of 6400 tokens matched and a threshold of 0.3 chose %d, want %d", c.tokens, best, c.want)
		}
	}
}

func TestCacheAware_OnlyTheDeepestCompete(t *testing.T) {
	p, v := must(t, "cache_aware", nil), view(3)
	hold(&v.Candidates[0], 6336)
	hold(&v.Candidates[1], 6272) // one block less, and idle
	occupy(&v.Candidates[0], 50)
	if best, _ := p.Pick(v); best != 0 {
		t.Errorf("chose %d, want the deepest holder in spite of its load", best)
	}
	hold(&v.Candidates[2], 6336)
	occupy(&v.Candidates[2], 49)
	if best, _ := p.Pick(v); best != 2 {
		t.Errorf("chose %d, want the less loaded of the deepest holders", best)
	}
}

// hotFleet is four endpoints of which the first has load; the second holds the prompt.
func hotFleet(load float64) *balancer.View {
	v := view(4)
	occupy(&v.Candidates[0], load)
	occupy(&v.Candidates[1], 5)
	hold(&v.Candidates[1], 6336)
	return v
}

func TestCacheAware_FleetGateEndsAffinityForEverybody(t *testing.T) {
	fleet, request := must(t, "cache_aware", map[string]any{"gate": "fleet"}), must(t, "cache_aware", nil)
	if best, _ := fleet.Pick(hotFleet(64)); best != 1 {
		t.Errorf("64 above the least is balanced: chose %d, want the holder", best)
	}
	if best, _ := fleet.Pick(hotFleet(65)); best < 2 {
		t.Errorf("one hot endpoint ends affinity: chose %d, want an idle one", best)
	}
	if best, _ := request.Pick(hotFleet(65)); best != 1 {
		t.Errorf("the gate of a request looks at its own holder: chose %d, want it", best)
	}
}

func TestCacheAware_RequestGateSpills(t *testing.T) {
	p := must(t, "cache_aware", nil)
	f := func(holder, others float64, spills bool) {
		t.Helper()
		v := view(4)
		for i := range v.Candidates {
			occupy(&v.Candidates[i], others)
		}
		hold(&v.Candidates[0], 6336)
		occupy(&v.Candidates[0], holder)
		if best, _ := p.Pick(v); (best != 0) != spills {
			t.Errorf("holder with %v beside %v: chose %d", holder, others, best)
		}
	}
	f(85, 0, false)    // 63.75 above the mean
	f(86, 0, true)     // 64.5 above the mean of 21.5
	f(290, 200, false) // 67.5 above the mean, but only 1.3 times
}

func TestCacheAware_EqualLoadsGoToTheOneThatGotFewer(t *testing.T) {
	p, v := must(t, "cache_aware", nil), view(3)
	v.Candidates[0].Sent, v.Candidates[1].Sent, v.Candidates[2].Sent = 10_000, 9_999, 10_000
	if best, _ := p.Pick(v); best != 1 {
		t.Errorf("chose %d, want the one that was sent fewer", best)
	}
	occupy(&v.Candidates[1], 1)
	if best, _ := p.Pick(v); best == 1 {
		t.Error("the number sent so far outweighed a request in flight")
	}
}

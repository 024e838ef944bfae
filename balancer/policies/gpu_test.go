package policies_test

import (
	"math"
	"testing"

	"github.com/warmlane/warmlane/balancer"
)

// gauges shows the engines' own numbers: waiting, KV use and running of each.
func gauges(rows ...[3]float64) *balancer.View {
	v := view(len(rows))
	for i, r := range rows {
		v.Candidates[i].Waiting, v.Candidates[i].KVUse, v.Candidates[i].Running = r[0], r[1], r[2]
	}
	return v
}

func TestGPU_ChoosesByGauges(t *testing.T) {
	nan := math.NaN()
	f := func(params map[string]any, v *balancer.View, why string, want ...int) {
		t.Helper()
		p, got := must(t, "gpu", params), map[int]bool{}
		for range 200 {
			best, _ := p.Pick(v)
			got[best] = true
		}
		ok := len(got) == len(want)
		for _, w := range want {
			ok = ok && got[w]
		}
		if !ok {
			t.Errorf("%s: chose among %v, want %v", why, got, want)
		}
	}
	f(nil, gauges([3]float64{3, .1, 0}, [3]float64{0, .9, 9}, [3]float64{8, .1, 0}), "the shortest queue comes before KV use", 1)
	f(nil, gauges([3]float64{0, .8, 0}, [3]float64{0, .3, 9}, [3]float64{0, .9, 0}), "of equal queues the least KV use", 1)
	f(nil, gauges([3]float64{0, .30, 0}, [3]float64{0, .35, 9}, [3]float64{0, .9, 0}), "within a third of the range KV uses are equal", 0, 1)
	f(nil, gauges([3]float64{2, .8, 0}, [3]float64{0, .9, 9}, [3]float64{30, .1, 0}), "within a third of the range queues are equal", 0)
	f(nil, gauges([3]float64{0, .5, 0}, [3]float64{20, .1, 0}, [3]float64{300, .1, 0}), "a queue above 50 does not widen the range", 0)
	f(nil, gauges([3]float64{60, .5, 0}, [3]float64{70, .1, 0}), "when all are above 50 the range decides", 0)
	f(nil, gauges([3]float64{nan, .5, 0}, [3]float64{nan, .1, 0}), "queues that nobody tells leave KV use", 1)
	f(map[string]any{"metric": "running"}, gauges([3]float64{0, 0, 9}, [3]float64{9, 1, 2}), "the named gauge alone", 1)
	f(map[string]any{"metric": "kv", "mode": "most"}, gauges([3]float64{9, .9, 9}, [3]float64{0, .1, 2}), "most of it", 0)
	f(map[string]any{"metric": "waiting", "mode": "most"}, gauges([3]float64{nan, .9, 9}, [3]float64{4, .1, 2}, [3]float64{0, .1, 2}), "unknown is not most", 1)
}

func TestGPU_UnknownIsLikeTheOthersAndOurOwn(t *testing.T) {
	nan := math.NaN()
	p := must(t, "gpu", nil)
	v := gauges([3]float64{nan, nan, nan}, [3]float64{6, .5, 30}, [3]float64{6, .5, 30})
	for i := range v.Candidates {
		occupy(&v.Candidates[i], 30)
	}
	got := map[int]bool{}
	for range 200 {
		best, _ := p.Pick(v)
		got[best] = true
	}
	if len(got) != 3 {
		t.Errorf("with as many of ours on each the choice fell on %v only, want each at times", got)
	}
	occupy(&v.Candidates[0], 31)
	if best, _ := p.Pick(v); best == 0 {
		t.Error("the unknown one has one more of ours and was taken for the shortest queue")
	}
	occupy(&v.Candidates[0], 10)
	if best, _ := p.Pick(v); best != 0 {
		t.Error("the unknown one has 20 fewer of ours and got nothing")
	}
}

func TestGPU_WithoutGaugesCountsItself(t *testing.T) {
	p, v := must(t, "gpu", nil), view(3)
	occupy(&v.Candidates[0], 2)
	occupy(&v.Candidates[1], 1)
	if best, second := p.Pick(v); best != 2 || second != 1 {
		t.Errorf("chose %d before %d, want 2 before 1", best, second)
	}
}

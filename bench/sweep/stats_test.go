package sweep

import (
	"math"
	"testing"
)

func alike(a, b float64) bool { return math.Abs(a-b) <= 1e-3*math.Abs(b) }

func TestStudent_IsTheTextbooks(t *testing.T) {
	for df, want := range map[int]float64{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 7: 2.365, 9: 2.262, 19: 2.093, 29: 2.045, 99: 1.984} {
		tolerance := 0.001
		if df == 3 {
			tolerance = 0.01
		} else if df < 6 {
			tolerance = 0.003
		}
		if got := student(df); math.Abs(got/want-1) > tolerance {
			t.Errorf("%d degrees of freedom: %.4f, want %.3f", df, got, want)
		}
	}
}

func TestInterval(t *testing.T) {
	// 10 values with the standard deviation 3.02765: 2.262 * 3.02765 / sqrt(10).
	if i := interval([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}); !alike(i.Mean, 5.5) || !alike(i.Half, 2.1659) {
		t.Errorf("%+v", i)
	}
	if i := interval([]float64{3}); i != (Interval{Mean: 3}) {
		t.Errorf("of one value: %+v", i)
	}
	if i := interval(nil); i != (Interval{}) {
		t.Errorf("of none: %+v", i)
	}
}

func firstsOf(values ...float64) []Metrics {
	var all []Metrics
	for _, v := range values {
		all = append(all, Metrics{TTFT: v})
	}
	return all
}

func TestRatio_IsPairedAndGeometric(t *testing.T) {
	// Twice and four times: the mean is sqrt(8), the half width 12.706 * ln(2)/2 of that.
	if i := ratio(firstsOf(2, 8), firstsOf(1, 2), ttft); !alike(i.Mean, 182.843) || !alike(i.Half, 282.843*12.706*math.Ln2/2) {
		t.Errorf("%+v", i)
	}
	if i := ratio(firstsOf(3, 30), firstsOf(2, 20), ttft); !alike(i.Mean, 50) || i.Half > 1e-9 {
		t.Errorf("%+v: half as much again in every seed, so different the seeds are", i)
	}
	if i := ratio(firstsOf(0, 8, 5), firstsOf(1, 4, 0), ttft); !alike(i.Mean, 100) || i.Half != 0 {
		t.Errorf("%+v: want what is left when seeds with a zero are gone", i)
	}
}

func TestGeometric_GoesOverWorkloadsThenSeeds(t *testing.T) {
	r := &Result{Config: Config{Seeds: 2}, Cells: [][]Cell{
		{{Runs: firstsOf(1, 1)}, {Runs: firstsOf(2, 4)}},
		{{Runs: firstsOf(10, 10)}, {Runs: firstsOf(20, 10)}},
	}}
	// Seed one: 2 and 2, together 2. Seed two: 4 and 1, together 2.
	if i := r.geometric(1, 0, ttft); !alike(i.Mean, 2) || i.Half > 1e-9 {
		t.Errorf("%+v, want 2", i)
	}
	r.Cells[1][1].Runs = firstsOf(5, 40)
	// Seed one: 2 and 1/2, together 1. Seed two: 4 and 4, together 4.
	if i := r.geometric(1, 0, ttft); !alike(i.Mean, 2) || !alike(i.Half, 2*12.706*math.Ln2) {
		t.Errorf("%+v, want 2 ±%.1f", i, 2*12.706*math.Ln2)
	}
}

func TestQuantile(t *testing.T) {
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 0.99: 3.97, 1: 4} {
		if got := quantile([]float64{4, 1, 3, 2}, q); !alike(got, want) {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || mean(nil) != 0 {
		t.Error("of nothing: want 0")
	}
}

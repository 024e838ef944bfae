package tokenize

import (
	"math"
	"sync"
	"testing"
)

func TestEstimator_LearnsFromWhatEnginesCount(t *testing.T) {
	e := NewEstimator()
	if got := e.Tokens(4000); got != 1000 {
		t.Errorf("an untaught estimator counts %d tokens in 4000 bytes", got)
	}
	for range 200 {
		e.Observe(8000, 4000)
	}
	if math.Abs(e.Ratio()-2) > 0.01 {
		t.Errorf("after 200 prompts of 2 bytes a token: %.3f", e.Ratio())
	}
	for _, odd := range [][2]int{{0, 1}, {10, 1}, {8000, 0}, {8000, -1}, {8000, 1}, {100, 100_000}} {
		e.Observe(odd[0], odd[1])
	}
	if math.Abs(e.Ratio()-2) > 0.01 {
		t.Errorf("impossible observations were learned: %.3f", e.Ratio())
	}
	if e.Tokens(0) != 1 || (*Estimator)(nil).Tokens(8) != 2 {
		t.Error("the least estimate is one token, that of no estimator a quarter of the bytes")
	}
}

func TestEstimator_Concurrent(t *testing.T) {
	e := NewEstimator()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				e.Observe(6000, 2000)
				e.Tokens(100)
			}
		})
	}
	wg.Wait()
	if math.Abs(e.Ratio()-3) > 0.01 {
		t.Errorf("ratio %.3f", e.Ratio())
	}
}

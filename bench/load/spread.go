package load

import (
	"math"
	"slices"
)

// Spread sums up a set of values. All are 0 when there are none.
type Spread struct {
	N                   int
	Mean, P50, P90, P99 float64
}

// newSpread sums up values, which it sorts.
func newSpread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return Spread{
		N:    len(values),
		Mean: sum / float64(len(values)),
		P50:  quantile(values, 0.50),
		P90:  quantile(values, 0.90),
		P99:  quantile(values, 0.99),
	}
}

// quantile interpolates linearly between the two nearest values, as NumPy and AIPerf do.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func (s Spread) stretched(by float64) Spread {
	return Spread{N: s.N, Mean: s.Mean * by, P50: s.P50 * by, P90: s.P90 * by, P99: s.P99 * by}
}

package sweep

import (
	"math"
	"math/rand/v2"
	"time"
)

// dice are the random draws of a plan.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream*0x9e3779b97f4a7c15+1))}
}

// even draws a whole number between low and high, both included.
func (d dice) even(low, high int) int { return low + d.IntN(high-low+1) }

// after draws an exponential time, such as the gap between arrivals or a user's thinking.
func (d dice) after(mean float64) time.Duration {
	return time.Duration(d.ExpFloat64() * mean * float64(time.Second))
}

// upTo draws a time between 0 and most.
func (d dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.Float64() * float64(most))
}

// answerShape is the shape of the gamma distribution of answer lengths.
const answerShape = 2.2

// length draws the length of an answer: gamma distributed with this mean, at most longest tokens. It sums the method of Marsaglia
// and Tsang (ACM TOMS 26(3), 2000).
func (d dice) length(mean float64, longest int) int {
	const shape = answerShape - 1.0/3
	for {
		x := d.NormFloat64()
		v := 1 + x/math.Sqrt(9*shape)
		v *= v * v
		if v > 0 && math.Log(d.Float64()) < x*x/2+shape*(1-v+math.Log(v)) {
			return min(longest, max(1, int(math.Round(shape*v*mean/answerShape))))
		}
	}
}

// zipf draws 0 to n-1, of which i comes with a weight of 1/(i+1).
func (d dice) zipf(n int) int {
	total := 0.0
	for i := range n {
		total += 1 / float64(i+1)
	}
	at := d.Float64() * total
	for i := range n {
		if at -= 1 / float64(i+1); at < 0 {
			return i
		}
	}
	return n - 1
}

package tokenize

import (
	"math"
	"sync/atomic"
)

// Bounds and speed of what an Estimator learns, in canonical bytes per token.
const (
	startRatio   = 4.0  // English, Chinese and code under current vocabularies lie between 3.5 and 5
	minRatio     = 0.5  // below it the engine counts what the text does not show (images)
	maxRatio     = 16.0 // above it the engine cut the prompt
	learnStep    = 0.05 // share of a new observation of full weight
	fullWeight   = 4096 // bytes of a prompt from which on an observation has full weight
	leastToLearn = 64   // bytes; shorter prompts are mostly template
)

// Estimator turns canonical bytes into tokens by a ratio that it learns from what engines report.
// One belongs to each model. It is safe for concurrent use.
type Estimator struct {
	ratio atomic.Uint64 // bits of a float64; zero means startRatio
}

// NewEstimator returns an estimator that starts at 4 bytes per token.
func NewEstimator() *Estimator { return &Estimator{} }

// Ratio returns the bytes per token believed now.
func (e *Estimator) Ratio() float64 {
	if e == nil {
		return startRatio
	}
	if bits := e.ratio.Load(); bits != 0 {
		return math.Float64frombits(bits)
	}
	return startRatio
}

// Tokens returns the estimated tokens of that many canonical bytes, at least 1.
func (e *Estimator) Tokens(bytes int) int {
	return max(1, int(math.Round(float64(bytes)/e.Ratio())))
}

// Observe learns from a prompt of that many canonical bytes for which the engine counted tokens.
// Long prompts weigh more; what cannot be right is left out.
func (e *Estimator) Observe(bytes, tokens int) {
	if e == nil || bytes < leastToLearn || tokens <= 0 {
		return
	}
	seen := float64(bytes) / float64(tokens)
	if seen < minRatio || seen > maxRatio {
		return
	}
	step := learnStep * min(1, float64(bytes)/fullWeight)
	for {
		old := e.ratio.Load()
		now := startRatio
		if old != 0 {
			now = math.Float64frombits(old)
		}
		if e.ratio.CompareAndSwap(old, math.Float64bits(now+step*(seen-now))) {
			return
		}
	}
}

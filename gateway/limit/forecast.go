package limit

import (
	"math"
	"sync"
)

// What an answer is expected to need before enough of its model's have been seen, and how many are enough.
const (
	unknownOutput = 256
	enoughAnswers = 20
)

const (
	forecastShare  = 0.9  // of answers that need no more than expected
	forecastGrowth = 1.01 // weight of an answer beside the one before it: about the last hundred count
	forecastModels = 1000 // whose answers are remembered; further ones share one memory
	perDoubling    = 4    // steps of length in a doubling
	forecastSteps  = 20 * perDoubling
)

// forecast learns how long the answers of each model are. It is safe for concurrent use.
type forecast struct {
	mu     sync.Mutex // guards models and what they point to
	models map[string]*lengths
}

// lengths is how often answers of each length came: step i holds those of up to 2^(i/4) tokens.
type lengths struct {
	seen   int
	weight float64 // of the next answer
	steps  [forecastSteps + 1]float64
}

func newForecast() *forecast { return &forecast{models: make(map[string]*lengths)} }

func (f *forecast) of(model string) *lengths {
	l := f.models[model]
	if l == nil && len(f.models) >= forecastModels {
		model = ""
		l = f.models[model]
	}
	if l == nil {
		l = &lengths{weight: 1}
		f.models[model] = l
	}
	return l
}

// observe learns from an answer of that many tokens.
func (f *forecast) observe(model string, tokens int) {
	if tokens < 1 {
		return
	}
	step := min(forecastSteps, int(math.Ceil(perDoubling*math.Log2(float64(tokens)))))
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.of(model)
	l.seen++
	l.steps[step] += l.weight
	if l.weight *= forecastGrowth; l.weight > 1e100 {
		for i := range l.steps {
			l.steps[i] /= l.weight
		}
		l.weight = 1
	}
}

// expect returns what nine of ten answers need, at most most tokens (0 = no bound).
func (f *forecast) expect(model string, most int) int {
	n := f.usual(model)
	switch {
	case n == 0 && most > 0:
		return most
	case n == 0:
		return unknownOutput
	case most > 0:
		return min(n, most)
	}
	return n
}

// usual returns what nine of ten answers need, 0 while too few have been seen.
func (f *forecast) usual(model string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.of(model)
	if l.seen < enoughAnswers {
		return 0
	}
	total := 0.0
	for _, w := range l.steps {
		total += w
	}
	sum := 0.0
	for i, w := range l.steps {
		if sum += w; sum >= forecastShare*total {
			return int(math.Ceil(math.Exp2(float64(i) / perDoubling)))
		}
	}
	return 0
}

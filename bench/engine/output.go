package engine

import (
	"math"
	"math/rand/v2"
)

// Free answers have a length drawn from a Gamma distribution of this shape, cut at freeCap tokens unless the request
// says how many it allows.
const (
	outputShape = 2.2
	freeCap     = 800
)

// lengths says what a request wants of its answer's length.
type lengths struct {
	limit     int  // most tokens that fit; at least 1
	asked     bool // the request itself set the limit
	least     int  // min_tokens
	ignoreEOS bool
}

// answer is a generated text before it is generated: it depends on its key and on lengths alone, so that every replica
// gives the same one.
type answer struct {
	words  []uint16
	spaced bool // the first word has a space before it, because it continues the prompt
	cut    bool // it ends because the limit was reached (finish_reason length, not stop)
}

// newAnswer draws the answer for a key.
func newAnswer(key uint64, mean float64, want lengths, spaced bool) answer {
	n, cut := want.limit, true
	if !want.ignoreEOS {
		free := gamma(key, mean)
		if !want.asked {
			free = min(free, freeCap)
		}
		free = max(free, want.least)
		n, cut = min(free, want.limit), free > want.limit
	}
	a := answer{words: make([]uint16, n), spaced: spaced, cut: cut}
	text := newWriter(key)
	for i := range a.words {
		a.words[i] = text.draw()
	}
	return a
}

// appendText appends the words from up to to.
func (a *answer) appendText(dst []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		if i > 0 || a.spaced {
			dst = append(dst, ' ')
		}
		dst = append(dst, words[a.words[i]]...)
	}
	return dst
}

// appendTokens appends the ids of the whole answer: those that the tokeniser gives for its text.
func (a *answer) appendTokens(dst []uint32) []uint32 {
	var piece []byte
	for i := range a.words {
		piece = a.appendText(piece[:0], i, i+1)
		dst = append(dst, tokenID(string(piece)))
	}
	return dst
}

// gamma draws a length of at least 1 with the given mean (Marsaglia and Tsang's method).
func gamma(key uint64, mean float64) int {
	rng := rand.New(rand.NewPCG(key, 0x7f4a7c15))
	d := outputShape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return max(1, int(math.Round(d*v*mean/outputShape)))
		}
	}
}

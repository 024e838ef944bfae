package config

import (
	"math"
	"testing"
)

func TestPrices_Cost(t *testing.T) {
	p := Prices{Models: []Price{{Models: []string{"qwen-max"}, Input: 2.5, Cached: 0.5, Output: 10}, {Models: []string{"qwen*"}, Input: 2}}}
	f := func(model string, input, cached, output int, want int64) {
		t.Helper()
		if got := p.Of(model).Cost(input, cached, output); got != want {
			t.Errorf("%s, %d tokens in, %d of them cached, %d out: %d millionths, want %d", model, input, cached, output, got, want)
		}
	}
	f("qwen-max", 1000, 0, 100, 3500)
	f("qwen-max", 1000, 400, 100, 600*5/2+200+1000)
	f("qwen-max", 1, 0, 0, 3)         // rounded up
	f("qwen-max", 10, 20, 0, 5)       // no more can be cached than there is
	f("qwen-max", 10, -1, 0, 25)      // not known
	f("qwen-turbo", 10, 5, 1000, 20)  // cached as input, the answer for nothing
	f("llama3", 1000, 0, 1000, 0)     // no price
	f("qwen-max", 1e9, 0, 1e9, 125e8) // no overflow
}

// What costs more than can be counted costs as much as can be.
func TestPrice_CostsThatCannotBeCounted(t *testing.T) {
	p := Price{Input: 1e6, Output: 1e6}
	if got := p.Cost(math.MaxInt, 0, math.MaxInt); got < 1e15 {
		t.Errorf("costs %d", got)
	}
}

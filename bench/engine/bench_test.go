package engine_test

import (
	"testing"

	"github.com/warmlane/warmlane/bench/engine"
)

// BenchmarkCore measures a step of a core that keeps 64 sequences decoding.
func BenchmarkCore(b *testing.B) {
	core := engine.New(engine.CoreConfig{})
	requests := make([]engine.Request, 64)
	for i := range requests {
		requests[i] = engine.Request{Prompt: 200 + i, Output: 200}
		if err := core.Submit(&requests[i], 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	tokens := 0
	for b.Loop() {
		now := core.Next()
		for _, e := range core.Advance(now) {
			tokens++
			if e.Last {
				if err := core.Submit(e.Request, now); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(tokens), "ns/token")
}

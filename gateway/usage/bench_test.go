package usage_test

import (
	"testing"

	"github.com/warmlane/warmlane/gateway/usage"
)

func BenchmarkRecord(b *testing.B) {
	book := open(b, usage.Options{})
	e := usage.Entry{Consumer: "dify", App: "shop", Model: "llama3-8b-instruct", Target: "llama3", Route: "shop", Prompt: 900, Output: 80, Cost: 12}
	b.ReportAllocs()
	for b.Loop() {
		book.Record(&e)
	}
}

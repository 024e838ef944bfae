//go:build !race

package observe_test

import (
	"testing"

	"github.com/warmlane/warmlane/gateway/observe"
)

// The race detector empties pools at random, so that allocations count only without it.

func TestAccessLog_IsCheap(t *testing.T) {
	log := observe.NewAccessLog(observe.NewHandler(discard{}, "json", observe.Level("info")))
	r := fullRecord()
	if n := testing.AllocsPerRun(200, func() { log.Write(&r) }); n > 5 {
		t.Errorf("%v allocations a line, want at most 5", n)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

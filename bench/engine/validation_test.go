package engine_test

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// realRequest is one request of the measured run; times in seconds since the first arrival.
type realRequest struct {
	arrival, first, end float64
	input, output       int
}

// means are the figures that are compared; TTFT, TPOT and E2E in seconds.
type means struct{ ttft, tpot, e2e, end float64 }

func (m *means) add(arrival, first, end float64, output int) {
	m.ttft += first - arrival
	m.e2e += end - arrival
	if output > 1 {
		m.tpot += (end - first) / float64(output-1)
	}
	m.end = max(m.end, end)
}

func (m *means) divide(n float64) { m.ttft, m.tpot, m.e2e = m.ttft/n, m.tpot/n, m.e2e/n }

// TestCore_ReproducesRealRun replays a measured run of vLLM 0.19 on an RTX 4090 and compares the means. The run
// overloads the card, so that queueing, chunked prefill and preemption all count; it has no prefix reuse.
func TestCore_ReproducesRealRun(t *testing.T) {
	run := readRun(t, "testdata/vllm019-rtx4090-llama31-8b.csv")
	preset, err := engine.LookupPreset("rtx4090-llama31-8b")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(3) {
		core := engine.New(engine.CoreConfig{Preset: preset, Seed: seed})
		requests := make([]engine.Request, len(run))
		for i, r := range run {
			requests[i] = engine.Request{Prompt: r.input, Output: r.output}
			at := time.Duration(r.arrival * 1e9)
			core.Advance(at)
			if err := core.Submit(&requests[i], at); err != nil {
				t.Fatal(err)
			}
		}
		for core.Next() != engine.Never {
			core.Advance(core.Next())
		}
		var measured, simulated means
		for i, r := range run {
			q := &requests[i]
			measured.add(r.arrival, r.first, r.end, r.output)
			simulated.add(q.Arrived.Seconds(), q.FirstToken.Seconds(), q.Finished.Seconds(), q.Output)
		}
		measured.divide(float64(len(run)))
		simulated.divide(float64(len(run)))
		compare := func(name string, m, s, unit float64) {
			off := s/m - 1
			t.Logf("seed %d  %-9s measured %9.1f  simulated %9.1f  %+.1f %%", seed, name, m*unit, s*unit, off*100)
			if math.Abs(off) > 0.05 {
				t.Errorf("%s is off by %.1f %%, at most 5 %% are allowed", name, off*100)
			}
		}
		compare("TTFT ms", measured.ttft, simulated.ttft, 1e3)
		compare("TPOT ms", measured.tpot, simulated.tpot, 1e3)
		compare("E2E ms", measured.e2e, simulated.e2e, 1e3)
		compare("end s", measured.end, simulated.end, 1)
		t.Logf("seed %d  preemptions %d", seed, core.Counters().Preemptions)
	}
}

func readRun(t *testing.T, path string) []realRequest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var run []realRequest
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "arrival") {
			continue
		}
		var r realRequest
		if _, err := fmt.Sscanf(line, "%g,%d,%d,%g,%g", &r.arrival, &r.input, &r.output, &r.first, &r.end); err != nil {
			t.Fatalf("reading %q: %v", line, err)
		}
		run = append(run, r)
	}
	if len(run) != 300 {
		t.Fatalf("%s has %d requests, want 300", path, len(run))
	}
	return run
}

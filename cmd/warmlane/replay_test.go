package main

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/warmlane/warmlane/bench/load"
	"github.com/warmlane/warmlane/bench/sweep"
	"github.com/warmlane/warmlane/bench/workload"
)

// TestReplay_PredictsTheHitRateOfARecordedRun records a run through the real gateway and plays the record in virtual time.
func TestReplay_PredictsTheHitRateOfARecordedRun(t *testing.T) {
	const policy = "warm"
	trace := filepath.Join(t.TempDir(), "trace.jsonl")
	c := DemoCmd{TimeScale: 20, Sessions: 30, Turns: 5, Concurrency: 10, Replicas: 3, Preset: "a10-llama3-8b", Seed: 5}
	s, err := raise(policy, c.replica(), c.Replicas, trace)
	if err != nil {
		t.Fatal(err)
	}
	_, counts, err := c.play(t.Context(), s, func(load.Progress) {})
	if closed := s.close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	measured := load.EngineHitRate(counts)

	requests, err := workload.ReadTrace(trace)
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := sweep.ParseFleet("3xa10-llama3-8b")
	if err != nil {
		t.Fatal(err)
	}
	result, err := sweep.Run(t.Context(), sweep.Config{
		Workloads: []sweep.Workload{sweep.Trace("trace", requests, 1/c.TimeScale)},
		Policies:  []string{policy}, Baseline: policy, Seeds: 5, Fleet: fleet, SLO: sweep.DefaultSLO(),
	})
	if err != nil {
		t.Fatal(err)
	}
	predicted := 0.0
	for _, m := range result.Cells[0][0].Runs {
		if m.Complete != len(requests) {
			t.Errorf("%d of %d requests were answered in the replay", m.Complete, len(requests))
		}
		predicted += m.Hit / float64(len(result.Cells[0][0].Runs))
	}
	t.Logf("hit rate %.3f measured, %.3f predicted, of %d requests", measured, predicted, len(requests))
	if math.Abs(measured-predicted) > 0.02 {
		t.Errorf("the replay predicts a hit rate of %.3f, measured were %.3f", predicted, measured)
	}
}

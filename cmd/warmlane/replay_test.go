package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/load"
	"github.com/warmlane/warmlane/bench/sweep"
	"github.com/warmlane/warmlane/bench/workload"
)

// figures are what engines counted. Times are their own.
type figures struct {
	hit  float64
	ttft time.Duration // mean
}

func (f figures) String() string {
	return fmt.Sprintf("hit rate %.3f, mean TTFT %.1f ms", f.hit, f.ttft.Seconds()*1e3)
}

// recordedRun plays the demo's workload through the real gateway. lag is the share by which the engines were late.
func recordedRun(t *testing.T, c *DemoCmd, policy string, ingest time.Duration) (requests []workload.TraceRequest, counted figures, lag float64) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace.jsonl")
	replica := c.replica()
	replica.Ingest = ingest
	s, err := raise(policy, replica, c.Replicas, trace)
	if err != nil {
		t.Fatal(err)
	}
	result, counts, err := c.play(t.Context(), s, func(load.Progress) {})
	lag = s.lag()
	sum, n := 0.0, 0
	for _, server := range s.servers {
		stats := server.Stats()
		sum, n = sum+stats.TTFT.Sum, n+int(stats.TTFT.Count)
	}
	if closed := s.close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	if result.Errors > 0 {
		t.Fatalf("%d of %d requests failed: %v", result.Errors, result.Requests, result.Examples)
	}
	if requests, err = workload.ReadTrace(trace); err != nil {
		t.Fatal(err)
	}
	// The gateway's probes are in the engines' histograms, but not in its record.
	probes := n - len(requests)
	mean := (sum - float64(probes)*probed(t, c.Preset)) / float64(len(requests))
	counted = figures{hit: load.EngineHitRate(counts), ttft: time.Duration(mean * float64(time.Second))}
	seen := time.Duration(0)
	for i := range requests {
		seen += requests[i].TTFT
	}
	t.Logf("FIGURE %s on engines behind HTTP, time scale %g: %v (%.1f ms at the gateway), %d requests and %d probes, engines late by %.2f %%",
		policy, c.TimeScale, counted, seen.Seconds()*1e3*c.TimeScale/float64(len(requests)), len(requests), probes, 100*lag)
	return requests, counted, lag
}

// punctualRun records again, up to twice, where the machine was too busy for the engines.
func punctualRun(t *testing.T, c *DemoCmd, policy string) (requests []workload.TraceRequest, counted figures) {
	t.Helper()
	const noIngest = -1
	var late error
	for range 3 {
		var lag float64
		requests, counted, lag = recordedRun(t, c, policy, noIngest)
		if late = c.punctual(policy, lag); late == nil {
			return requests, counted
		}
	}
	t.Fatal(late)
	return nil, counted
}

// probed is how long an idle replica takes for the first token of a generation probe of 32 tokens, in seconds.
func probed(t *testing.T, preset string) float64 {
	t.Helper()
	p, err := engine.LookupPreset(preset)
	if err != nil {
		t.Fatal(err)
	}
	core := engine.New(engine.CoreConfig{Preset: p, Noise: -1})
	if err := core.Submit(&engine.Request{Prompt: 32, Output: 1}, 0); err != nil {
		t.Fatal(err)
	}
	core.Advance(0)
	core.Advance(core.Next())
	return core.Stats().TTFT.Sum
}

// replayed plays a record in virtual time, by each policy, and returns the means over five seeds.
func replayed(t *testing.T, c *DemoCmd, requests []workload.TraceRequest, policies ...string) []figures {
	t.Helper()
	fleet, err := sweep.ParseFleet(fmt.Sprint(c.Replicas, "x", c.Preset))
	if err != nil {
		t.Fatal(err)
	}
	result, err := sweep.Run(t.Context(), sweep.Config{
		Workloads: []sweep.Workload{sweep.Trace("trace", requests, 1/c.TimeScale)},
		Policies:  policies, Baseline: policies[0], Seeds: 5, Fleet: fleet, SLO: sweep.DefaultSLO(),
	})
	if err != nil {
		t.Fatal(err)
	}
	predicted := make([]figures, len(policies))
	for i := range policies {
		runs := result.Cells[0][i].Runs
		for _, m := range runs {
			if m.Complete != len(requests) {
				t.Errorf("%d of %d requests were answered in the replay", m.Complete, len(requests))
			}
			predicted[i].hit += m.Hit / float64(len(runs))
			predicted[i].ttft += time.Duration(m.TTFT / float64(len(runs)) * float64(time.Second))
		}
	}
	return predicted
}

// TestReplay_PredictsTheHitRateOfARecordedRun records a run through the real gateway and plays the record in virtual time.
// TestPromise_VirtualTimeIsTheWallClock holds it to two points; here the machine may be busy, and late engines find less.
func TestReplay_PredictsTheHitRateOfARecordedRun(t *testing.T) {
	c := DemoCmd{TimeScale: 20, Sessions: 30, Turns: 5, Concurrency: 10, Replicas: 3, Preset: "a10-llama3-8b", Seed: 5}
	requests, measured, _ := recordedRun(t, &c, "warm", 0)
	holdHits(t, measured, replayed(t, &c, requests, "warm")[0], 0.06)
}

// holdHits fails the test where the hit rate of a replay is further off than most.
func holdHits(t *testing.T, measured, predicted figures, most float64) {
	t.Helper()
	t.Logf("FIGURE in virtual time: %v; behind HTTP its mean TTFT is %+.1f %% off", predicted, 100*measured.off(predicted))
	if math.Abs(measured.hit-predicted.hit) > most {
		t.Errorf("the replay predicts a hit rate of %.3f, measured were %.3f", predicted.hit, measured.hit)
	}
}

// pooled is the mean of runs of equal size.
func pooled(runs []figures) (mean figures) {
	for _, f := range runs {
		mean.hit += f.hit / float64(len(runs))
		mean.ttft += f.ttft / time.Duration(len(runs))
	}
	return mean
}

// off is how far the mean TTFT is from another, as a share of that.
func (f figures) off(other figures) float64 { return float64(f.ttft)/float64(other.ttft) - 1 }

// TestPromise_VirtualTimeIsTheWallClock holds the sweep against the same engines behind HTTP in wall-clock time. It takes three to
// five minutes.
//
// A sweep's engines have no ingest, so these have none either. What is left between the two is HTTP: a caller that asks again when its
// answer has ended does so a moment after a step of its engine began, and waits for the end of it. All that lies between, on the way from
// the engine to the caller and back, is taken from the time that the engine sees it wait. That is about 1 ms of wall-clock
// time: 1 % of a TTFT of 80 ms at time scale 1, and 10 % of it at time scale 10, where only the order of policies is held.
func TestPromise_VirtualTimeIsTheWallClock(t *testing.T) {
	if os.Getenv("WARMLANE_PROMISES") == "" {
		t.Skip("make promises measures it")
	}
	// Three excerpts at once: the mean of the 60 requests of one varies by some percent from run to run.
	var measured, predicted [3]figures
	t.Run("time scale 1", func(t *testing.T) {
		for i := range measured {
			t.Run(fmt.Sprint("seed ", i+1), func(t *testing.T) {
				t.Parallel()
				c := DemoCmd{TimeScale: 1, Sessions: 12, Turns: 5, Concurrency: 6, Replicas: 3, Preset: "a10-llama3-8b", Seed: uint64(i) + 1}
				var requests []workload.TraceRequest
				requests, measured[i] = punctualRun(t, &c, "warm")
				predicted[i] = replayed(t, &c, requests, "warm")[0]
				holdHits(t, measured[i], predicted[i], 0.02)
			})
		}
	})
	off := pooled(measured[:]).off(pooled(predicted[:]))
	t.Logf("FIGURE at time scale 1: behind HTTP %v, in virtual time %v, mean TTFT %+.1f %% off", pooled(measured[:]), pooled(predicted[:]), 100*off)
	if math.Abs(off) > 0.05 {
		t.Errorf("mean TTFT is %.1f %% off", 100*off)
	}
	t.Run("time scale 10", func(t *testing.T) {
		c := DemoCmd{TimeScale: 10, Sessions: 60, Turns: 5, Concurrency: 20, Replicas: 3, Preset: "a10-llama3-8b", Seed: 1}
		names := []string{"round_robin", "least_request", "warm"} // slowest first
		var requests []workload.TraceRequest
		var measured []figures
		for _, policy := range names {
			var one figures
			requests, one = punctualRun(t, &c, policy)
			measured = append(measured, one)
		}
		predicted := replayed(t, &c, requests, names...) // of warm's record, which comes last
		holdHits(t, measured[2], predicted[2], 0.02)
		for _, all := range [][]figures{measured, predicted} {
			t.Logf("FIGURE %v: %v", names, all)
			if all[0].ttft <= all[1].ttft || all[1].ttft <= all[2].ttft {
				t.Errorf("%v have %v, want each to be faster than the one before", names, all)
			}
		}
	})
}

package engine_test

import (
	"math"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/bench/engine"
)

// TestPresets_DensePartFollowsTheMeasuredTables compares the dense part of a step with the times that LLMServingSim
// (the RTX cards) and Vidur (A100) measured for 1, 256 and 2048 tokens.
func TestPresets_DensePartFollowsTheMeasuredTables(t *testing.T) {
	for name, measured := range map[string][3]float64{
		"rtx4090-llama31-8b":    {15.2, 23.8, 180},
		"rtxpro6000-llama31-8b": {10.1, 13.8, 76.2},
		"a100-80-llama3-8b":     {9.7, 19.5, 145.7},
	} {
		p, err := engine.LookupPreset(name)
		if err != nil {
			t.Fatal(err)
		}
		m := engine.StepModel{Weights: p.Step.Weights, PerToken: p.Step.PerToken, P: p.Step.P, KVBandwidth: 1, AttnFlops: 1}
		for i, tokens := range []int{1, 256, 2048} {
			got := m.Seconds(&engine.Batch{Tokens: tokens}) * 1e3
			if math.Abs(got/measured[i]-1) > 0.1 {
				t.Errorf("%s, %d tokens: %.1f ms, measured %.1f", name, tokens, got, measured[i])
			}
		}
	}
}

func TestPresets_AreCompleteAndDistinct(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range engine.Presets() {
		if seen[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		seen[p.Name] = true
		if p.Blocks*16 < 8192 || p.MaxModelLen < 8192 || p.MaxSeqs < 1 || p.MaxBatchedTokens < 1 || p.Source == "" {
			t.Errorf("%s is incomplete: %+v", p.Name, p)
		}
		core := engine.New(engine.CoreConfig{Preset: p, Noise: -1})
		q := &engine.Request{Prompt: 1000, Output: 100}
		if err := core.Submit(q, 0); err != nil {
			t.Fatal(err)
		}
		for core.Next() != engine.Never {
			core.Advance(core.Next())
		}
		t.Logf("%-24s first token %4.0f ms, then %5.1f ms a token", p.Name, q.FirstToken.Seconds()*1e3, (q.Finished-q.FirstToken).Seconds()*1e3/99)
	}
	if _, err := engine.LookupPreset("tpu"); err == nil || !strings.Contains(err.Error(), engine.DefaultPreset) {
		t.Errorf("an unknown preset gives %v, want the names that exist", err)
	}
}

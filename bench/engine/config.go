package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Dialect names the engine whose metrics and error details a server imitates.
type Dialect string

// The dialects.
const (
	VLLM   Dialect = "vllm"
	SGLang Dialect = "sglang"
)

// Config sets up one simulated replica. Zero fields take the default named beside them.
type Config struct {
	Listen   string   // address; zero: 127.0.0.1:0, a free port
	Model    string   // served model name; zero: llama3
	Aliases  []string // further names of the same model, which share its cache
	Adapters []string // LoRA adapters: served names whose cache is apart
	Dialect  Dialect  // zero: VLLM

	Preset           string        // GPU and model; zero: DefaultPreset
	Blocks           int           // KV blocks of 16 tokens; zero: the preset's
	MaxSeqs          int           // zero: the preset's
	MaxBatchedTokens int           // zero: the preset's
	MaxModelLen      int           // zero: the preset's, at most what the blocks hold
	Slow             float64       // every step takes this many times as long; zero: 1
	Noise            float64       // sigma of the steps' lognormal noise; zero: 0.03, negative: none
	Ingest           time.Duration // simulated time from the arrival of a request to the scheduler; zero: 2 ms, negative: none
	TimeScale        float64       // the engine runs this many times faster than a real one; zero: 1

	Seed       uint64  // of the answers: replicas of one run share it, then equal prompts get equal answers on each of them
	Replica    int     // number of the replica; only the noise of its steps depends on it
	OutputMean float64 // mean length of answers whose length is free, tokens; zero: 300

	MaxQueuedReqs  int    // more requests in flight are refused; zero: no limit
	RejectInStream bool   // a refused stream gets 200 and an error event, as vLLM often answers, and not 503
	NoTokenDetails bool   // usage without cached_tokens, as vLLM without --enable-prompt-tokens-details
	APIKey         string // wanted as Bearer token below /v1; zero: none

	KeepAlive  time.Duration // idle connections are closed after it, wall-clock time; zero: 5 s, as uvicorn does
	StartDelay time.Duration // simulated time from a start (also a restart) until the port opens
	Faults     []Fault       // what will happen to the replica, in any order

	Log *slog.Logger // zero: nothing is logged
}

// withDefaults fills in the defaults and checks the rest.
func (cfg Config) withDefaults() (Config, Preset, error) {
	fill(&cfg.Listen, "127.0.0.1:0")
	fill(&cfg.Model, "llama3")
	fill(&cfg.Dialect, VLLM)
	fill(&cfg.Preset, DefaultPreset)
	fill(&cfg.Slow, 1)
	fill(&cfg.TimeScale, 1)
	fill(&cfg.OutputMean, 300)
	fill(&cfg.Ingest, 2*time.Millisecond)
	fill(&cfg.KeepAlive, 5*time.Second)
	cfg.Ingest = max(cfg.Ingest, 0)
	cfg.Faults = slices.Clone(cfg.Faults)
	slices.SortStableFunc(cfg.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	preset, err := LookupPreset(cfg.Preset)
	if err != nil {
		return cfg, preset, err
	}
	fill(&cfg.Blocks, preset.Blocks)
	fill(&cfg.MaxModelLen, min(preset.MaxModelLen, cfg.Blocks*16))
	return cfg, preset, errors.Join(
		check(cfg.Dialect == VLLM || cfg.Dialect == SGLang, "dialect %q: it is vllm or sglang", cfg.Dialect),
		check(cfg.TimeScale > 0, "time scale %v: it must be positive", cfg.TimeScale),
		check(cfg.Slow > 0, "slow factor %v: it must be positive", cfg.Slow),
		check(cfg.OutputMean >= 1, "output mean %v: it must be at least 1", cfg.OutputMean),
		check(cfg.MaxModelLen <= cfg.Blocks*16, "max model length %d: %d blocks hold %d tokens", cfg.MaxModelLen, cfg.Blocks, cfg.Blocks*16),
	)
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

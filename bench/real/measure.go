package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// workload are the conversations that each run plays.
type workload struct {
	sessions, turns, concurrency, input, output int
	seed                                        uint64
}

// result is one run.
type result struct {
	name             string
	requests, failed int
	ttft, latency    float64 // means, ms
	engines          []counters
}

// hitRate is the share of prompt tokens that the engines found in their caches.
func (r *result) hitRate() float64 {
	var queries, hits float64
	for _, c := range r.engines {
		queries, hits = queries+c.queries, hits+c.hits
	}
	if queries == 0 {
		return math.NaN()
	}
	return hits / queries
}

// measure empties the caches, plays the conversations against a URL and tells what the load generator and the engines counted.
func measure(ctx context.Context, o options, name, url string, replicas []replica) (result, error) {
	before := make([]counters, len(replicas))
	for i, r := range replicas {
		if err := r.chill(ctx); err != nil {
			return result{}, err
		}
		var err error
		if before[i], err = r.count(ctx); err != nil {
			return result{}, fmt.Errorf("reading the counters of %s: %w", r.url, err)
		}
	}
	played, err := o.load.play(ctx, o.binary, url)
	if err != nil {
		return result{}, err
	}
	played.name = name
	for i, r := range replicas {
		after, err := r.count(ctx)
		if err != nil {
			return result{}, fmt.Errorf("reading the counters of %s: %w", r.url, err)
		}
		played.engines = append(played.engines, after.since(before[i]))
	}
	return played, nil
}

// play runs `warmlane load`.
func (w workload) play(ctx context.Context, binary, url string) (result, error) {
	command := exec.CommandContext(ctx, binary, "load", "--url", url, "--model", "tiny",
		"--sessions", strconv.Itoa(w.sessions), "--turns", strconv.Itoa(w.turns), "--concurrency", strconv.Itoa(w.concurrency),
		"--input-tokens", strconv.Itoa(w.input), "--output-tokens", strconv.Itoa(w.output),
		"--seed", strconv.FormatUint(w.seed, 10), "--temperature", "0", "--json") // the same answers in each run
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil && len(out) == 0 {
		return result{}, fmt.Errorf("warmlane load: %w", err)
	}
	return parseLoad(out)
}

// parseLoad reads the object that `warmlane load --json` prints. Failed requests are part of it, whatever its exit status.
func parseLoad(out []byte) (result, error) {
	var told struct {
		Requests int                    `json:"requests"`
		Errors   int                    `json:"errors"`
		TTFT     struct{ Mean float64 } `json:"ttft_ms"`
		Request  struct{ Mean float64 } `json:"request_ms"`
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return result{}, fmt.Errorf("reading what warmlane load printed: %w", err)
	}
	if told.Requests == 0 {
		return result{}, fmt.Errorf("warmlane load made no request: %s", out)
	}
	return result{requests: told.Requests, failed: told.Errors, ttft: told.TTFT.Mean, latency: told.Request.Mean}, nil
}

// table shows the results; the first one is the ideal.
func table(results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-18s %9s %9s %9s %7s %10s %11s  %s\n",
		"", "hit rate", "to ideal", "requests", "failed", "TTFT ms", "request ms", "requests per replica")
	ideal := results[0].hitRate()
	for i, r := range results {
		distance := ""
		if i > 0 {
			distance = fmt.Sprintf("%+.3f", r.hitRate()-ideal)
		}
		counts := make([]string, len(r.engines))
		for j, c := range r.engines {
			counts[j] = strconv.Itoa(c.requests)
		}
		fmt.Fprintf(&b, "%-18s %9.3f %9s %9d %7d %10.0f %11.0f  %s\n",
			r.name, r.hitRate(), distance, r.requests, r.failed, r.ttft, r.latency, strings.Join(counts, " "))
	}
	b.WriteString("\nHit rate: prompt tokens found in the prefix cache, by the engines' own counters. The ideal is one replica alone: it sees\n" +
		"every block that a session sent before. Times are those of a toy model on the cores that all this shares.\n")
	return b.String()
}

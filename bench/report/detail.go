package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Detail is one run at length.
type Detail struct {
	Policy       Policy
	Duration     time.Duration // first request to last answer
	RequestRate  float64       // complete answers a second
	InterToken   Spread        // time between tokens, ms
	TurnTTFT     []Spread      // time to first token of each turn, ms
	PromptTokens int
	OutputTokens int
	Estimated    int               // answers whose tokens were counted by the client
	Examples     map[string]string // a message for each kind of failure
	CountedBy    string            // who counted the cache hits
}

// WriteText writes the run for people.
func (d *Detail) WriteText(w io.Writer) error {
	p := &d.Policy
	var b strings.Builder
	if p.Requests > p.Errors {
		b.WriteString(d.latencies().String() + "\n")
	}
	fmt.Fprintf(&b, "requests        %d in %.1f s (%.2f/s), %d failed\n", p.Requests, d.Duration.Seconds(), d.RequestRate, p.Errors)
	if ok := p.Requests - p.Errors; ok > 0 {
		fmt.Fprintf(&b, "output tokens   %d (%.1f/s, %.0f a request)%s\n", d.OutputTokens, p.OutputRate, float64(d.OutputTokens)/float64(ok), d.estimates())
		fmt.Fprintf(&b, "prompt tokens   %d (%.0f a request)\n", d.PromptTokens, float64(d.PromptTokens)/float64(ok))
	}
	if p.HitRate.Known() {
		fmt.Fprintf(&b, "cache hit rate  %s, counted by %s%s\n", percent(p.HitRate), d.CountedBy, d.ideal())
	}
	if len(p.PerReplica) > 0 {
		fmt.Fprintf(&b, "per replica     %s\n", replicas(p.PerReplica))
	}
	for _, kind := range sortedKeys(p.ErrorKinds) {
		fmt.Fprintf(&b, "failed          %d x %s: %s\n", p.ErrorKinds[kind], kind, d.Examples[kind])
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (d *Detail) latencies() *table {
	p, t := &d.Policy, &table{}
	t.add("", "mean", "p50", "p90", "p99")
	t.add("time to first token  ms", p.TTFT.row(1)...)
	t.add("request latency      ms", p.Request.row(0)...)
	t.add("inter-token latency  ms", d.InterToken.row(1)...)
	for i, turn := range d.TurnTTFT {
		t.add(fmt.Sprintf("  first token, turn %d", i+1), turn.row(1)...)
	}
	return t
}

func (d *Detail) estimates() string {
	if d.Estimated == 0 {
		return ""
	}
	return fmt.Sprintf(", of %d answers estimated: the server told no usage", d.Estimated)
}

func (d *Detail) ideal() string {
	if ideal := d.Policy.IdealHitRate; ideal != nil && ideal.Known() {
		return ", one endless cache would have " + percent(*ideal)
	}
	return ""
}

func (s Spread) row(decimals int) []string {
	return []string{fixed(s.Mean, decimals), fixed(s.P50, decimals), fixed(s.P90, decimals), fixed(s.P99, decimals)}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

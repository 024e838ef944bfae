package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warmlane/warmlane/bench/load"
	"github.com/warmlane/warmlane/bench/report"
	"github.com/warmlane/warmlane/bench/workload"
)

// LoadCmd drives any OpenAI-compatible URL with multi-turn conversations.
type LoadCmd struct {
	URL    string `required:"" help:"Base URL of the server, with or without /v1."`
	Model  string `help:"Model name; without it the first one that the server lists."`
	APIKey string `name:"api-key" env:"WARMLANE_LOAD_KEY" help:"Sent as bearer token."`

	Sessions     int           `default:"60" help:"Conversations."`
	Turns        int           `default:"5" help:"User turns in each."`
	Concurrency  int           `default:"20" help:"Requests in flight at most."`
	Open         int           `help:"Conversations begun and not ended at most, at least the concurrency; with more of them their turns mix at random."`
	Think        time.Duration `help:"Mean pause between an answer and the next turn."`
	InputTokens  string        `default:"200" placeholder:"N|MIN-MAX" help:"Tokens of user text in each turn (default 200)."`
	OutputTokens int           `default:"800" help:"max_tokens of each answer; 0 leaves it to the server."`
	IgnoreEOS    bool          `name:"ignore-eos" help:"Have the engine generate all of the output tokens."`
	SystemTokens int           `help:"Tokens of a system prompt before each conversation."`
	Prompts      int           `name:"system-prompts" default:"1" help:"Distinct system prompts among the conversations."`
	Temperature  *float64      `help:"Sampling temperature; without it the server's own."`
	Seed         uint64        `default:"1" help:"Seed of text, order and pauses."`
	Timeout      time.Duration `default:"2m" help:"Longest silence within a request."`

	Engines     []string `placeholder:"URL" help:"Engines behind the URL: cache hits and requests per replica are read from their own metrics."`
	BlockTokens int      `default:"16" help:"Block size of the engines' prefix cache, for the ideal hit rate."`
	Name        string   `default:"load" help:"Name of this run in the report."`
	Baseline    []string `type:"existingfile" placeholder:"FILE" help:"Earlier results of --json: print one table of these and this run."`
	JSON        bool     `name:"json" help:"Print the result as one JSON object."`
}

// Run plays the conversations and prints what they measured.
func (c *LoadCmd) Run(ctx context.Context) error {
	earlier, err := c.earlier()
	if err != nil {
		return err
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	bar := newProgress(os.Stderr)
	cfg.Progress = bar.track(c.Name, c.Sessions*c.Turns, 1)
	counts, result, err := measured(ctx, cfg, c.Engines)
	bar.close()
	if err != nil {
		return err
	}
	return c.print(earlier, result, counts)
}

// measured runs the load and counts the engines before and after it; counts is empty without engines.
func measured(ctx context.Context, cfg load.Config, engines []string) ([]load.EngineCount, *load.Result, error) {
	before, err := load.CountEngines(ctx, engines)
	if err != nil {
		return nil, nil, err
	}
	result, err := load.Run(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("running the load: %w", err)
	}
	counts, err := load.CountEngines(ctx, engines)
	if err != nil {
		return nil, nil, err
	}
	for i := range counts {
		counts[i] = counts[i].Since(before[i])
	}
	return counts, result, nil
}

func (c *LoadCmd) config() (load.Config, error) {
	input, err := tokenRange(c.InputTokens)
	if err != nil {
		return load.Config{}, err
	}
	if c.Open != 0 && c.Open < c.Concurrency {
		return load.Config{}, usageError(fmt.Sprintf("--open %d: fewer conversations than the concurrency %d", c.Open, c.Concurrency))
	}
	if c.Concurrency < 1 {
		return load.Config{}, usageError("--concurrency must be at least 1")
	}
	sessions, err := conversations(workload.Config{
		Seed: c.Seed, Sessions: c.Sessions, Turns: c.Turns, Input: input, SystemTokens: c.SystemTokens, SystemPrompts: c.Prompts,
	})
	if err != nil {
		return load.Config{}, usageError(err.Error())
	}
	return load.Config{
		URL: c.URL, Model: c.Model, APIKey: c.APIKey, Sessions: sessions, Concurrency: c.Concurrency, Open: c.Open, Think: c.Think,
		OutputTokens: c.OutputTokens, IgnoreEOS: c.IgnoreEOS, Temperature: c.Temperature, Seed: c.Seed, Timeout: c.Timeout,
		BlockTokens: c.BlockTokens,
	}, nil
}

// conversations makes the sessions of a workload.
func conversations(cfg workload.Config) ([]load.Conversation, error) {
	sessions, err := workload.New(cfg)
	if err != nil {
		return nil, err
	}
	talks := make([]load.Conversation, len(sessions))
	for i := range sessions {
		talks[i] = &sessions[i]
	}
	return talks, nil
}

// tokenRange reads N or MIN-MAX.
func tokenRange(text string) (workload.Range, error) {
	low, high, two := strings.Cut(text, "-")
	if !two {
		high = low
	}
	least, err := strconv.Atoi(low)
	most, err2 := strconv.Atoi(high)
	if err != nil || err2 != nil || least < 1 || most < least {
		return workload.Range{}, usageError(fmt.Sprintf("--input-tokens %s: it is a number or MIN-MAX, at least 1", text))
	}
	return workload.Range{Min: least, Max: most}, nil
}

// earlier reads the results to compare with.
func (c *LoadCmd) earlier() ([]report.Policy, error) {
	var policies []report.Policy
	for _, file := range c.Baseline {
		text, err := os.ReadFile(file) //nolint:gosec // the user names the file
		if err != nil {
			return nil, fmt.Errorf("reading the baseline: %w", err)
		}
		var p report.Policy
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&p); err != nil {
			return nil, fmt.Errorf("reading the baseline %s: %w", file, err)
		}
		policies = append(policies, p)
	}
	return policies, nil
}

func (c *LoadCmd) print(earlier []report.Policy, r *load.Result, counts []load.EngineCount) error {
	p := policyOf(c.Name, r, counts)
	ideal := report.Fraction(r.IdealHitRate())
	p.IdealHitRate = &ideal
	var err error
	switch {
	case c.JSON:
		err = p.WriteJSON(os.Stdout)
	case len(earlier) > 0:
		table := report.Comparison{Policies: append(earlier, p), Lag: report.Unknown()}
		err = table.WriteTable(os.Stdout)
	default:
		err = detailOf(p, r, len(counts) > 0).WriteText(os.Stdout)
	}
	if err == nil && r.Errors > 0 {
		err = fmt.Errorf("%d of %d requests failed: %s", r.Errors, r.Requests, examples(r))
	}
	return err
}

// examples tells each kind of failure with one message.
func examples(r *load.Result) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(r.Examples)) {
		parts = append(parts, fmt.Sprintf("%d x %s (%s)", r.Kinds[kind], kind, r.Examples[kind]))
	}
	return strings.Join(parts, ", ")
}

// policyOf is the summary of a run: hit rate and requests per replica as the engines counted, where they were asked.
func policyOf(name string, r *load.Result, counts []load.EngineCount) report.Policy {
	p := report.Policy{
		Name: name, HitRate: report.Fraction(r.HitRate()), TTFT: spreadOf(r.TTFT), Request: spreadOf(r.Latency),
		InterToken: report.Mean{Mean: r.InterToken.Mean}, OutputRate: r.OutputRate(), Requests: r.Requests, Errors: r.Errors,
	}
	if engines := load.EngineHitRate(counts); !math.IsNaN(engines) {
		p.HitRate = report.Fraction(engines)
	}
	for _, n := range counts {
		p.PerReplica = append(p.PerReplica, n.Requests)
	}
	for kind, n := range r.Kinds {
		if p.ErrorKinds == nil {
			p.ErrorKinds = map[string]int{}
		}
		p.ErrorKinds[string(kind)] = n
	}
	return p
}

func detailOf(p report.Policy, r *load.Result, engines bool) *report.Detail {
	d := &report.Detail{
		Policy: p, Duration: r.Duration, RequestRate: r.RequestRate(), InterToken: spreadOf(r.InterToken),
		PromptTokens: r.PromptTokens, OutputTokens: r.OutputTokens, Estimated: r.Estimated,
		Examples: map[string]string{}, CountedBy: "the answers' usage",
	}
	if engines {
		d.CountedBy = "the engines"
	}
	for _, turn := range r.TurnTTFT {
		d.TurnTTFT = append(d.TurnTTFT, spreadOf(turn))
	}
	for kind, message := range r.Examples {
		d.Examples[string(kind)] = message
	}
	return d
}

func spreadOf(s load.Spread) report.Spread {
	return report.Spread{Mean: s.Mean, P50: s.P50, P90: s.P90, P99: s.P99}
}

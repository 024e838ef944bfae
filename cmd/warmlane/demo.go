package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/bench/engine"
	"github.com/warmlane/warmlane/bench/load"
	"github.com/warmlane/warmlane/bench/report"
	"github.com/warmlane/warmlane/bench/workload"
)

// demoModel is the name that the demo's replicas serve.
const demoModel = "llama3"

// lagLimit is the lateness of the simulated engines beyond which their figures are not to be believed.
const lagLimit = 0.05

// DemoCmd compares policies on simulated replicas.
type DemoCmd struct {
	JSON        bool     `name:"json" help:"Print the result as one JSON object."`
	TimeScale   float64  `default:"10" help:"Run the engines this many times faster than real ones; reported times are the engines' own."`
	Sessions    int      `default:"60" help:"Conversations."`
	Turns       int      `default:"5" help:"User turns in each."`
	Concurrency int      `default:"20" help:"Requests in flight."`
	Policies    []string `default:"round_robin,least_request,warm" help:"Policies to compare; differences are to the first one. all: every policy there is, round_robin first and warm last."`
	Replicas    int      `default:"3" help:"Simulated replicas."`
	Preset      string   `default:"a10-llama3-8b" help:"GPU and model of the replicas, as in warmlane engine."`
	Seed        uint64   `default:"1" help:"Seed of the text, the order and the answers, equal for all policies."`
	Trace       string   `help:"Record the requests of the last policy in this file, for warmlane plan and sweep. Times in it are wall clock: give them --rate with the inverse of --time-scale."`
	Keep        bool     `help:"Leave the last gateway and its replicas running, to try by hand."`
}

// Run plays the same conversations once for each policy, each time through a fresh gateway over fresh replicas.
func (c *DemoCmd) Run(ctx context.Context) error {
	c.Policies = everyPolicy(c.Policies)
	if err := c.check(); err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintf(os.Stderr, "The engines are simulated (%s, %g times faster than real ones); the gateway and the traffic are real.\n", c.Preset, c.TimeScale)
	}
	bars := newProgress(os.Stderr)
	result, last, err := c.compare(ctx, bars)
	bars.close()
	if last != nil {
		defer func() { _ = last.close() }() // what it says after the result was told changes nothing
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = result.WriteJSON(os.Stdout)
	} else {
		err = result.WriteTable(os.Stdout)
	}
	if err != nil {
		return err
	}
	if c.Keep {
		c.stay(ctx, last)
	}
	return failed(result)
}

// everyPolicy puts all policies in the place of the single word all: round_robin first, as what the others are compared with, warm last, as
// what --trace and --keep are for, the others between them by name.
func everyPolicy(names []string) []string {
	if !slices.Equal(names, []string{"all"}) {
		return names
	}
	others := slices.DeleteFunc(policies.Names(), func(name string) bool { return name == "round_robin" || name == "warm" })
	return append(append([]string{"round_robin"}, others...), "warm")
}

func (c *DemoCmd) check() error {
	switch {
	case c.TimeScale <= 0:
		return usageError("--time-scale must be positive")
	case c.Sessions < 1 || c.Turns < 1 || c.Concurrency < 1 || c.Replicas < 1:
		return usageError("--sessions, --turns, --concurrency and --replicas must be at least 1")
	case len(c.Policies) == 0:
		return usageError("--policies names no policy")
	}
	for _, name := range c.Policies {
		if !slices.Contains(policies.Names(), name) {
			return usageError(fmt.Sprintf("--policies %s: unknown, want all or some of %s", name, strings.Join(policies.Names(), ", ")))
		}
	}
	if _, err := engine.LookupPreset(c.Preset); err != nil {
		return usageError("--preset: " + err.Error())
	}
	return nil
}

// compare runs all policies. The last stage is still up when it returns; the caller closes it if there is one.
func (c *DemoCmd) compare(ctx context.Context, bars *progress) (*report.Comparison, *stage, error) {
	result := &report.Comparison{Seed: c.Seed, Engine: c.Preset, Published: c.published()}
	var last *stage
	tokens, answers := 0, 0
	for i, policy := range c.Policies {
		traceFile := ""
		if i == len(c.Policies)-1 {
			traceFile = c.Trace
		}
		if last != nil {
			if err := last.close(); err != nil {
				return nil, nil, fmt.Errorf("ending %s: %w", policy, err)
			}
		}
		var err error
		if last, err = raise(policy, c.replica(), c.Replicas, traceFile); err != nil {
			return nil, nil, err
		}
		r, counts, err := c.play(ctx, last, bars.track(policy, c.Sessions*c.Turns, c.TimeScale))
		if err != nil {
			return nil, last, err
		}
		if err := c.punctual(policy, last.lag()); err != nil {
			return nil, last, err
		}
		result.Lag = max(result.Lag, report.Fraction(last.lag()))
		result.Policies = append(result.Policies, policyOf(policy, r, counts))
		tokens, answers = tokens+r.OutputTokens, answers+r.Requests-r.Errors
	}
	result.Caption = c.caption(float64(tokens) / float64(max(answers, 1)))
	return result, last, nil
}

func (c *DemoCmd) replica() engine.Config {
	return engine.Config{Model: demoModel, Preset: c.Preset, Seed: c.Seed, TimeScale: c.TimeScale}
}

// play runs the workload through the stage's gateway; the result is in the engines' time.
func (c *DemoCmd) play(ctx context.Context, s *stage, track func(load.Progress)) (*load.Result, []load.EngineCount, error) {
	talks, err := conversations(workload.Config{Seed: c.Seed, Sessions: c.Sessions, Turns: c.Turns, Input: workload.Range{Min: 200}})
	if err != nil {
		return nil, nil, err
	}
	counts, r, err := measured(ctx, load.Config{
		URL: s.url, Model: demoModel, Sessions: talks, Concurrency: c.Concurrency, OutputTokens: 800, Seed: c.Seed, Progress: track,
	}, s.engines())
	if err != nil {
		return nil, nil, err
	}
	r.Stretch(c.TimeScale)
	return r, counts, nil
}

// punctual refuses figures of engines that could not keep their schedule.
func (c *DemoCmd) punctual(policy string, lag float64) error {
	if lag <= lagLimit {
		return nil
	}
	return fmt.Errorf("no result: under %s the simulated engines were late by %.1f %% of their scheduled times, more than %.0f %%: this machine is too slow or too busy "+
		"for them; try again when it is idle, or with --time-scale %g", policy, 100*lag, 100*lagLimit, max(1, min(10, c.TimeScale/2)))
}

// published reports whether the run is the published workload, so that its figures may stand beside it.
func (c *DemoCmd) published() bool {
	return c.Sessions == 60 && c.Turns == 5 && c.Concurrency == 20 && c.Replicas == 3 && c.Preset == "a10-llama3-8b"
}

func (c *DemoCmd) caption(answer float64) []string {
	return []string{
		"",
		fmt.Sprintf("Simulated: %d engines, %s, fresh for each policy, %g times faster than real ones.", c.Replicas, c.Preset, c.TimeScale),
		fmt.Sprintf("Real: the gateway and its traffic. %d conversations of %d turns, %d at once, 200 tokens in, %.0f out on average, seed %d.",
			c.Sessions, c.Turns, c.Concurrency, answer, c.Seed),
		fmt.Sprintf("All times are the engines' own: wall clock x %g. The gateway's share of them is magnified by as much.", c.TimeScale),
		"Hit rate and requests per replica are what the engines counted.",
	}
}

// stay leaves the stage to the user until ctx ends.
func (c *DemoCmd) stay(ctx context.Context, s *stage) {
	fmt.Fprintf(os.Stderr, `
The gateway with policy %s stays at %s. Twice the same question, to see the second one return to its replica:

  curl -sN -D- -H 'x-warmlane-explain: 1' %s/v1/chat/completions \
    -d '{"model":"%s","messages":[{"role":"user","content":"%s"}],"max_tokens":20}' -H 'content-type: application/json'

Press Ctrl-C to end it.
`, c.Policies[len(c.Policies)-1], s.url, s.url, demoModel, strings.Repeat("tell me all about warm lanes ", 12)+"please")
	<-ctx.Done()
}

// failed is an error when any request failed.
func failed(c *report.Comparison) error {
	var err error
	for _, p := range c.Policies {
		if p.Errors > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d of %d requests failed", p.Name, p.Errors, p.Requests))
		}
	}
	return err
}

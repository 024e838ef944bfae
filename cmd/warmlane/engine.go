package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// EngineCmd runs simulated inference engines.
type EngineCmd struct {
	Listen     string   `default:"127.0.0.1:8001" help:"Address of the first replica; the others take the ports after it."`
	Replicas   int      `default:"1" help:"Number of replicas."`
	Preset     string   `default:"a10-llama3-8b" help:"GPU and model: a10, l20, a100-80, h100-80 or h20-96 with -llama3-8b, rtx4090 or rtxpro6000 with -llama31-8b, or any card with -qwen2.5-7b."`
	Model      string   `default:"llama3" help:"Served model name."`
	Alias      []string `help:"Further names of the same model."`
	Adapter    []string `help:"LoRA adapters: served names with a cache of their own."`
	Dialect    string   `default:"vllm" enum:"vllm,sglang" help:"Whose metrics and error details to imitate: vllm or sglang."`
	TimeScale  float64  `default:"1" help:"Run this many times faster than real engines."`
	Seed       uint64   `default:"1" help:"Seed of the answers; equal for all replicas, so that equal prompts get equal answers."`
	OutputMean float64  `default:"300" help:"Mean length in tokens of answers whose length is free."`

	Blocks        int           `help:"KV blocks of 16 tokens, in place of the preset's."`
	MaxModelLen   int           `help:"Longest prompt and answer together, in place of the preset's."`
	MaxNumSeqs    int           `help:"Requests that run at once, in place of the preset's."`
	MaxQueuedReqs int           `help:"Refuse requests beyond this number in flight with 503."`
	RejectStream  bool          `help:"Refuse streams with 200 and an error event, as vLLM often does."`
	APIKey        string        `env:"WARMLANE_ENGINE_KEY" help:"Ask for this key below /v1."`
	StartDelay    time.Duration `help:"Simulated time from a start until the port opens."`
	Slow          []string      `placeholder:"N=FACTOR" help:"Replica N, counted from 1, takes FACTOR times as long. May be repeated."`
	Fail          []string      `sep:"none" placeholder:"N=KIND@TIME,..." help:"What happens to replica N and when, in simulated time: die, vanish, drain, hang, refuse, refuse=429, error500, cut, slow=FACTOR, return; for example 2=die@30s,return@60s. May be repeated."`
}

// Run opens the replicas, prints their URLs and serves until the process is told to stop.
func (c *EngineCmd) Run(ctx context.Context) error {
	configs, err := c.configs()
	if err != nil {
		return err
	}
	var servers []*engine.Server
	defer func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}()
	for _, cfg := range configs {
		s, err := engine.Start(cfg)
		if err != nil {
			return err
		}
		servers = append(servers, s)
		fmt.Println(s.URL())
	}
	fmt.Fprintf(os.Stderr, "%d simulated replica(s) of %s as %q at time scale %g; press Ctrl-C to stop\n", len(servers), c.Preset, c.Model, c.TimeScale)
	<-ctx.Done()
	return nil
}

// configs turns the flags into one configuration a replica.
func (c *EngineCmd) configs() ([]engine.Config, error) {
	host, text, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, usageError(fmt.Sprintf("--listen %s: %v", c.Listen, err))
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port+c.Replicas > 1<<16 {
		return nil, usageError(fmt.Sprintf("--listen %s: %d ports from there do not exist", c.Listen, c.Replicas))
	}
	if c.Replicas < 1 {
		return nil, usageError("--replicas must be at least 1")
	}
	if _, err := engine.LookupPreset(c.Preset); err != nil {
		return nil, usageError("--preset: " + err.Error())
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	configs := make([]engine.Config, c.Replicas)
	for i := range configs {
		next := port
		if port != 0 {
			next += i
		}
		configs[i] = engine.Config{
			Listen: net.JoinHostPort(host, strconv.Itoa(next)),
			Model:  c.Model, Aliases: c.Alias, Adapters: c.Adapter, Dialect: engine.Dialect(c.Dialect),
			Preset: c.Preset, Blocks: c.Blocks, MaxModelLen: c.MaxModelLen, MaxSeqs: c.MaxNumSeqs,
			TimeScale: c.TimeScale, Seed: c.Seed, Replica: i, OutputMean: c.OutputMean,
			MaxQueuedReqs: c.MaxQueuedReqs, RejectInStream: c.RejectStream, APIKey: c.APIKey, StartDelay: c.StartDelay,
			Log: log.With("replica", i+1),
		}
	}
	return configs, errors.Join(
		perReplica("--slow", c.Slow, configs, func(cfg *engine.Config, value string) (err error) {
			cfg.Slow, err = strconv.ParseFloat(value, 64)
			return err
		}),
		perReplica("--fail", c.Fail, configs, func(cfg *engine.Config, value string) error {
			faults, err := engine.ParseFaults(value)
			cfg.Faults = append(cfg.Faults, faults...)
			return err
		}),
	)
}

// perReplica applies values of the form N=VALUE, N counted from 1.
func perReplica(flag string, values []string, configs []engine.Config, set func(*engine.Config, string) error) error {
	for _, entry := range values {
		number, value, ok := strings.Cut(entry, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 || n > len(configs) {
			return usageError(fmt.Sprintf("%s %s: it has the form N=VALUE with N from 1 to %d", flag, entry, len(configs)))
		}
		if err := set(&configs[n-1], value); err != nil {
			return usageError(fmt.Sprintf("%s %s: %v", flag, entry, err))
		}
	}
	return nil
}

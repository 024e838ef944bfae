// Command cost measures what the gateway itself costs: processor time, memory and added latency, with engines that answer at once.
//
// The rows and their targets are those of the project's budget: A a plain request of 200 bytes at 1,000/s; S0 a stream of 51 events
// written back to back at 200/s; SG the same with 10 ms between events at 100/s; P32 and P512 prompts of 32 and 512 KB; W a closed loop
// of 10 connections. CPU is user + system time of the whole gateway process divided by requests. Added latency is the gateway's
// minus the engine's own, both measured in the same run by the same client.
//
//	go build -o bin/warmlane ./cmd/warmlane && go run ./bench/cost -binary bin/warmlane
//
// With -governed it measures instead what governing adds, at 500/s: a key, three limits, a content rule and the answer cache, in memory
// and through a redis-server that it starts on loopback, against a gateway without any of it, all three in turns.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/warmlane", "the gateway to measure")
	seconds := flag.Float64("seconds", 5, "length of each row")
	rulesToo := flag.Bool("governed", false, "compare a gateway with keys, limits, content rules and answer cache with one without, and nothing else")
	flag.Parse()
	measures := run
	if *rulesToo {
		measures = governed
	}
	if err := measures(*binary, time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

// row is one line of the table.
type row struct {
	name    string
	rate    float64 // requests a second; 0 = closed loop
	conns   int
	prompt  int // bytes of prompt
	stream  bool
	gap     time.Duration
	target  float64 // us of CPU a request, or requests a second for a closed loop
	explain string
}

func rows() []row {
	return []row{
		{"A", 1000, 64, 200, false, 0, 200, "plain request, 200 B prompt, 1,000/s"},
		{"S0", 200, 64, 200, true, 0, 400, "stream of 51 events back to back, 200/s"},
		{"SG", 100, 128, 200, true, 10 * time.Millisecond, 1800, "stream of 51 events 10 ms apart, 100/s"},
		{"P32", 250, 64, 32 << 10, false, 0, 400, "plain request, 32 KB prompt, 250/s"},
		{"P512", 40, 32, 512 << 10, false, 0, 1500, "plain request, 512 KB prompt, 40/s"},
		{"W", 0, 10, 200, false, 0, 9000, "closed loop, 10 connections"},
	}
}

func run(binary string, length time.Duration) error {
	engines, err := startEngines(3)
	if err != nil {
		return err
	}
	defer engines.close()
	g, err := startGateway(binary, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--pool", "null="+engines.urls())
	if err != nil {
		return err
	}
	defer g.stop()
	idle, err := g.resident()
	if err != nil {
		return err
	}
	fmt.Printf("%-5s %10s %10s %9s %12s %12s %7s  %s\n", "row", "CPU us", "target", "req/s", "added p50 ms", "added p99.9", "errors", "what")
	for _, r := range rows() {
		if err := measure(g, engines, r, length); err != nil {
			return err
		}
	}
	after, err := g.afterRequests(10_000)
	if err != nil {
		return err
	}
	fmt.Printf("\nresident memory: %.1f MB idle with 3 endpoints (target 30), %.1f MB after all rows and 10,000 more requests (target 60)\n", idle, after)
	return nil
}

// measure prints one row.
func measure(g *gateway, engines *engines, r row, length time.Duration) error {
	body := requestBody(r.prompt, r.stream)
	engines.gap.Store(int64(r.gap))
	warm := drive(g.address, body, r.rate, r.conns, length/5)
	if warm.errors > 0 {
		return fmt.Errorf("row %s: %d of %d requests failed: %w", r.name, warm.errors, warm.requests, warm.first)
	}
	direct := drive(engines.address(), body, r.rate, r.conns, length)
	before, err := g.cpu()
	if err != nil {
		return err
	}
	through := drive(g.address, body, r.rate, r.conns, length)
	after, err := g.cpu()
	if err != nil {
		return err
	}
	perRequest := (after - before).Seconds() * 1e6 / float64(through.requests)
	rate := float64(through.requests) / through.took.Seconds()
	target := fmt.Sprintf("<= %.0f us", r.target)
	if r.rate == 0 {
		target = fmt.Sprintf(">= %.0f/s", r.target)
	}
	fmt.Printf("%-5s %10.0f %10s %9.0f %12.3f %12.3f %7d  %s\n", r.name, perRequest, target, rate,
		(through.quantile(0.5)-direct.quantile(0.5)).Seconds()*1e3, (through.quantile(0.999)-direct.quantile(0.999)).Seconds()*1e3,
		through.errors, r.explain)
	return nil
}

// Command real compares balancing policies on real vLLM engines, and stops one of them under load.
//
// It starts two vLLM replicas on the CPU (install.sh, up.sh), puts the gateway in front of them, plays shuffled conversations of several
// turns with `warmlane load` once for each policy, and prints the prefix cache hit rate by the engines' own counters beside the ideal: what
// one replica alone, which sees every block that a session sent before, finds in its cache. Then it stops a replica while streams run, by
// SIGTERM, by SIGTERM to one that drains, and by kill -9: each stream there must end with an explicit error within 10 s after
// the engine refuses connections, and no later request may fail. Last, one replica refuses what it does not want to queue, mostly inside answers of status 200: all of
// 60 streams must be answered whole.
//
// It guarantees cold caches before each run and the same conversations in each. It exits with 1 when a request failed, when the last policy
// is further than 0.03 from the ideal, or when the stop is not handled as said. Whatever it started is stopped at its end.
//
// The engines' words are noise and their speed is that of two CPU cores: hit rates and endings are meaningful, milliseconds are not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// closeToIdeal is how far the last policy's hit rate may lie from the ideal.
const closeToIdeal = 0.03

func main() {
	var o options
	flag.StringVar(&o.policies, "policies", "round_robin,warm", "policies to compare; the last one is held against the ideal")
	flag.IntVar(&o.load.sessions, "sessions", 30, "conversations")
	flag.IntVar(&o.load.turns, "turns", 5, "turns of each conversation")
	flag.IntVar(&o.load.concurrency, "concurrency", 6, "conversations at once")
	flag.IntVar(&o.load.input, "input-tokens", 300, "tokens of each user message")
	flag.IntVar(&o.load.output, "output-tokens", 16, "tokens of each answer, at most")
	flag.Uint64Var(&o.load.seed, "seed", 1, "seed of the conversations and their order")
	flag.IntVar(&o.streams, "streams", 8, "streams that run while a replica is stopped; 0 leaves the stops and refusals out")
	flag.StringVar(&o.binary, "warmlane", "", "warmlane binary; empty builds one")
	flag.BoolVar(&o.keep, "keep", false, "leave the replicas running (bench/real/down.sh stops them), and use running ones")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "real:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be undone
	}
}

// options are what the command line says.
type options struct {
	policies string
	load     workload
	streams  int
	binary   string
	keep     bool
}

// run does all parts in their order and stops what it started.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "warmlane-real-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.binary == "" {
		o.binary = filepath.Join(dir, "warmlane")
		say("building the gateway")
		if err := build(ctx, o.binary); err != nil {
			return err
		}
	}
	say("starting two vLLM replicas; the first time installs 6 GB")
	replicas, err := up(ctx, o.keep)
	if err != nil {
		return errors.Join(err, down(o.keep))
	}
	defer func() { err = errors.Join(err, down(o.keep)) }()

	results, err := compare(ctx, o, dir, replicas)
	if err != nil {
		return err
	}
	fmt.Print(table(results))
	err = judge(results)
	if o.streams > 0 {
		err = errors.Join(err, endings(ctx, o, dir, replicas))
	}
	return err
}

// endings stops the last replica in each of the ways, and has one refuse what it does not want to queue.
func endings(ctx context.Context, o options, dir string, replicas []replica) error {
	var faults []error
	victim := &replicas[len(replicas)-1]
	for i, s := range stops {
		if i > 0 {
			say("starting the replica again")
			var err error
			if *victim, err = victim.again(ctx, s.args); err != nil {
				return errors.Join(append(faults, err)...)
			}
		}
		say("%s under %d streams", s.name, o.streams)
		c, err := s.underLoad(ctx, o, dir, replicas)
		if c != nil {
			fmt.Print(c)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	say("starting the replica again, with a short queue")
	var err error
	if *victim, err = victim.again(ctx, shortQueue); err != nil {
		return errors.Join(append(faults, err)...)
	}
	r, err := crowd(ctx, o, dir, replicas)
	if r != nil {
		fmt.Print(r)
	}
	return errors.Join(append(faults, err)...)
}

// compare plays the conversations on one replica alone, then through the gateway with each policy.
func compare(ctx context.Context, o options, dir string, replicas []replica) ([]result, error) {
	say("the ideal: all conversations on one replica")
	ideal, err := measure(ctx, o, "one replica", replicas[0].url, replicas[:1])
	if err != nil {
		return nil, err
	}
	results := []result{ideal}
	for policy := range strings.SplitSeq(o.policies, ",") {
		say("through the gateway, policy %s", policy)
		r, err := measurePolicy(ctx, o, dir, policy, replicas)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", policy, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// measurePolicy is one run through a gateway of its own, whose index is as cold as the caches.
func measurePolicy(ctx context.Context, o options, dir, policy string, replicas []replica) (r result, err error) {
	g, err := serve(ctx, o.binary, dir, policy, replicas)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	return measure(ctx, o, policy, g.url, replicas)
}

// judge says what in the results is not as promised.
func judge(results []result) error {
	var faults []error
	for _, r := range results {
		if r.failed > 0 {
			faults = append(faults, fmt.Errorf("%s: %d of %d requests failed", r.name, r.failed, r.requests))
		}
	}
	ideal, last := results[0], results[len(results)-1]
	if distance := ideal.hitRate() - last.hitRate(); !(distance <= closeToIdeal && distance >= -closeToIdeal) {
		faults = append(faults, fmt.Errorf("%s: hit rate %.3f, more than %.2f from the ideal %.3f", last.name, last.hitRate(), closeToIdeal, ideal.hitRate()))
	}
	return errors.Join(faults...)
}

// say tells the person who waits what is going on.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "real: "+format+"\n", args...) }

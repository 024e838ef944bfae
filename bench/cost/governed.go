package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	governedRate  = 500 // requests a second, as promised
	governedTurns = 6   // of each gateway, in turns, so that what disturbs the machine disturbs all
	key           = "sk-bench"
)

// rules are all that can govern a request, so wide that nothing is refused: a key, limits over second, minute and hour, of tokens and
// of requests at a time, a content rule over both sides, and the answer cache, which no request hits as all differ. Usage is counted by
// every gateway, also by the one that governs nothing.
const rules = `
consumers: [{name: bench, keys: [` + key + `]}]
limits:
  - {name: rates, by: consumer, requests: [1000000/s, 10000000/min, 100000000/h]}
  - {name: tokens, by: [consumer, app], tokens: 1000000000/min}
  - {name: places, by: model, concurrency: 100000}
guard: [{name: personal, detect: [phone, email, id_card, bank_card], action: mask}]
cache: [{name: all, ttl: 1m}]
`

// variant is one of the gateways that are compared.
type variant struct {
	name   string
	g      *gateway
	cpu    time.Duration
	result result
}

// governed compares a gateway that governs nothing with two that do all, one of them through a Redis on loopback.
func governed(binary string, length time.Duration) error {
	engines, err := startEngines(3)
	if err != nil {
		return err
	}
	defer engines.close()
	folder, err := os.MkdirTemp("", "cost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	url, stop, err := startRedis(folder)
	if err != nil {
		return err
	}
	defer stop()
	var all []*variant
	for _, v := range []struct{ name, yaml string }{{"none", ""}, {"memory", rules}, {"redis", rules + "redis: " + url + "\n"}} {
		file := filepath.Join(folder, v.name+".yaml")
		pool := fmt.Sprintf("server: {listen: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\npools: [{name: \"null\", endpoints: [%q]}]\n", engines.urls())
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(pool, ",http", `","http`)+v.yaml), 0o600); err != nil {
			return err
		}
		g, err := startGateway(binary, "--config", file)
		if err != nil {
			return err
		}
		defer g.stop()
		all = append(all, &variant{name: v.name, g: g})
	}
	for turn := range governedTurns + 1 { // the first one warms up
		for i := range all {
			if err := all[(turn+i)%len(all)].take(length, turn > 0); err != nil {
				return err
			}
		}
	}
	report(all)
	return nil
}

// take sends requests for a while and, if it counts, adds what it saw.
func (v *variant) take(length time.Duration, counts bool) error {
	before, err := v.g.cpu()
	if err != nil {
		return err
	}
	r := drive(v.g.address, requestBody(200, false), governedRate, 64, length)
	after, err := v.g.cpu()
	if err != nil {
		return err
	}
	if r.errors > 0 {
		return fmt.Errorf("%s: %d of %d requests failed: %w", v.name, r.errors, r.requests, r.first)
	}
	if counts {
		v.cpu += after - before
		v.result.requests += r.requests
		v.result.latencies = append(v.result.latencies, r.latencies...)
	}
	return nil
}

func report(all []*variant) {
	for _, v := range all {
		slices.Sort(v.result.latencies)
	}
	perRequest := func(v *variant) float64 { return v.cpu.Seconds() * 1e6 / float64(v.result.requests) }
	ms := func(v *variant, q float64) float64 { return v.result.quantile(q).Seconds() * 1e3 }
	none := all[0]
	fmt.Printf("%d/s, plain request, 200 B prompt; added to a gateway that governs nothing\n", governedRate)
	fmt.Printf("%-8s %8s %8s %8s %12s %13s %13s\n", "governed", "CPU us", "p50 ms", "p99 ms", "added CPU us", "added p50 ms", "added p99 ms")
	for _, v := range all {
		fmt.Printf("%-8s %8.0f %8.3f %8.3f %12.0f %13.3f %13.3f\n", v.name, perRequest(v), ms(v, 0.5), ms(v, 0.99),
			perRequest(v)-perRequest(none), ms(v, 0.5)-ms(none, 0.5), ms(v, 0.99)-ms(none, 0.99))
	}
	fmt.Println("targets: memory <= 60 us of CPU; redis p50 <= 0.4 ms, p99 <= 2 ms")
}

// startRedis starts a redis-server on loopback.
func startRedis(folder string) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", folder)
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("redis-server: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for range 250 {
		if c, err := net.Dial("tcp", address); err == nil {
			return "redis://" + address, stop, c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("redis-server does not answer")
}

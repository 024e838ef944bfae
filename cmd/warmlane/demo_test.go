package main

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/balancer/policies"
	"github.com/warmlane/warmlane/bench/load"
	"github.com/warmlane/warmlane/bench/report"
)

// played runs the demo's workload, small and fast, through the real gateway; times are not to be believed.
func played(t *testing.T, policy string) report.Policy {
	t.Helper()
	c := DemoCmd{TimeScale: 20, Sessions: 9, Turns: 3, Concurrency: 5, Replicas: 3, Preset: "a10-llama3-8b", Seed: 1}
	s, err := raise(policy, c.replica(), c.Replicas, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Errorf("closing the stage: %v", err)
		}
	}()
	r, counts, err := c.play(t.Context(), s, func(load.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	return policyOf(policy, r, counts)
}

func TestDemo_WarmFindsThePastThatRoundRobinLoses(t *testing.T) {
	cold, warm := played(t, "round_robin"), played(t, "warm")
	t.Logf("hit rates: round_robin %.3f, warm %.3f; requests %v and %v", cold.HitRate, warm.HitRate, cold.PerReplica, warm.PerReplica)
	for _, p := range []report.Policy{cold, warm} {
		sum := 0
		for _, n := range p.PerReplica {
			sum += n
		}
		if p.Requests != 27 || p.Errors != 0 || sum != 27 || len(p.PerReplica) != 3 {
			t.Errorf("%s: %d requests, failures %v, %v by the engines", p.Name, p.Requests, p.ErrorKinds, p.PerReplica)
		}
	}
	if warm.HitRate < cold.HitRate+0.15 {
		t.Errorf("hit rate of warm is %v, of round_robin %v", warm.HitRate, cold.HitRate)
	}
}

func TestDemo_AKeptStageAnswers(t *testing.T) {
	c := DemoCmd{TimeScale: 100, Preset: "a10-llama3-8b"}
	s, err := raise("warm", c.replica(), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(s.url+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"llama3","messages":[{"role":"user","content":"hello"}],"max_tokens":3}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"completion_tokens":3`) {
		t.Errorf("%s: %s, %v", resp.Status, body, err)
	}
}

func TestDemo_RefusesFiguresOfLateEngines(t *testing.T) {
	c := DemoCmd{TimeScale: 40}
	if err := c.punctual("warm", 0.05); err != nil {
		t.Error(err)
	}
	err := c.punctual("warm", 0.051)
	if err == nil || !strings.Contains(err.Error(), "no result") || !strings.Contains(err.Error(), "--time-scale 10") {
		t.Errorf("error %v", err)
	}
	var usage usageError
	if errors.As(err, &usage) {
		t.Error("a busy machine is told as a wrong command line")
	}
}

func TestDemo_AllIsEveryPolicyOnce(t *testing.T) {
	all := everyPolicy([]string{"all"})
	if all[0] != "round_robin" || all[len(all)-1] != "warm" {
		t.Errorf("all is %v: differences are to round_robin, and warm is the one that is kept and recorded", all)
	}
	if sorted := slices.Sorted(slices.Values(all)); !slices.Equal(sorted, policies.Names()) {
		t.Errorf("all is %v, want each of %v once", all, policies.Names())
	}
	good := DemoCmd{TimeScale: 1, Sessions: 1, Turns: 1, Concurrency: 1, Replicas: 1, Preset: "a10-llama3-8b", Policies: all}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for _, some := range [][]string{{"warm", "lmetric"}, {"all", "warm"}, nil} {
		if got := everyPolicy(some); !slices.Equal(got, some) {
			t.Errorf("%v becomes %v", some, got)
		}
	}
}

func TestDemo_RefusesWrongCommandLines(t *testing.T) {
	good := DemoCmd{TimeScale: 1, Sessions: 1, Turns: 1, Concurrency: 1, Replicas: 1, Preset: "a10-llama3-8b", Policies: []string{"warm"}}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *DemoCmd){
		"policy":      func(c *DemoCmd) { c.Policies = []string{"warm", "worm"} },
		"all and one": func(c *DemoCmd) { c.Policies = []string{"all", "warm"} },
		"no policy":   func(c *DemoCmd) { c.Policies = nil },
		"time scale":  func(c *DemoCmd) { c.TimeScale = 0 },
		"sessions":    func(c *DemoCmd) { c.Sessions = 0 },
		"preset":      func(c *DemoCmd) { c.Preset = "abacus" },
	} {
		c := good
		change(&c)
		var usage usageError
		if err := c.check(); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

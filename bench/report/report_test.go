package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", name, got, want)
	}
}

func threePolicies() []Policy {
	return []Policy{
		{
			Name: "round_robin", HitRate: 0.426, TTFT: Spread{Mean: 184, P50: 121, P99: 562}, Request: Spread{Mean: 11249, P50: 9120, P99: 30763},
			InterToken: Mean{37.2}, OutputRate: 440, Requests: 300, PerReplica: []int{100, 100, 100},
		},
		{
			Name: "least_request", HitRate: 0.595, TTFT: Spread{Mean: 151, P50: 99, P99: 528}, Request: Spread{Mean: 10957, P50: 9001, P99: 29521},
			InterToken: Mean{36.5}, OutputRate: 450, Requests: 300, PerReplica: []int{98, 104, 98},
		},
		{
			Name: "warm", HitRate: 0.827, TTFT: Spread{Mean: 100, P50: 81, P99: 286}, Request: Spread{Mean: 10641, P50: 8800, P99: 28679},
			InterToken: Mean{35.6}, OutputRate: 462, Requests: 300, PerReplica: []int{101, 97, 102}, Errors: 2, ErrorKinds: map[string]int{"cut": 2},
		},
	}
}

func TestComparison_TableShowsDifferencesToTheFirstPolicyAndPublishedFigures(t *testing.T) {
	c := Comparison{
		Policies: threePolicies(), Lag: 0.012, Seed: 1, Engine: "a10-llama3-8b", Published: true,
		Caption: []string{"3 simulated replicas, 60 conversations of 5 turns, 20 at once."},
	}
	var b bytes.Buffer
	if err := c.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "three_policies.txt", b.String())
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 120 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
}

func TestComparison_UnknownFiguresLeaveGapsNotNumbers(t *testing.T) {
	c := Comparison{Lag: Unknown(), Policies: []Policy{
		{Name: "a server without counters", HitRate: Unknown()},
		{Name: "another", HitRate: 0.5, PerReplica: []int{1, 2, 3, 4, 5, 6, 7, 8}},
	}}
	var b bytes.Buffer
	if err := c.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "unknown.txt", b.String())
}

func TestComparison_JSONHasTheKeysOfTheContract(t *testing.T) {
	c := Comparison{Policies: threePolicies()[:1], Lag: 0.01234567, Seed: 7, Engine: "a10-llama3-8b"}
	c.Policies[0].TTFT.Mean = 184.00049
	var b bytes.Buffer
	if err := c.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"policies":[{"name":"round_robin","hit_rate":0.4260,"ttft_ms":{"mean":184,"p50":121,"p99":562},` +
		`"request_ms":{"mean":11249,"p50":9120,"p99":30763},"itl_ms":{"mean":37.2},"output_tokens_per_s":440,` +
		`"requests":300,"errors":0,"per_replica":[100,100,100]}],"lag":0.0123,"seed":7,"engine":"a10-llama3-8b"}` + "\n"
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

func TestPolicy_JSONOfUnknownFiguresIsNullAndEmpty(t *testing.T) {
	p := Policy{Name: "load", HitRate: Unknown()}
	var b bytes.Buffer
	if err := p.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"hit_rate":null`, `"per_replica":[]`} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%s lacks %s", b.String(), part)
		}
	}
	var back Policy
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.HitRate.Known() {
		t.Errorf("null became the hit rate %v", back.HitRate)
	}
}

func TestDetail_TellsQuantilesTurnsAndFailures(t *testing.T) {
	ideal := Fraction(0.83)
	p := threePolicies()[2]
	p.TTFT.P90, p.Request.P90, p.IdealHitRate = 144, 20100, &ideal
	d := Detail{
		Policy: p, Duration: 216 * time.Second, RequestRate: 1.38, InterToken: Spread{Mean: 35.6, P50: 35, P90: 39, P99: 44},
		TurnTTFT:     []Spread{{Mean: 140, P50: 130, P90: 200, P99: 286}, {Mean: 88, P50: 80, P90: 101, P99: 120}},
		PromptTokens: 341000, OutputTokens: 89100, Estimated: 3, CountedBy: "the engines",
		Examples: map[string]string{"cut": "unexpected EOF"},
	}
	var b bytes.Buffer
	if err := d.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "detail.txt", b.String())
}

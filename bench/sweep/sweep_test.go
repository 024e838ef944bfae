package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// swept runs a comparison.
func swept(t *testing.T, c Config) *Result {
	t.Helper()
	if c.Baseline == "" {
		c.Baseline = c.Policies[0]
	}
	if c.SLO == (SLO{}) {
		c.SLO = DefaultSLO()
	}
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func find(t *testing.T, list string) []Workload {
	t.Helper()
	all, err := Find(list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// everything is all that a result writes.
func everything(t *testing.T, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(r.WriteTable(&b), r.WriteJSON(&b), r.WriteHTML(&b)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRun_TheSameOnOneProcessorOnTwoAndAgain(t *testing.T) {
	c := Config{
		Workloads: find(t, "aborts"), Seeds: 2, FirstSeed: 5, Gateways: 2,
		Policies: []string{"warm:w=8", "round_robin", "prefix_higress", Clairvoyant},
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := everything(t, swept(t, c))
	runtime.GOMAXPROCS(2)
	two := everything(t, swept(t, c))
	again := everything(t, swept(t, c))
	if one != two || two != again {
		t.Error("the same configuration gave different results")
	}
	c.Policies = c.Policies[:1]
	this := swept(t, c).Cells[0][0].Runs
	if c.FirstSeed += 2; slices.Equal(swept(t, c).Cells[0][0].Runs, this) {
		t.Error("other seeds gave the same result")
	}
}

func TestRun_TellsOfEachRunAndStopsWhenToldTo(t *testing.T) {
	c := Config{Workloads: find(t, "headline-a"), Policies: []string{"warm", "random"}, Seeds: 1}
	told := 0
	c.Progress = func() { told++ }
	swept(t, c)
	if told != c.Runs() || told != 2 {
		t.Errorf("told of %d runs of %d", told, c.Runs())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled sweep ended with %v", err)
	}
}

func TestRun_OtherFleetsTakeTheWorkloadAndItsFaults(t *testing.T) {
	fleet, err := ParseFleet("1xa10-llama3-8b,1xh100-80-llama3-8b")
	if err != nil {
		t.Fatal(err)
	}
	r := swept(t, Config{Workloads: find(t, "churn,drift"), Policies: []string{"warm"}, Seeds: 1, Fleet: fleet})
	for i := range r.Cells {
		if m := r.Cells[i][0].Runs[0]; m.Complete != m.Requests || m.Requests == 0 {
			t.Errorf("%s: %d of %d complete", r.Config.Workloads[i].Name, m.Complete, m.Requests)
		}
		if n := len(r.Cells[i][0].loads[0]); n != 2 {
			t.Errorf("%s: loads of %d replicas", r.Config.Workloads[i].Name, n)
		}
	}
}

// pinned are figures that must not move unnoticed. Only means: what the slowest few requests got depends on the last bit of floating
// point sums, which differs by architecture.
type pinned struct {
	TTFT, RT, TPOT, Tokens, Hit, Ceiling float64
	Requests, Complete                   int
}

const pinnedFile = "testdata/pinned.json"

func TestRun_FiguresStayWhereTheyAre(t *testing.T) {
	r := swept(t, Config{
		Workloads: find(t, "headline-a,tenants,churn"), Seeds: 2, FirstSeed: 1000,
		Policies: []string{"lmetric", "warm", "round_robin", Clairvoyant},
	})
	got := map[string]pinned{}
	for i := range r.Cells {
		for k, policy := range r.Config.Policies {
			of := func(figure func(*Metrics) float64) float64 { return average(r.Cells[i][k].Runs, figure).Mean }
			p := pinned{
				TTFT: of(ttft), RT: of(whole), TPOT: of(func(m *Metrics) float64 { return m.TPOT }),
				Tokens: of(func(m *Metrics) float64 { return m.Tokens }),
				Hit:    of(func(m *Metrics) float64 { return m.Hit }), Ceiling: of(func(m *Metrics) float64 { return m.Ceiling }),
			}
			for _, m := range r.Cells[i][k].Runs {
				p.Requests, p.Complete = p.Requests+m.Requests, p.Complete+m.Complete
			}
			got[r.Config.Workloads[i].Name+" "+policy] = p
		}
	}
	if *update {
		text, err := json.MarshalIndent(got, "", " ")
		if err == nil {
			err = os.WriteFile(pinnedFile, append(text, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(pinnedFile)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]pinned
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Errorf("%d cells are pinned, %d were run", len(want), len(got))
	}
	if table := moved(want, got, r); table != "" {
		t.Errorf("figures moved; if they should, go test ./bench/sweep -update\n%s", table)
	}
}

// moved is a table of the figures that are not where they were.
func moved(want, got map[string]pinned, r *Result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, wl := range r.Config.Workloads {
		for _, policy := range r.Config.Policies {
			name := wl.Name + " " + policy
			was, is := want[name], got[name]
			line := func(figure string, was, is, tolerance float64) {
				if !(math.Abs(is-was) <= tolerance) {
					fmt.Fprintf(w, "%s\t%s\t%.4g\tis now\t%.4g\t%+.1f %%\n", name, figure, was, is, 100*(is-was)/was)
				}
			}
			line("TTFT s", was.TTFT, is.TTFT, 0.02*was.TTFT)
			line("request s", was.RT, is.RT, 0.02*was.RT)
			line("TPOT s", was.TPOT, is.TPOT, 0.02*was.TPOT)
			line("tokens/s", was.Tokens, is.Tokens, 0.02*was.Tokens)
			line("hit", was.Hit, is.Hit, 0.01)
			line("ceiling", was.Ceiling, is.Ceiling, 0.01)
			line("requests", float64(was.Requests), float64(is.Requests), 0)
			line("complete", float64(was.Complete), float64(is.Complete), 0)
		}
	}
	_ = w.Flush()
	return b.String()
}

func TestMoved_TellsWhatAndByHowMuch(t *testing.T) {
	r := &Result{Config: Config{Workloads: []Workload{{Name: "a"}}, Policies: []string{"p"}}}
	was := map[string]pinned{"a p": {TTFT: 1, RT: 2, TPOT: 3, Tokens: 4, Hit: 0.5, Ceiling: 0.6, Requests: 7, Complete: 8}}
	if table := moved(was, was, r); table != "" {
		t.Errorf("nothing moved, told\n%s", table)
	}
	is := map[string]pinned{"a p": {TTFT: 1.019, RT: 2.05, TPOT: 3, Tokens: 4, Hit: 0.511, Ceiling: math.NaN(), Requests: 7, Complete: 8}}
	table := moved(was, is, r)
	for _, want := range []string{"request s", "+2.5 %", "hit", "ceiling"} {
		if !strings.Contains(table, want) || strings.Count(table, "\n") != 3 {
			t.Errorf("want a line of %q and three lines, got\n%s", want, table)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	for _, name := range append(PolicyNames(), "warm:w=8", "cache_aware:gate=fleet:balance_abs=3") {
		build, err := parsePolicy(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if bare, _, _ := strings.Cut(name, ":"); build().Name() != bare {
			t.Errorf("%s makes %s", name, build().Name())
		}
	}
	for text, want := range map[string]string{
		"":                      "unknown policy",
		"warmest":               "some of",
		"warm:w":                "want name=value",
		"warm:w=fast":           "w",
		"warm:speed=3":          "speed",
		"warm:w=1e99":           "w",
		"round_robin:x=1":       "x",
		"clairvoyant:x=1":       "no parameters",
		"prefix_higress:ttl=60": "no parameters",
	} {
		if err := CheckPolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("policy %q: error %v, want one that tells %q", text, err, want)
		}
		if _, err := Run(t.Context(), Config{Policies: []string{text}, Seeds: 1}); err == nil {
			t.Errorf("a sweep of policy %q ran", text)
		}
	}
}

package sweep

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// tiny is a made-up result of two workloads, three policies and two seeds.
func tiny() *Result {
	m := func(factor float64) Metrics {
		return Metrics{
			Requests: 100, Complete: 97, Left: 2, Failed: 1, Seconds: 60, TTFT: 0.1 * factor, TTFTp50: 0.08 * factor, TTFTp99: 0.5 * factor,
			RT: 8 + factor, RTp99: 20 + factor, TPOT: 0.03, TPOTp99: 0.05, Hit: 0.9 - 0.1*factor, Ceiling: 0.9, Good: 1 - 0.05*factor,
			Goodput: 1.6, Tokens: 450, Imbalance: 1.2 * factor, Preemptions: 3,
		}
	}
	cells := func(a, b, c float64) []Cell {
		var all []Cell
		for _, f := range []float64{a, b, c} {
			all = append(all, Cell{
				Runs: []Metrics{m(f), m(1.1 * f)}, firsts: [][]float64{{0.05 * f, 0.1 * f, 0.2 * f}, {0.1 * f, 0.3 * f}},
				loads: [][]uint16{{0, 0}, {3, 1}, {2, 2}, {0, 0}},
			})
		}
		return all
	}
	return &Result{
		Config: Config{
			Workloads: []Workload{{Name: "small", About: "two <replicas> & some callers"}, {Name: "large", About: "more of them"}},
			Policies:  []string{"lmetric", "warm:w=8", Clairvoyant}, Baseline: "lmetric", Seeds: 2, FirstSeed: 1000, Gateways: 1, SLO: DefaultSLO(),
		},
		Cells: [][]Cell{cells(1, 0.9, 0.8), cells(1, 1.5, 0.7)},
	}
}

func TestWriteTable(t *testing.T) {
	single := tiny()
	single.Config.Seeds, single.Config.Policies, single.Config.Workloads = 1, single.Config.Policies[:1], single.Config.Workloads[:1]
	single.Config.Fleet, single.Config.Gateways = Fleet{{preset: a10}, {preset: a10}}, 2
	single.Cells = [][]Cell{{{Runs: single.Cells[0][0].Runs[:1]}}}
	var got bytes.Buffer
	for _, r := range []*Result{tiny(), single} {
		if err := r.WriteTable(&got); err != nil {
			t.Fatal(err)
		}
		got.WriteString("\n---\n\n")
	}
	const file = "testdata/table.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the table changed; if it should, go test ./bench/sweep -update\n%s", got.String())
	}
}

func TestWriteJSON_HasEveryFigureOfEveryRun(t *testing.T) {
	r := tiny()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Baseline  string
		FirstSeed uint64 `json:"first_seed"`
		Seeds     int
		SLOTTFT   float64 `json:"slo_ttft"`
		SLOTPOT   float64 `json:"slo_tpot"`
		Workloads []struct {
			Workload, About string
			Policies        []struct {
				Policy      string
				Differences map[string]Interval `json:"differences_percent"`
				Runs        []map[string]float64
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Baseline != "lmetric" || got.FirstSeed != 1000 || got.Seeds != 2 || got.SLOTTFT != 0.5 || got.SLOTPOT != 0.06 || len(got.Workloads) != 2 {
		t.Errorf("%+v", got)
	}
	for i, w := range got.Workloads {
		if w.Workload != r.Config.Workloads[i].Name || w.About != r.Config.Workloads[i].About || len(w.Policies) != 3 {
			t.Errorf("workload %d is %+v", i, w)
		}
		for k, p := range w.Policies {
			if p.Policy != r.Config.Policies[k] || len(p.Runs) != 2 {
				t.Errorf("policy %d is %+v", k, p)
			}
			for s, figures := range p.Runs {
				run := reflect.ValueOf(r.Cells[i][k].Runs[s])
				if len(figures) != run.NumField() {
					t.Errorf("%d figures, want %d", len(figures), run.NumField())
				}
				for f := range run.NumField() {
					name := run.Type().Field(f).Tag.Get("json")
					want := run.Field(f).Convert(reflect.TypeFor[float64]()).Float()
					if x, ok := figures[name]; !ok || x != want {
						t.Errorf("%s of %s on %s is %v, want %v", name, p.Policy, w.Workload, x, want)
					}
				}
			}
		}
		if d := w.Policies[1].Differences; len(d) != 6 || d["ttft"] != ratio(r.Cells[i][1].Runs, r.Cells[i][0].Runs, ttft) ||
			d["rt_to_bound"] != ratio(r.Cells[i][1].Runs, r.Cells[i][2].Runs, whole) || d["ttft_p99"].Mean == 0 {
			t.Errorf("differences of %s: %v", w.Workload, d)
		}
		if d := w.Policies[0].Differences; len(d) != 3 {
			t.Errorf("the baseline has no differences but those to the bound: %v", d)
		}
	}
}

// full is a disk that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriting_TellsWhenItFails(t *testing.T) {
	for what, err := range map[string]error{"table": tiny().WriteTable(full{}), "result": tiny().WriteJSON(full{}), "page": tiny().WriteHTML(full{})} {
		if err == nil || !strings.Contains(err.Error(), "writing the "+what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

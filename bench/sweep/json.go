package sweep

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes the result for programs: one object with the figures of every run.
func (r *Result) WriteJSON(w io.Writer) error {
	type cell struct {
		Policy string              `json:"policy"`
		Ratios map[string]Interval `json:"differences_percent,omitempty"` // to the baseline, and to the bound
		Runs   []Metrics           `json:"runs"`                          // by seed
	}
	type workload struct {
		Name     string `json:"workload"`
		About    string `json:"about"`
		Policies []cell `json:"policies"`
	}
	c := &r.Config
	out := struct {
		Baseline  string     `json:"baseline"`
		FirstSeed uint64     `json:"first_seed"`
		Seeds     int        `json:"seeds"`
		Fleet     string     `json:"fleet,omitempty"`
		Gateways  int        `json:"gateways"`
		Shared    string     `json:"shared"`
		SLOTTFT   float64    `json:"slo_ttft"` // seconds
		SLOTPOT   float64    `json:"slo_tpot"`
		Workloads []workload `json:"workloads"`
	}{
		Baseline: c.Baseline, FirstSeed: c.FirstSeed, Seeds: c.Seeds, Fleet: c.Fleet.String(), Gateways: c.Gateways, Shared: c.Shared.String(),
		SLOTTFT: c.SLO.TTFT.Seconds(), SLOTPOT: c.SLO.TPOT.Seconds(),
	}
	base, bound := r.baseline(), r.bound()
	for i := range r.Cells {
		wl := workload{Name: c.Workloads[i].Name, About: c.Workloads[i].About}
		for k, name := range c.Policies {
			runs := r.Cells[i][k].Runs
			one := cell{Policy: name, Runs: runs, Ratios: map[string]Interval{}}
			for key, figure := range map[string]func(*Metrics) float64{"ttft": ttft, "ttft_p99": ttftP99, "rt": whole} {
				if k != base {
					one.Ratios[key] = ratio(runs, r.Cells[i][base].Runs, figure)
				}
				if bound >= 0 && k != bound {
					one.Ratios[key+"_to_bound"] = ratio(runs, r.Cells[i][bound].Runs, figure)
				}
			}
			wl.Policies = append(wl.Policies, one)
		}
		out.Workloads = append(out.Workloads, wl)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

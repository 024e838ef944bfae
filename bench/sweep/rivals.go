package sweep

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// ours is the policy that the last table holds against the best of all others.
const ours = "warm"

// weighted is what the default policy and the clairvoyant make small: a second before the first token counts four times.
func weighted(m *Metrics) float64 { return (firstWeight-1)*m.TTFT + m.RT }

// writeRivals tells for each workload which other policy was best by each figure, and how far ours was from it: where it loses.
// Variants of ours are no rivals.
func (r *Result) writeRivals(b *strings.Builder) {
	k := slices.Index(r.Config.Policies, ours)
	var rivals []int
	for i, name := range r.Config.Policies {
		if name != Clairvoyant && name != ours && !strings.HasPrefix(name, ours+":") {
			rivals = append(rivals, i)
		}
	}
	if k < 0 || len(rivals) == 0 {
		return
	}
	fmt.Fprintf(b, "%s beside the best other policy of each workload and figure, difference in %%\n", ours)
	t := columns(b)
	row(t, "", "TTFT", "best", "p99", "best", "request", "best", "to bound: both")
	for i, w := range r.Config.Workloads {
		line := []string{w.Name}
		for _, figure := range []func(*Metrics) float64{ttft, ttftP99, whole} {
			best := slices.MinFunc(rivals, func(x, y int) int {
				return cmp.Compare(average(r.Cells[i][x].Runs, figure).Mean, average(r.Cells[i][y].Runs, figure).Mean)
			})
			line = append(line, r.difference(i, k, best, figure), r.Config.Policies[best])
		}
		if bound := r.bound(); bound >= 0 {
			line = append(line, r.difference(i, k, bound, weighted))
		}
		row(t, line...)
	}
	_ = t.Flush()
	b.WriteString("Both: the request's time plus three times its TTFT, which the bound makes small.\n")
}

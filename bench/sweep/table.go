package sweep

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the result for people: a table for each workload, and the means over all of them.
func (r *Result) WriteTable(w io.Writer) error {
	var b strings.Builder
	for i := range r.Cells {
		r.writeWorkload(&b, i)
		b.WriteString("\n")
	}
	if len(r.Cells) > 1 {
		r.writeMeans(&b)
		b.WriteString("\n")
		r.writeRivals(&b)
		b.WriteString("\n")
	}
	b.WriteString(r.notes())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

func (r *Result) baseline() int { return slices.Index(r.Config.Policies, r.Config.Baseline) }

func (r *Result) bound() int { return slices.Index(r.Config.Policies, Clairvoyant) }

// The figures that tables compare.
func ttft(m *Metrics) float64    { return m.TTFT }
func ttftP99(m *Metrics) float64 { return m.TTFTp99 }
func whole(m *Metrics) float64   { return m.RT }

func columns(b *strings.Builder) *tabwriter.Writer {
	return tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func row(t *tabwriter.Writer, cells ...string) {
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") // into memory
}

func (r *Result) writeWorkload(b *strings.Builder, i int) {
	fmt.Fprintf(b, "%s: %s\n", r.Config.Workloads[i].Name, r.about(i))
	t := columns(b)
	row(t, r.head()...)
	for k := range r.Cells[i] {
		row(t, r.figures(i, k, r.baseline(), r.bound())...)
	}
	_ = t.Flush()
}

// about says what a workload is and what it ran on.
func (r *Result) about(i int) string {
	about := r.Config.Workloads[i].About
	if r.Config.Fleet != nil {
		about += ", on " + r.Config.Fleet.String()
	}
	return about
}

// head names the columns of [Result.figures].
func (r *Result) head() []string {
	head := []string{"", "TTFT ms", "p50", "p99", "request s", "p99", "TPOT ms", "p99", "tokens/s", "hit", "ceiling", "good %", "imbalance", "preempted"}
	if len(r.Config.Policies) > 1 {
		head = append(head, "TTFT %", "p99 %", "request %")
	}
	if r.bound() >= 0 {
		head = append(head, "to bound: TTFT %", "request %")
	}
	return head
}

// figures are the cells of one policy on one workload.
func (r *Result) figures(i, k, base, bound int) []string {
	cells := r.Cells[i]
	runs := cells[k].Runs
	at := func(format string, factor float64, figure func(*Metrics) float64) string {
		return fmt.Sprintf(format, factor*average(runs, figure).Mean)
	}
	line := []string{
		r.Config.Policies[k],
		at("%.0f", 1e3, ttft), at("%.0f", 1e3, func(m *Metrics) float64 { return m.TTFTp50 }), at("%.0f", 1e3, ttftP99),
		at("%.2f", 1, whole), at("%.1f", 1, func(m *Metrics) float64 { return m.RTp99 }),
		at("%.1f", 1e3, func(m *Metrics) float64 { return m.TPOT }), at("%.0f", 1e3, func(m *Metrics) float64 { return m.TPOTp99 }),
		at("%.0f", 1, func(m *Metrics) float64 { return m.Tokens }),
		at("%.3f", 1, func(m *Metrics) float64 { return m.Hit }), at("%.3f", 1, func(m *Metrics) float64 { return m.Ceiling }),
		at("%.1f", 100, func(m *Metrics) float64 { return m.Good }),
		at("%.2f", 1, func(m *Metrics) float64 { return m.Imbalance }),
		at("%.1f", 1, func(m *Metrics) float64 { return float64(m.Preemptions) }),
	}
	if len(cells) > 1 {
		for _, figure := range []func(*Metrics) float64{ttft, ttftP99, whole} {
			line = append(line, r.difference(i, k, base, figure))
		}
	}
	if bound >= 0 {
		line = append(line, r.difference(i, k, bound, ttft), r.difference(i, k, bound, whole))
	}
	return line
}

// difference writes a paired one.
func (r *Result) difference(i, k, base int, figure func(*Metrics) float64) string {
	if k == base {
		return "-"
	}
	d := ratio(r.Cells[i][k].Runs, r.Cells[i][base].Runs, figure)
	digits := 1
	if math.Abs(d.Mean) >= 100 || d.Half >= 100 {
		digits = 0
	}
	if r.Config.Seeds < 2 {
		return fmt.Sprintf("%+.*f", digits, d.Mean)
	}
	return fmt.Sprintf("%+.*f ±%.*f", digits, d.Mean, digits, d.Half)
}

func (r *Result) writeMeans(b *strings.Builder) {
	base, bound := r.baseline(), r.bound()
	fmt.Fprintf(b, "Geometric means over the %d workloads, ratio to %s\n", len(r.Cells), r.Config.Baseline)
	t := columns(b)
	head := []string{"", "TTFT", "p99", "request"}
	if bound >= 0 {
		head = append(head, "to bound: TTFT", "request", "both")
	}
	row(t, head...)
	for k, name := range r.Config.Policies {
		line := []string{name}
		for _, figure := range []func(*Metrics) float64{ttft, ttftP99, whole} {
			line = append(line, r.meanRatio(k, base, figure))
		}
		if bound >= 0 {
			line = append(line, r.meanRatio(k, bound, ttft), r.meanRatio(k, bound, whole), r.meanRatio(k, bound, weighted))
		}
		row(t, line...)
	}
	_ = t.Flush()
}

func (r *Result) meanRatio(k, base int, figure func(*Metrics) float64) string {
	if k == base {
		return "1"
	}
	m := r.geometric(k, base, figure)
	if r.Config.Seeds < 2 {
		return fmt.Sprintf("%.3f", m.Mean)
	}
	return fmt.Sprintf("%.3f ±%.3f", m.Mean, m.Half)
}

// notes say how to read the tables.
func (r *Result) notes() string {
	c := &r.Config
	var b strings.Builder
	fmt.Fprintf(&b, "Simulated engines in virtual time, the balancer's real code; first seed %d, runs: %d", c.FirstSeed, c.Seeds)
	if c.Gateways > 1 {
		fmt.Fprintf(&b, "; %d gateways that share %s", c.Gateways, c.Shared)
	}
	b.WriteString(".\n")
	if len(c.Policies) > 1 {
		fmt.Fprintf(&b, "TTFT, p99 and request in %%: paired difference to %s, geometric mean over the seeds", c.Baseline)
		if c.Seeds > 1 {
			b.WriteString(", ± 95 % confidence (t)")
		}
		b.WriteString(".\n")
	}
	if r.bound() >= 0 {
		b.WriteString("Bound: each choice is run to its end on a copy of the fleet before it is made, knowing caches and answer lengths, not later arrivals.\nIt is greedy, so it can be beaten.\n")
	}
	fmt.Fprintf(&b, "Ceiling: the hit rate of one cache that never forgets. Good: within TTFT %v and %v a token. Imbalance: requests of the fullest replica over the mean.\n", c.SLO.TTFT, c.SLO.TPOT)
	return b.String()
}

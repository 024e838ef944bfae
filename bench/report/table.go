package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The columns of the table, with two lines of heading.
var headings = [...][2]string{
	{"", "policy"},
	{"TTFT ms", "mean"},
	{"", "p99"},
	{"request s", "mean"},
	{"", "p99"},
	{"ITL ms", "mean"},
	{"output", "tokens/s"},
	{"cache", "hit rate"},
	{"", "failed"},
	{"requests", "per replica"},
}

// WriteTable writes the comparison for people: a line of figures for each policy and, from the second one on, a line
// of differences to the first. It is at most 110 columns wide unless names are long.
func (c *Comparison) WriteTable(w io.Writer) error {
	t := &table{}
	t.add(headings[0][0], column(0)...)
	t.add(headings[0][1], column(1)...)
	t.rule()
	for i := range c.Policies {
		p := &c.Policies[i]
		t.add(p.Name, p.cells()...)
		if i > 0 {
			t.add("", p.differences(&c.Policies[0])...)
		}
	}
	if c.Published {
		t.rule()
		addPublished(t)
	}
	var b strings.Builder
	for _, line := range c.Caption {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n" + t.String() + "\n")
	c.notes(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (c *Comparison) notes(b *strings.Builder) {
	if len(c.Policies) > 1 {
		fmt.Fprintf(b, "Differences are to %s; of the hit rate in points. ", c.Policies[0].Name)
	}
	b.WriteString("TTFT: time to first token. ITL: time between tokens.\n")
	if c.Lag.Known() {
		fmt.Fprintf(b, "The simulated engines were late by %.1f %% of their scheduled times.\n", 100*float64(c.Lag))
	}
	for _, p := range c.Policies {
		for _, line := range p.failures() {
			b.WriteString(line + "\n")
		}
	}
	if c.Published {
		b.WriteString(publishedNotes)
	}
}

func column(line int) []string {
	var cells []string
	for _, h := range headings[1:] {
		cells = append(cells, h[line])
	}
	return cells
}

func (p *Policy) cells() []string {
	return []string{
		fixed(p.TTFT.Mean, 0), fixed(p.TTFT.P99, 0),
		fixed(p.Request.Mean/1000, 2), fixed(p.Request.P99/1000, 2),
		fixed(p.InterToken.Mean, 1),
		fixed(p.OutputRate, 0),
		percent(p.HitRate),
		strconv.Itoa(p.Errors),
		replicas(p.PerReplica),
	}
}

func (p *Policy) differences(first *Policy) []string {
	return []string{
		change(p.TTFT.Mean, first.TTFT.Mean), change(p.TTFT.P99, first.TTFT.P99),
		change(p.Request.Mean, first.Request.Mean), change(p.Request.P99, first.Request.P99),
		change(p.InterToken.Mean, first.InterToken.Mean),
		change(p.OutputRate, first.OutputRate),
		points(p.HitRate, first.HitRate),
	}
}

func (p *Policy) failures() []string {
	var lines []string
	for _, kind := range sortedKeys(p.ErrorKinds) {
		lines = append(lines, fmt.Sprintf("%s: %d requests failed: %s", p.Name, p.ErrorKinds[kind], kind))
	}
	return lines
}

func fixed(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }

func percent(f Fraction) string {
	if !f.Known() {
		return "?"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(f))
}

func change(v, from float64) string {
	if from == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", 100*(v-from)/from)
}

func points(f, from Fraction) string {
	if !f.Known() || !from.Known() {
		return ""
	}
	return fmt.Sprintf("%+.1f pt", 100*float64(f-from))
}

// replicas lists the requests of each replica; of many, the extremes.
func replicas(counts []int) string {
	const most = 6
	if len(counts) > most {
		return fmt.Sprintf("%d..%d of %d", slices.Min(counts), slices.Max(counts), len(counts))
	}
	words := make([]string, len(counts))
	for i, n := range counts {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, " ")
}

// table aligns cells: the first column to the left, the others to the right.
type table struct {
	rows   [][]string // nil = a rule across the table
	widths []int
}

func (t *table) add(name string, cells ...string) {
	row := append([]string{name}, cells...)
	for i, cell := range row {
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
	t.rows = append(t.rows, row)
}

func (t *table) rule() { t.rows = append(t.rows, nil) }

func (t *table) String() string {
	var b strings.Builder
	for _, row := range t.rows {
		if row == nil {
			b.WriteString(strings.Repeat("-", t.width()) + "\n")
			continue
		}
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line.WriteString(cell + pad)
				continue
			}
			line.WriteString("  " + pad + cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

func (t *table) width() int {
	total := -2
	for _, w := range t.widths {
		total += w + 2
	}
	return total
}

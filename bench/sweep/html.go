package sweep

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// WriteHTML writes one page that needs nothing else: tables, the distribution of the time to first token, hit rates
// beside their ceiling, and the load of each replica over time.
func (r *Result) WriteHTML(w io.Writer) error {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("BUG: the page's template: %w", err)
	}
	if err := page.Execute(w, r.page()); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// page is what the template shows.
type page struct {
	Notes    string
	Baseline string
	Bound    bool // is among the policies
	Means    []tableRow
	Parts    []part
}

type part struct {
	Name, About string
	Groups      []group
	Rows        []tableRow
	Policies    []mark // the legend
	Grid        []grid
	Curves      []line // distribution of TTFT
	Bars        []bar
	Loads       []loads
	Most        string // requests at the top of the load charts
	Until       string // time at their right end
	Replicas    []mark
}

// group is columns of the table under one heading.
type group struct {
	Name    string
	Columns []string
}

type tableRow struct {
	mark
	Cells []tableCell
}

type tableCell struct {
	Text  string
	First bool // of its group
}

// mark is a name with the class that colours it.
type mark struct{ Name, Class string }

// Sizes of the charts, in the units of their view boxes.
const (
	chartWidth, chartHeight = 460.0, 250.0
	loadWidth, loadHeight   = 300.0, 90.0
)

type grid struct {
	X    float64
	Text string
}

type line struct {
	mark
	Points string
}

type bar struct {
	mark
	Text         string
	Hit, Ceiling float64 // percent
}

type loads struct {
	Name  string
	Lines []line
}

// pageColors is how many colours the page has; beyond them lines are dashed.
const pageColors = 10

// marks gives every name a colour.
func marks(names []string) []mark {
	all := make([]mark, len(names))
	for i, name := range names {
		all[i] = mark{name, fmt.Sprint("c", i%pageColors)}
		if i/pageColors%2 == 1 {
			all[i].Class += " dashed"
		}
		if name == Clairvoyant {
			all[i].Class = "bound dashed"
		}
	}
	return all
}

func (r *Result) page() page {
	p := page{Notes: r.notes(), Baseline: r.Config.Baseline, Bound: r.bound() >= 0}
	if len(r.Cells) > 1 {
		for k, m := range marks(r.Config.Policies) {
			row := tableRow{mark: m}
			for _, figure := range []func(*Metrics) float64{ttft, ttftP99, whole} {
				row.Cells = append(row.Cells, tableCell{Text: r.meanRatio(k, r.baseline(), figure)})
			}
			if p.Bound {
				row.Cells = append(row.Cells, tableCell{r.meanRatio(k, r.bound(), ttft), true}, tableCell{Text: r.meanRatio(k, r.bound(), whole)})
			}
			p.Means = append(p.Means, row)
		}
	}
	for i := range r.Cells {
		p.Parts = append(p.Parts, r.part(i))
	}
	return p
}

// groups are the headings of [Result.figures] behind the name.
func (r *Result) groups() []group {
	all := []group{
		{"TTFT, ms", []string{"mean", "p50", "p99"}},
		{"request, s", []string{"mean", "p99"}},
		{"a token, ms", []string{"mean", "p99"}},
		{"", []string{"tokens/s"}},
		{"prefix cache", []string{"hit", "ceiling"}},
		{"", []string{"good %", "imbalance", "preempted"}},
	}
	if len(r.Config.Policies) > 1 {
		all = append(all, group{"against " + r.Config.Baseline + ", %", []string{"TTFT", "p99", "request"}})
	}
	if r.bound() >= 0 {
		all = append(all, group{"against the bound, %", []string{"TTFT", "request"}})
	}
	return all
}

func (r *Result) part(i int) part {
	names := marks(r.Config.Policies)
	p := part{Name: r.Config.Workloads[i].Name, About: r.about(i), Groups: r.groups(), Policies: names}
	for k, m := range names {
		row := tableRow{mark: m}
		cells := r.figures(i, k, r.baseline(), r.bound())[1:]
		for _, g := range p.Groups {
			for c := range g.Columns {
				row.Cells = append(row.Cells, tableCell{cells[0], c == 0})
				cells = cells[1:]
			}
		}
		p.Rows = append(p.Rows, row)
		hit := 100 * average(r.Cells[i][k].Runs, func(m *Metrics) float64 { return m.Hit }).Mean
		ceiling := 100 * average(r.Cells[i][k].Runs, func(m *Metrics) float64 { return m.Ceiling }).Mean
		p.Bars = append(p.Bars, bar{m, fmt.Sprintf("%.1f %%", hit), hit, ceiling})
	}
	p.Grid, p.Curves = r.distribution(i)
	p.drawLoads(r.Cells[i])
	return p
}

// distribution draws the share of the requests that had their first token within a time, on a logarithmic axis.
func (r *Result) distribution(i int) ([]grid, []line) {
	low, high := math.Inf(1), 0.0
	sorted := make([][]float64, len(r.Cells[i]))
	for k := range r.Cells[i] {
		all := slices.Concat(r.Cells[i][k].firsts...)
		if len(all) == 0 {
			continue
		}
		slices.Sort(all)
		sorted[k] = all
		low, high = min(low, all[0]), max(high, all[len(all)-1])
	}
	if !(high > 0) {
		return nil, nil
	}
	low = max(low, high/1e5)
	x := func(seconds float64) float64 {
		return chartWidth * math.Log(max(seconds, low)/low) / max(1e-9, math.Log(high/low))
	}
	const steps = 200
	var lines []line
	for k, m := range marks(r.Config.Policies) {
		if len(sorted[k]) == 0 {
			continue
		}
		var b strings.Builder
		for s := range steps + 1 {
			q := float64(s) / steps
			fmt.Fprintf(&b, "%.1f,%.1f ", x(quantile(sorted[k], q)), chartHeight*(1-q))
		}
		fmt.Fprintf(&b, "%.1f,0", chartWidth)
		lines = append(lines, line{m, b.String()})
	}
	return timeGrid(low, high, x), lines
}

// timeGrid marks round times: 1, 2 and 5 of each power of ten, or only the powers where there are many.
func timeGrid(low, high float64, x func(float64) float64) []grid {
	var all []grid
	for power := time.Microsecond; power <= 1000*time.Second; power *= 10 {
		for _, at := range []time.Duration{power, 2 * power, 5 * power} {
			s := at.Seconds()
			if s >= low && s <= high && (at == power || high/low < 300) {
				all = append(all, grid{x(s), at.String()})
			}
		}
	}
	return all
}

// mostLines is how many replicas have a line each; of larger fleets it is the fullest, the mean and the emptiest.
const mostLines = 8

// drawLoads draws the load of the replicas, all policies on the same axes.
func (p *part) drawLoads(cells []Cell) {
	most, samples := uint16(1), 2
	for k := range cells {
		samples = max(samples, len(cells[k].loads))
		for _, row := range cells[k].loads {
			most = max(most, slices.Max(row))
		}
	}
	p.Most, p.Until = fmt.Sprint(most), (time.Duration(samples-1) * curveStep).Round(time.Second).String()
	for k := range cells {
		l := loads{Name: p.Policies[k].Name}
		lines, names := loadLines(cells[k].loads)
		p.Replicas = marks(names)
		for i, m := range p.Replicas {
			var b strings.Builder
			step := max(1, samples/300)
			for s := 0; s < len(lines); s += step {
				fmt.Fprintf(&b, "%.1f,%.1f ", loadWidth*float64(s)/float64(samples-1), loadHeight*(1-lines[s][i]/float64(most)))
			}
			l.Lines = append(l.Lines, line{m, b.String()})
		}
		p.Loads = append(p.Loads, l)
	}
}

// loadLines are the values of the lines by sample, and what they are called.
func loadLines(rows [][]uint16) (lines [][]float64, names []string) {
	if len(rows) == 0 {
		return nil, nil
	}
	few := len(rows[0]) <= mostLines
	for _, row := range rows {
		values := make([]float64, len(row))
		for i, n := range row {
			values[i] = float64(n)
		}
		if !few {
			values = []float64{slices.Max(values), mean(values), slices.Min(values)}
		}
		lines = append(lines, values)
	}
	if !few {
		return lines, []string{"the fullest replica", "the mean", "the emptiest"}
	}
	for i := range rows[0] {
		names = append(names, fmt.Sprint("replica ", i))
	}
	return lines, names
}

package sweep

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
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
	Means    [][]string
	Parts    []part
}

type part struct {
	Name, About string
	Head        []string
	Rows        [][]string
	Policies    []mark // the legend
	Grid        []grid
	Curves      []line // distribution of TTFT
	Bars        []bar
	BarsHeight  float64
	Ceiling     float64 // of the hit rate, as x
	Loads       []loads
}

type mark struct{ Name, Color string }

// Sizes of the charts, in the units of their view boxes.
const (
	chartWidth, chartHeight = 640.0, 240.0
	loadWidth, loadHeight   = 300.0, 90.0
	barHeight               = 22.0
)

type grid struct {
	X    float64
	Text string
}

type line struct{ Name, Color, Points string }

type bar struct {
	Name, Color, Text string
	Y, Width          float64
}

type loads struct {
	Name, Most, Seconds string
	Lines               []line
}

// colors tell policies apart; from the palette of Okabe and Ito, which all eyes can read, and shades of it.
func colors() []string {
	return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d31", "#9e9e9e", "#444444"}
}

func color(i int) string { return colors()[i%len(colors())] }

func (r *Result) page() page {
	p := page{Notes: r.notes(), Baseline: r.Config.Baseline}
	if len(r.Cells) > 1 {
		for k, name := range r.Config.Policies {
			base := r.baseline()
			p.Means = append(p.Means, []string{name, r.meanRatio(k, base, ttft), r.meanRatio(k, base, ttftP99), r.meanRatio(k, base, whole)})
		}
	}
	for i := range r.Cells {
		p.Parts = append(p.Parts, r.part(i))
	}
	return p
}

func (r *Result) part(i int) part {
	w := &r.Config.Workloads[i]
	p := part{Name: w.Name, About: w.About, Head: r.head(), BarsHeight: barHeight * float64(len(r.Config.Policies))}
	for k, name := range r.Config.Policies {
		p.Policies = append(p.Policies, mark{name, color(k)})
		p.Rows = append(p.Rows, r.figures(i, k, r.baseline(), r.bound()))
		hit := average(r.Cells[i][k].Runs, func(m *Metrics) float64 { return m.Hit }).Mean
		p.Ceiling = max(p.Ceiling, chartWidth*average(r.Cells[i][k].Runs, func(m *Metrics) float64 { return m.Ceiling }).Mean)
		p.Bars = append(p.Bars, bar{name, color(k), fmt.Sprintf("%.1f %%", 100*hit), float64(k) * barHeight, chartWidth * hit})
		p.Loads = append(p.Loads, r.Cells[i][k].drawLoads(name))
	}
	p.Grid, p.Curves = r.distribution(i)
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
	var marks []grid
	for _, s := range []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 100} {
		if s > low && s < high {
			text := fmt.Sprintf("%g s", s)
			if s < 1 {
				text = fmt.Sprintf("%g ms", 1e3*s)
			}
			marks = append(marks, grid{x(s), text})
		}
	}
	var lines []line
	const steps = 200
	for k, all := range sorted {
		var b strings.Builder
		for s := range steps + 1 {
			q := float64(s) / steps
			if len(all) > 0 {
				fmt.Fprintf(&b, "%.1f,%.1f ", x(quantile(all, q)), chartHeight*(1-q))
			}
		}
		lines = append(lines, line{r.Config.Policies[k], color(k), b.String()})
	}
	return marks, lines
}

// drawLoads draws a line for each replica.
func (c *Cell) drawLoads(name string) loads {
	most := uint16(1)
	for _, row := range c.loads {
		most = max(most, slices.Max(row))
	}
	l := loads{Name: name, Most: fmt.Sprint(most), Seconds: fmt.Sprintf("%.0f s", float64(len(c.loads))*curveStep.Seconds())}
	if len(c.loads) < 2 {
		return l
	}
	step := max(1, len(c.loads)/300)
	for i := range c.loads[0] {
		var b strings.Builder
		for s := 0; s < len(c.loads); s += step {
			x := loadWidth * float64(s) / float64(len(c.loads)-1)
			fmt.Fprintf(&b, "%.1f,%.1f ", x, loadHeight*(1-float64(c.loads[s][i])/float64(most)))
		}
		l.Lines = append(l.Lines, line{fmt.Sprint("replica ", i), color(i), b.String()})
	}
	return l
}

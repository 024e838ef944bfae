package engines

import (
	"math"
	"strconv"

	dto "github.com/prometheus/client_model/go"
)

// page is a parsed metrics page: the families that the table looks at, by whole name.
type page map[string]*dto.MetricFamily

// parts splits a page by data-parallel rank: part i has the rows whose label is i. With n of 0 the page is its only part.
func (p page) parts(label string, n int) []page {
	if n == 0 {
		return []page{p}
	}
	parts := make([]page, n)
	for i := range parts {
		parts[i] = page{}
	}
	for name, family := range p {
		for _, row := range family.GetMetric() {
			rank, err := strconv.Atoi(labelOf(row, label))
			if err != nil || rank < 0 || rank >= n {
				continue
			}
			if parts[rank][name] == nil {
				parts[rank][name] = &dto.MetricFamily{}
			}
			parts[rank][name].Metric = append(parts[rank][name].Metric, row)
		}
	}
	return parts
}

// reading takes one value from a page. The zero reading takes nothing.
type reading struct {
	names []string           // whole names of the metrics it looks at
	read  func(page) float64 // NaN when the page does not tell
}

// from evaluates the reading over a page, NaN when the page does not tell.
func (r reading) from(p page) float64 {
	if r.read == nil {
		return math.NaN()
	}
	return r.read(p)
}

// condition selects rows by a label. As in Prometheus, a label that a row does not have equals the empty text.
type condition struct{ label, value string }

// where is a condition in the words of a table.
func where(label, value string) condition { return condition{label, value} }

// sum adds the rows of a metric: one row each rank, model or mode.
func sum(metric string, conditions ...condition) reading {
	return fold(metric, conditions, func(a, b float64) float64 { return a + b })
}

// highest takes the largest row of a metric.
func highest(metric string, conditions ...condition) reading {
	return fold(metric, conditions, math.Max)
}

// fold joins the values of the rows that meet all conditions.
func fold(metric string, conditions []condition, join func(a, b float64) float64) reading {
	return over(metric, func(f *dto.MetricFamily) float64 {
		result := math.NaN()
		for _, row := range f.GetMetric() {
			if !meets(row, conditions) {
				continue
			}
			if v := value(row); math.IsNaN(result) {
				result = v
			} else {
				result = join(result, v)
			}
		}
		return result
	})
}

// sumByRank adds a metric over the values of one label, taking of the rows that share a value the largest: ranks that work on one batch
// together each report all of it.
func sumByRank(metric, rank string, conditions ...condition) reading {
	return over(metric, func(f *dto.MetricFamily) float64 {
		ranks := map[string]float64{}
		for _, row := range f.GetMetric() {
			if meets(row, conditions) {
				name := labelOf(row, rank)
				if held, seen := ranks[name]; !seen || value(row) > held {
					ranks[name] = value(row)
				}
			}
		}
		if len(ranks) == 0 {
			return math.NaN()
		}
		total := 0.0
		for _, v := range ranks {
			total += v
		}
		return total
	})
}

// labels adds over the rows of an info metric the product of the numbers that stand in its labels. A row in which one of them is no number
// ("None", or not there) makes the whole unknown.
func labels(metric string, names ...string) reading {
	return over(metric, func(f *dto.MetricFamily) float64 {
		total := math.NaN()
		for _, row := range f.GetMetric() {
			product := 1.0
			for _, name := range names {
				v, err := strconv.ParseFloat(labelOf(row, name), 64)
				if err != nil {
					return math.NaN()
				}
				product *= v
			}
			if math.IsNaN(total) {
				total = 0
			}
			total += product
		}
		return total
	})
}

// over makes a reading of one metric.
func over(metric string, read func(*dto.MetricFamily) float64) reading {
	return reading{names: []string{metric}, read: func(p page) float64 {
		f := p[metric]
		if f == nil {
			return math.NaN()
		}
		return read(f)
	}}
}

// first takes the first of several readings that the page tells: the newest name before the older ones.
func first(alternatives ...reading) reading {
	return reading{names: namesOf(alternatives), read: func(p page) float64 {
		for _, r := range alternatives {
			if v := r.from(p); !math.IsNaN(v) {
				return v
			}
		}
		return math.NaN()
	}}
}

// counter is a counter under its own name or with the suffix that Prometheus client libraries add to it.
func counter(metric string) reading {
	return first(sum(metric+"_total"), sum(metric))
}

// plus adds to a reading those of the extras that the page tells; it is unknown when the base is.
func plus(base reading, extras ...reading) reading {
	return reading{names: namesOf(append([]reading{base}, extras...)), read: func(p page) float64 {
		total := base.from(p)
		for _, r := range extras {
			if v := r.from(p); !math.IsNaN(v) {
				total += v
			}
		}
		return total
	}}
}

// together adds readings of which none may be missing.
func together(parts ...reading) reading {
	return reading{names: namesOf(parts), read: func(p page) float64 {
		total := 0.0
		for _, r := range parts {
			total += r.from(p)
		}
		return total
	}}
}

// times multiplies readings of which none may be missing.
func times(parts ...reading) reading {
	return reading{names: namesOf(parts), read: func(p page) float64 {
		product := 1.0
		for _, r := range parts {
			product *= r.from(p)
		}
		return product
	}}
}

// namesOf collects the metrics of several readings.
func namesOf(rs []reading) []string {
	var names []string
	for _, r := range rs {
		names = append(names, r.names...)
	}
	return names
}

// meets reports whether a row has all the label values asked for.
func meets(row *dto.Metric, conditions []condition) bool {
	for _, c := range conditions {
		if labelOf(row, c.label) != c.value {
			return false
		}
	}
	return true
}

// labelOf returns a row's label, empty when it has none of that name.
func labelOf(row *dto.Metric, name string) string {
	for _, l := range row.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// value returns a row's number. The type lines are dropped before parsing, so every row is an untyped one.
func value(row *dto.Metric) float64 {
	if u := row.GetUntyped(); u != nil {
		return u.GetValue()
	}
	return math.NaN()
}

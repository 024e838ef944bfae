package route

import (
	"fmt"
	"slices"
	"strings"
)

// Row is one effective route in words, for a reader.
type Row struct {
	Name     string // "-" for a model that needs no route
	Models   string // names and globs; "*" = every model
	When     string // further conditions, "" = none
	Targets  string // in order, each with the model name that is sent if it is not the caller's
	Fallback string // failures that lead to the next target, "" if there is none
}

// Rows returns the effective routes in the order in which they are tried; what needs no route comes last, one row a pool or provider.
func (t *Table) Rows() []Row {
	var rows []Row
	for _, r := range t.routes {
		row := Row{Name: r.Name, Models: strings.Join(r.models, ", "), When: r.when, Targets: targetsText(r.Targets)}
		if row.Models == "" {
			row.Models = "*"
		}
		if len(r.Targets) > 1 {
			classes := make([]string, len(r.FallbackOn))
			for i, class := range r.FallbackOn {
				classes[i] = class.String()
			}
			row.Fallback = strings.Join(classes, ", ")
		}
		rows = append(rows, row)
	}
	return append(rows, t.directRows()...)
}

// directRows groups the names that need no route by what serves them. Names that a route takes from everybody are left out.
func (t *Table) directRows() []Row {
	var rows []Row
	for _, m := range t.models {
		r := t.direct[m.Name]
		if r == nil || t.first(m.Name) != r {
			continue
		}
		targets := targetsText(r.Targets)
		if i := slices.IndexFunc(rows, func(row Row) bool { return row.Targets == targets }); i >= 0 {
			rows[i].Models += ", " + m.Name
			continue
		}
		rows = append(rows, Row{Name: "-", Models: m.Name, Targets: targets})
	}
	return rows
}

// Disputed returns the names that several pools or several providers serve and no route takes, each with who serves it.
func (t *Table) Disputed() []string {
	var lines []string
	for name, owners := range t.disputed {
		if t.first(name) == nil {
			lines = append(lines, fmt.Sprintf("%s (%s)", name, strings.Join(owners, ", ")))
		}
	}
	slices.Sort(lines)
	return lines
}

func targetsText(targets []Target) string {
	texts := make([]string, len(targets))
	for i, t := range targets {
		kind := "pool "
		if t.Provider != "" {
			kind = "provider "
		}
		texts[i] = kind + t.Name()
		if t.Model != "" {
			texts[i] += " as " + t.Model
		}
		if t.Weight > 0 {
			texts[i] += fmt.Sprintf(" (weight %g)", t.Weight)
		}
	}
	return strings.Join(texts, ", then ")
}

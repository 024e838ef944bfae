package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/alecthomas/kong"
)

// UsageCmd shows what was used, by the admin API of a running gateway.
type UsageCmd struct {
	adminFlags
	From string   `placeholder:"DAY" help:"First day, as 2026-11-01. Default: 29 days before the last one."`
	To   string   `placeholder:"DAY" help:"Last day. Default: today."`
	By   []string `default:"consumer,model" help:"What rows are told apart by: day, consumer, app, model, target, route."`

	Consumer []string `help:"Of these consumers only."`
	App      []string `help:"Of these apps only."`
	Model    []string `help:"Of these models only."`
	Target   []string `help:"Of what these pools and providers served only."`
	Route    []string `help:"Of these routes only."`

	JSON bool `name:"json" xor:"form" help:"Print what the admin API answers."`
	CSV  bool `name:"csv" xor:"form" help:"Print CSV."`
}

// usageReport is the admin API's report. Rows keep the members that they are told apart by beside the counts.
type usageReport struct {
	From, To, Zone, Currency string
	By                       []string
	Rows                     []map[string]any
	Total                    map[string]any
}

// Run prints a table, with a line for the sum of all.
func (c *UsageCmd) Run(ctx context.Context, k *kong.Context) error {
	q := url.Values{"by": {strings.Join(c.By, ",")}, "format": {"json"}}
	if c.CSV {
		q.Set("format", "csv")
	}
	for name, values := range map[string][]string{
		"from": given(c.From), "to": given(c.To), "consumer": c.Consumer, "app": c.App, "model": c.Model, "target": c.Target, "route": c.Route,
	} {
		if len(values) > 0 {
			q[name] = values
		}
	}
	body, err := c.call(ctx, http.MethodGet, "/admin/v1/usage?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	if c.JSON || c.CSV {
		_, err = k.Stdout.Write(body)
		return err
	}
	var r usageReport
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber() // numbers are shown as they are written
	if err := decoder.Decode(&r); err != nil {
		return fmt.Errorf("reading the admin API's answer: %w", err)
	}
	return r.print(k.Stdout)
}

func given(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// usageColumns are the counts that are shown, with their headings.
func usageColumns() [][2]string {
	return [][2]string{
		{"requests", "REQUESTS"},
		{"failed", "FAILED"},
		{"cached", "CACHED"},
		{"prompt_tokens", "PROMPT"},
		{"cached_prompt_tokens", "OF IT CACHED"},
		{"completion_tokens", "COMPLETION"},
		{"cost", "COST"},
	}
}

func (r *usageReport) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s to %s, days of %s\n\n", r.From, r.To, r.Zone); err != nil {
		return err
	}
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head := make([]string, 0, len(r.By)+8)
	for _, d := range r.By {
		head = append(head, strings.ToUpper(d))
	}
	for _, c := range usageColumns() {
		head = append(head, c[1])
	}
	if r.Currency != "" {
		head[len(head)-1] += " " + r.Currency
	}
	fmt.Fprintln(tab, strings.Join(head, "\t"))
	for _, row := range append(r.Rows, r.Total) {
		var line []string
		for i, d := range r.By {
			name, found := row[d].(string)
			switch {
			case found:
				line = append(line, dash(plain(name)))
			case i == 0:
				line = append(line, "TOTAL")
			default:
				line = append(line, "")
			}
		}
		for _, c := range usageColumns() {
			line = append(line, fmt.Sprint(row[c[0]]))
		}
		fmt.Fprintln(tab, strings.Join(line, "\t"))
	}
	return tab.Flush()
}

// plain takes from a name, which a caller may have chosen, what a terminal would obey.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, name)
}

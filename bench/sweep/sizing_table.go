package sweep

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the plan for people.
func (p *Plan) WriteTable(w io.Writer) error {
	var b strings.Builder
	p.writeHead(&b)
	t := columns(&b)
	row(t, "", "", "within the", "first token", "", "further tokens", "whole answer", "found in")
	row(t, "policy", "replicas", "goal %", "mean ms", "p99 ms", "p99 ms each", "mean s", "caches %")
	for i := range p.Choices {
		p.Choices[i].writeRows(t)
	}
	_ = t.Flush()
	b.WriteString("\n")
	for i := range p.Choices {
		p.writeNeed(&b, &p.Choices[i])
	}
	p.writeNotes(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return nil
}

// writeHead says what was asked.
func (p *Plan) writeHead(b *strings.Builder) {
	z := p.Sizing
	fmt.Fprintf(b, "Traffic:  %d requests in %.0f s (%.2f/s)", p.Requests, p.Seconds, share(float64(p.Requests), p.Seconds))
	if z.Rate != 1 {
		fmt.Fprintf(b, ", %g times as fast as recorded", z.Rate)
	}
	fmt.Fprintf(b, "; a prompt has %.0f tokens and an answer %.0f, on average.\n", p.Input, p.Output)
	if p.Shared {
		fmt.Fprintf(b, "          %.1f %% of all prompt tokens repeat the beginning of an earlier prompt or its answer; no cache can find more.\n", 100*p.Ceiling)
	} else {
		b.WriteString("          The trace does not tell which prompts begin alike, so caches find nothing here; real traffic may need fewer replicas.\n")
	}
	if p.TooLarge > 0 {
		fmt.Fprintf(b, "          Left out: %d more, too large for the memory of one replica.\n", p.TooLarge)
	}
	if p.Silent > 0 {
		fmt.Fprintf(b, "          Left out: %d more without an answer: they failed, or generate nothing.\n", p.Silent)
	}
	fmt.Fprintf(b, "Goal:     the first token within %v and further ones within %v each on average, for %.4g %% of the requests.\n", z.SLO.TTFT, z.SLO.TPOT, 100*z.Goal)
	fmt.Fprintf(b, "Replicas: %s, simulated.\n\n", p.Preset)
}

// writeRows writes the size that a policy needs between its neighbours; where none is enough, the largest two.
func (c *Size) writeRows(t *tabwriter.Writer) {
	shown := c.Tried
	if c.Replicas == 0 {
		shown = shown[max(0, len(shown)-2):]
	}
	name := c.Policy
	for i := range shown {
		trial := &shown[i]
		distance := trial.Replicas - c.Replicas
		if c.Replicas > 0 && (distance < -1 || distance > 1) {
			continue
		}
		size := fmt.Sprint(trial.Replicas)
		switch {
		case c.Replicas == 0:
			size = "too few: " + size
		case distance == 0:
			size = "* " + size
		}
		row(t, name, size, fmt.Sprintf("%.2f", 100*trial.Good), fmt.Sprintf("%.0f", 1e3*trial.TTFT), fmt.Sprintf("%.0f", 1e3*trial.TTFTp99),
			fmt.Sprintf("%.1f", 1e3*trial.TPOTp99), fmt.Sprintf("%.2f", trial.RT), fmt.Sprintf("%.1f", 100*trial.Hit))
		name = ""
	}
}

// writeNeed says what a policy needs, or why no number is enough.
func (p *Plan) writeNeed(b *strings.Builder, c *Size) {
	if c.Replicas > 0 {
		fmt.Fprintf(b, "%s: %s enough.\n", c.Policy, number(c.Replicas, " replica is", " replicas are"))
		return
	}
	last := c.Tried[len(c.Tried)-1]
	fmt.Fprintf(b, "%s: too few. On %s, the most tried, %.2f %% of the requests keep the goal", c.Policy, number(last.Replicas, " replica", " replicas"), 100*last.Good)
	if len(c.Tried) > 1 {
		before := c.Tried[len(c.Tried)-2]
		fmt.Fprintf(b, ", on %d %.2f %%", before.Replicas, 100*before.Good)
	}
	b.WriteString(".\n")
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1" + one
	}
	return fmt.Sprint(n, many)
}

// writeNotes say how to read the rest.
func (p *Plan) writeNotes(b *strings.Builder) {
	for i := range p.Choices {
		if p.Choices[i].Replicas == 0 {
			b.WriteString("Where more replicas hardly help, some requests are too slow even alone on a replica that does not know their prompts: a policy that finds\nmore in caches, a faster preset or an easier goal can help.\n")
			break
		}
	}
	fmt.Fprintf(b, "\n* the fewest replicas that keep the goal. Runs of each size: %d; \"within the goal\" is the worst of them, the rest are means.\n", p.Sizing.Seeds)
	b.WriteString("Add what you want to have in reserve: a plan knows neither failures nor traffic that was not recorded.\n")
}

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/route"
)

// CheckCmd checks a configuration file.
type CheckCmd struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration file. See deploy/warmlane.yaml for every key."`
	Print  bool   `help:"Print the whole configuration with its defaults. Secrets are stars."`
}

// Run prints every fault of the file to standard error and fails, or prints the effective routes, or the whole configuration.
func (c *CheckCmd) Run(k *kong.Context) error {
	cfg, err := config.Load(c.Config)
	if faults, ok := config.AsFaults(err); ok {
		for _, f := range faults {
			fmt.Fprintln(k.Stderr, f)
		}
		return fmt.Errorf("%s: %s", c.Config, count(len(faults), "fault"))
	}
	if err != nil {
		return err
	}
	if c.Print {
		return printWhole(k.Stdout, cfg)
	}
	return printRoutes(k.Stdout, cfg)
}

// printWhole writes what holds after all defaults, in the file's own form. A Secret marshals as stars.
func printWhole(out io.Writer, cfg *config.Config) error {
	text, err := yaml.MarshalWithOptions(cfg, yaml.IndentSequence(true))
	if err == nil {
		_, err = out.Write(text)
	}
	if err != nil {
		return fmt.Errorf("printing the configuration: %w", err)
	}
	return nil
}

// printRoutes tells what a valid configuration does, routes first.
func printRoutes(out io.Writer, cfg *config.Config) error {
	table := route.New(cfg)
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "ROUTE\tMODELS\tWHEN\tTARGETS\tFALLBACK ON")
	for _, row := range table.Rows() {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\n", row.Name, row.Models, dash(row.When), row.Targets, dash(row.Fallback))
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("printing routes: %w", err)
	}
	fmt.Fprintln(out)
	for _, line := range table.Disputed() {
		fmt.Fprintf(out, "note: no request reaches the model %s: several serve it and no route chooses\n", line)
	}
	if len(cfg.Consumers) == 0 {
		fmt.Fprintln(out, "note: the API is open, there are no consumers")
	}
	_, err := fmt.Fprintf(out, "%s is right: %s with %s, %s, %s, %s\n", cfg.File(),
		count(len(cfg.Pools), "pool"), count(endpoints(cfg), "endpoint"), count(len(cfg.Providers), "provider"),
		count(len(cfg.Consumers), "consumer"), count(len(cfg.Limits), "limit"))
	if err != nil {
		return fmt.Errorf("printing routes: %w", err)
	}
	return nil
}

func endpoints(cfg *config.Config) int {
	n := 0
	for i := range cfg.Pools {
		n += len(cfg.Pools[i].Endpoints)
	}
	return n
}

// count returns a number of things in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

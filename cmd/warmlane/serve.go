package main

import (
	"context"
	"fmt"
	"os"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// ServeCmd runs the gateway.
type ServeCmd struct {
	Config string   `short:"c" placeholder:"FILE" help:"Configuration file. See deploy/warmlane.yaml for every key."`
	Pool   []string `sep:"none" placeholder:"NAME=URL,URL" help:"Without a file: a pool and its endpoints. May be repeated."`
	Listen string   `placeholder:"ADDR" help:"Address of the application listener, in place of the configured one."`
	Admin  string   `placeholder:"ADDR" help:"Address of the admin listener, in place of the configured one."`
}

// Run serves until the process is told to stop.
func (c *ServeCmd) Run(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if c.Listen != "" {
		cfg.Server.Listen = c.Listen
	}
	if c.Admin != "" {
		cfg.Server.Admin = c.Admin
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	g, err := gateway.New(cfg, gateway.Options{Version: versionText()})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "warmlane serves on %s", g.Addr())
	if a := g.AdminAddr(); a != nil {
		fmt.Fprintf(os.Stderr, ", admin on %s", a)
	}
	fmt.Fprintln(os.Stderr)
	return g.Run(ctx)
}

func (c *ServeCmd) load() (*config.Config, error) {
	switch {
	case c.Config != "" && len(c.Pool) > 0:
		return nil, usageError("give --config or --pool, not both")
	case c.Config != "":
		return config.Load(c.Config)
	case len(c.Pool) > 0:
		cfg, err := config.FromPools(c.Pool)
		if err != nil {
			return nil, usageError(err.Error())
		}
		return cfg, nil
	default:
		return nil, usageError("give --config FILE or --pool NAME=URL,URL")
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/systemd"
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
	cfg, source, err := c.load()
	if err != nil {
		return err
	}
	opts := gateway.Options{Version: versionText(), Source: source}
	sockets, err := systemd.Listeners()
	if err != nil {
		return err
	}
	if len(sockets) > 0 {
		opts.Listener = sockets[0]
	}
	if len(sockets) > 1 {
		opts.AdminListener = sockets[1]
	}
	if n := systemd.NewNotifier(); n != nil {
		opts.Phases = n
	}
	g, err := gateway.New(cfg, opts)
	if err != nil {
		return err
	}
	defer reloadOnHangup(g)()
	fmt.Fprintf(os.Stderr, "warmlane serves on %s", g.Addr())
	if a := g.AdminAddr(); a != nil {
		fmt.Fprintf(os.Stderr, ", admin on %s", a)
	}
	fmt.Fprintln(os.Stderr)
	return g.Run(ctx)
}

// load reads the configuration; source is where it can be read again, nil for --pool.
func (c *ServeCmd) load() (cfg *config.Config, source *config.Source, err error) {
	switch {
	case c.Config != "" && len(c.Pool) > 0:
		return nil, nil, usageError("give --config or --pool, not both")
	case c.Config != "":
		source = &config.Source{Path: c.Config, Adjust: c.adjust}
		cfg, err = source.Load()
		return cfg, source, err
	case len(c.Pool) > 0:
		if cfg, err = config.FromPools(c.Pool); err != nil {
			return nil, nil, usageError(err.Error())
		}
		c.adjust(cfg)
		return cfg, nil, cfg.Validate()
	default:
		return nil, nil, usageError("give --config FILE or --pool NAME=URL,URL")
	}
}

// adjust puts the addresses of the command line into the place of the configured ones.
func (c *ServeCmd) adjust(cfg *config.Config) {
	if c.Listen != "" {
		cfg.Server.Listen = c.Listen
	}
	if c.Admin != "" {
		cfg.Server.Admin = c.Admin
	}
}

// reloadOnHangup makes SIGHUP reload the configuration until the returned function is called.
func reloadOnHangup(g *gateway.Gateway) (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() { // ends with stop
		for {
			select {
			case <-hangups:
				_ = g.Reload("SIGHUP") // tells the log itself
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

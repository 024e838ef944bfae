// Command warmlane is the load balancer in front of self-hosted LLM inference, with what it takes to try, check and measure it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands are the subcommands, one file each.
type commands struct {
	Serve    ServeCmd    `cmd:"" help:"Run the gateway."`
	Check    CheckCmd    `cmd:"" help:"Check a configuration file and print its routes."`
	Key      KeyCmd      `cmd:"" help:"Make, digest and list API keys."`
	Endpoint EndpointCmd `cmd:"" help:"Show, drain, disable or enable endpoints of a running gateway."`
	Usage    UsageCmd    `cmd:"" help:"Show what consumers, apps and models have used, from a running gateway."`
	Demo     DemoCmd     `cmd:"" help:"Compare policies on simulated replicas, with real traffic through the real gateway."`
	Sweep    SweepCmd    `cmd:"" help:"Compare policies in virtual time, thousands of times faster than real."`
	Plan     PlanCmd     `cmd:"" help:"Tell from recorded traffic how many replicas each policy needs for a service level."`
	Engine   EngineCmd   `cmd:"" help:"Run simulated inference engines."`
	Load     LoadCmd     `cmd:"" help:"Drive an OpenAI-compatible URL with multi-turn conversations and measure it."`
	Version  VersionCmd  `cmd:"" help:"Print the version."`
}

// Exit codes: 2 for a command line that makes no sense, 1 for work that failed.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	parser, err := kong.New(&commands{},
		kong.Name("warmlane"),
		kong.Description("Sends each prompt to the replica that is already warm: a load balancer for vLLM, SGLang and other OpenAI-compatible engines."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "warmlane:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "warmlane:", err)
		fmt.Fprintln(os.Stderr, "Try warmlane --help.")
		return exitUsage
	}
	err = command.Run()
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "warmlane:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "warmlane:", err)
		return exitFailed
	}
}

// usageError is a command line whose parts do not fit together.
type usageError string

func (e usageError) Error() string { return string(e) }

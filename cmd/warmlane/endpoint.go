package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
)

// EndpointCmd shows and sets the endpoints of a running gateway, by its admin API.
type EndpointCmd struct {
	List    EndpointListCmd `cmd:"" help:"Show the endpoints, their state and why they have it."`
	Drain   drainCmd        `cmd:"" help:"Send nothing new to an endpoint; what it has it finishes."`
	Disable disableCmd      `cmd:"" help:"The same, and stop probing it."`
	Enable  enableCmd       `cmd:"" help:"Let an endpoint serve again."`
}

// adminFlags say how the admin API is reached.
type adminFlags struct {
	Admin string `default:"http://127.0.0.1:9090" placeholder:"URL" env:"WARMLANE_ADMIN" help:"The gateway's admin listener."`
	Token string `placeholder:"TOKEN" env:"WARMLANE_ADMIN_TOKEN" help:"Its admin token, needed from another host. Better in the environment, where other users do not see it."`
}

// EndpointListCmd lists endpoints.
type EndpointListCmd struct {
	adminFlags
	Pool string `arg:"" optional:"" help:"Of this pool only."`
	JSON bool   `name:"json" help:"Print what the admin API answers."`
}

// endpointArgs name endpoints. States that an operator sets stay over reloads of the configuration and are lost when the gateway restarts.
type endpointArgs struct {
	adminFlags
	Pool string `arg:"" help:"Name of the pool."`
	URL  string `arg:"" help:"URL of the endpoint as in the configuration. With data_parallel it stands for all ranks, URL#N for one."`
}

type drainCmd struct {
	endpointArgs
	Wait time.Duration `placeholder:"TIME" help:"Return when nothing of it is in flight any more, or fail after this time."`
}

type (
	disableCmd struct{ endpointArgs }
	enableCmd  struct{ endpointArgs }
)

// endpointView is the part of the admin API's endpoint that is shown.
type endpointView struct {
	Pool     string   `json:"pool"`
	URL      string   `json:"url"`
	Admin    string   `json:"admin"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	Out      *float64 `json:"out_for_seconds"`
	InFlight int      `json:"in_flight"`
	Requests uint64   `json:"requests"`
}

// Run prints a table.
func (c *EndpointListCmd) Run(ctx context.Context, k *kong.Context) error {
	body, err := c.call(ctx, http.MethodGet, "/admin/v1/endpoints", nil)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = k.Stdout.Write(body)
		return err
	}
	all, err := readEndpoints(body)
	if err != nil {
		return err
	}
	tab := tabwriter.NewWriter(k.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "POOL\tENDPOINT\tOPERATOR\tSTATE\tIN FLIGHT\tREQUESTS\tWHY")
	found := 0
	for _, e := range all {
		if c.Pool != "" && e.Pool != c.Pool {
			continue
		}
		found++
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", e.Pool, e.URL, e.Admin, e.State, e.InFlight, e.Requests, dash(e.why()))
	}
	if found == 0 && c.Pool != "" {
		return fmt.Errorf("the gateway has no pool %q", c.Pool)
	}
	return tab.Flush()
}

// why is the reason of a state and how long it will last.
func (e *endpointView) why() string {
	if e.Out == nil || *e.Out <= 0 {
		return e.Reason
	}
	return fmt.Sprintf("%s, for another %.1f s", e.Reason, *e.Out)
}

func (c *drainCmd) Run(ctx context.Context, k *kong.Context) error {
	n, err := c.set(ctx, "draining")
	if err != nil {
		return err
	}
	if c.Wait > 0 {
		if err := c.awaitIdle(ctx); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(k.Stdout, "%s of %s draining\n", count(n, "endpoint"), c.Pool)
	return err
}

func (c *disableCmd) Run(ctx context.Context, k *kong.Context) error {
	return c.setAndTell(ctx, k.Stdout, "disabled")
}

func (c *enableCmd) Run(ctx context.Context, k *kong.Context) error {
	return c.setAndTell(ctx, k.Stdout, "enabled")
}

func (c *endpointArgs) setAndTell(ctx context.Context, out io.Writer, state string) error {
	n, err := c.set(ctx, state)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s of %s %s\n", count(n, "endpoint"), c.Pool, state)
	return err
}

// set returns how many endpoints have the state now.
func (c *endpointArgs) set(ctx context.Context, state string) (int, error) {
	body, err := json.Marshal(map[string]string{"pool": c.Pool, "url": c.URL, "state": state})
	if err != nil {
		return 0, fmt.Errorf("naming the endpoint: %w", err)
	}
	answer, err := c.call(ctx, http.MethodPost, "/admin/v1/endpoints/state", body)
	if err != nil {
		return 0, err
	}
	all, err := readEndpoints(answer)
	return len(c.mine(all)), err
}

// mine are the endpoints that the arguments name.
func (c *endpointArgs) mine(all []endpointView) []endpointView {
	var mine []endpointView
	want := strings.TrimRight(c.URL, "/")
	for _, e := range all {
		engine, _, _ := strings.Cut(e.URL, "#")
		if (e.Pool == "" || e.Pool == c.Pool) && (e.URL == want || engine == want) {
			mine = append(mine, e)
		}
	}
	return mine
}

// awaitIdle waits until the endpoints have nothing in flight.
func (c *drainCmd) awaitIdle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		body, err := c.call(ctx, http.MethodGet, "/admin/v1/endpoints", nil)
		if err != nil && ctx.Err() == nil {
			return err
		}
		busy := 0
		if err == nil {
			all, err := readEndpoints(body)
			if err != nil {
				return err
			}
			for _, e := range c.mine(all) {
				busy += e.InFlight
			}
			if busy == 0 {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s drains, but %s still in flight after %v", c.URL, count(busy, "request"), c.Wait)
		}
	}
}

func readEndpoints(body []byte) ([]endpointView, error) {
	var got struct {
		Endpoints []endpointView `json:"endpoints"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, fmt.Errorf("reading the admin API's answer: %w", err)
	}
	return got.Endpoints, nil
}

// call asks the admin API; the error is in its own words where it has some.
func (f *adminFlags) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	base := f.Admin
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, usageError(fmt.Sprintf("--admin: %v", withoutURL(err)))
	}
	req.Header.Set("Content-Type", "application/json")
	if f.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.Token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the admin API does not answer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("the admin API does not answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var failed struct {
		Error struct{ Message string }
	}
	if json.Unmarshal(answer, &failed) == nil && failed.Error.Message != "" {
		return nil, errors.New(failed.Error.Message)
	}
	return nil, fmt.Errorf("%s answers %s: is it the admin listener of warmlane?", base, resp.Status)
}

// withoutURL drops the URL that net/http puts before its errors.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

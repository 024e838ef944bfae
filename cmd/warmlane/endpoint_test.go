package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// runEndpoint runs the command alone, as main would, against an admin listener.
func runEndpoint(t *testing.T, admin string, args ...string) (string, error) {
	t.Helper()
	return runAgainst(t, &EndpointCmd{}, admin, args...)
}

// runAgainst runs a command alone against an admin listener.
func runAgainst(t *testing.T, cmd any, admin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	parser, err := kong.New(cmd, kong.Writers(&out, io.Discard), kong.BindTo(t.Context(), (*context.Context)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(append(args, "--admin", admin))
	if err != nil {
		t.Fatal(err)
	}
	err = command.Run()
	return out.String(), err
}

// serveTwoRanks starts a gateway over an engine of two data-parallel ranks and a plain one; hold keeps requests in flight until closed.
func serveTwoRanks(t *testing.T, token string) (app, admin, ranked, plain string, hold chan struct{}) {
	t.Helper()
	hold = make(chan struct{})
	engine := func() string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/chat") {
				<-hold
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}`)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	ranked, plain = engine(), engine()
	cfg, err := config.Parse("t.yaml", []byte(fmt.Sprintf(`
server: {lame_duck: 0s, drain: 2s, admin_token: %q}
pools:
  - {name: m, engine: vllm, probe_idle: false, endpoints: [{url: %q, data_parallel: 2}, %q]}
  - {name: other, engine: generic, endpoints: [%q]}
`, token, ranked, plain, plain)))
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	g, err := gateway.New(cfg, gateway.Options{Listener: listeners[0], AdminListener: listeners[1], Log: slog.DiscardHandler})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return g.Addr().String(), g.AdminAddr().String(), ranked, plain, hold
}

// listed are the lines of endpoint list, by pool and endpoint.
func listed(t *testing.T, admin string) map[string][]string {
	t.Helper()
	out, err := runEndpoint(t, admin, "list")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		f := strings.Fields(line)
		all[f[0]+" "+f[1]] = f[2:]
	}
	return all
}

func TestEndpoint_DrainsAllRanksOfAnEngine(t *testing.T) {
	_, admin, ranked, plain, hold := serveTwoRanks(t, "")
	close(hold)
	f := func(want map[string]string, args ...string) {
		t.Helper()
		if _, err := runEndpoint(t, admin, args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		for name, line := range listed(t, admin) {
			state := want[name]
			if state == "" {
				state = "enabled"
			}
			if line[0] != state {
				t.Errorf("after %v %s is %s, want %s", args, name, line[0], state)
			}
		}
	}
	f(map[string]string{"m " + ranked + "#0": "draining", "m " + ranked + "#1": "draining"}, "drain", "m", ranked)
	f(map[string]string{"m " + ranked + "#0": "draining"}, "enable", "m", ranked+"#1")
	f(map[string]string{"m " + ranked + "#0": "draining", "m " + plain: "disabled"}, "disable", "m", plain+"/")
	f(map[string]string{"m " + plain: "disabled"}, "enable", "m", ranked)
}

func TestEndpoint_DrainWaits(t *testing.T) {
	app, admin, _, plain, hold := serveTwoRanks(t, "")
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Post("http://"+app+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model":"other","messages":[{"role":"user","content":"x"}]}`))
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	for listed(t, admin)["other "+plain][2] == "0" { //nolint:revive // until the request is there
	}
	if _, err := runEndpoint(t, admin, "drain", "other", plain, "--wait", "300ms"); err == nil || !strings.Contains(err.Error(), "1 request still in flight") {
		t.Errorf("draining with a request in flight: %v", err)
	}
	close(hold)
	if _, err := runEndpoint(t, admin, "drain", "other", plain, "--wait", time.Minute.String()); err != nil {
		t.Error(err)
	}
	if status := <-answered; status != 200 {
		t.Errorf("the request in flight was answered %d", status)
	}
}

func TestEndpoint_FaultsAreTold(t *testing.T) {
	_, admin, ranked, _, hold := serveTwoRanks(t, "secret")
	close(hold)
	f := func(want string, args ...string) {
		t.Helper()
		if _, err := runEndpoint(t, admin, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	f("no pool", "drain", "nobody", ranked)
	f("no endpoint", "drain", "m", "http://nowhere:1")
	f("no endpoint", "drain", "m", ranked+"#7")
	f("no pool", "list", "nobody")
	f("not the admin token", "list", "--token", "wrong")
	if _, err := runEndpoint(t, admin, "list", "--token", "secret"); err != nil {
		t.Error(err)
	}
	if _, err := runEndpoint(t, "127.0.0.1:1", "list"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("without a gateway: %v", err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// build makes the warmlane binary.
func build(ctx context.Context, to string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", to, "./cmd/warmlane").CombinedOutput(); err != nil {
		return fmt.Errorf("building warmlane: %w\n%s", err, out)
	}
	return nil
}

// gateway is a running `warmlane serve`.
type gateway struct {
	url     string
	log     string // path of its log
	process *exec.Cmd
	ended   chan error // one value: how the process ended
}

// serve starts a gateway over the replicas and waits until it is ready.
func serve(ctx context.Context, binary, dir, policy string, replicas []replica) (*gateway, error) {
	listen, admin, err := freePorts()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, policy+".yaml")
	if err := os.WriteFile(file, config(listen, admin, policy, replicas), 0o600); err != nil {
		return nil, err
	}
	g := &gateway{url: "http://" + listen, log: filepath.Join(dir, policy+".log"), ended: make(chan error, 1)}
	log, err := os.Create(g.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	g.process = exec.Command(binary, "serve", "--config", file) // stop ends it in order
	g.process.Stdout, g.process.Stderr = log, log
	if err := g.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the gateway: %w", err)
	}
	go func() { g.ended <- g.process.Wait() }() // ends with the process, which stop ends
	if err := g.await(ctx, "http://"+admin+"/readyz"); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

// config is the gateway's configuration file.
func config(listen, admin, policy string, replicas []replica) []byte {
	urls := make([]string, len(replicas))
	for i, r := range replicas {
		urls[i] = fmt.Sprintf("%q", r.url)
	}
	return fmt.Appendf(nil, `server: {listen: %q, admin: %q, lame_duck: 0s, drain: 1s}
pools:
  - name: tiny
    engine: vllm
    endpoints: [%s]
    policy: %s
`, listen, admin, strings.Join(urls, ", "), policy)
}

// await asks until the gateway is ready.
func (g *gateway) await(ctx context.Context, ready string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-every.C:
		case err := <-g.ended:
			g.ended <- err
			text, _ := os.ReadFile(g.log)
			return fmt.Errorf("the gateway ended at its start: %w\n%s", err, text)
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w", ctx.Err())
		}
	}
}

// stop ends the gateway, in order if it can.
func (g *gateway) stop() error {
	_ = g.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.ended:
		return nil
	case <-time.After(15 * time.Second):
		_ = g.process.Process.Kill()
		<-g.ended
		return errors.New("the gateway did not end within 15 s after SIGTERM")
	}
}

// freePorts finds two addresses that nobody listens on.
func freePorts() (first, second string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return "", "", err
	}
	b, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return "", "", errors.Join(err, a.Close())
	}
	return a.Addr().String(), b.Addr().String(), errors.Join(a.Close(), b.Close())
}

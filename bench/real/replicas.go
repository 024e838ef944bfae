package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/warmlane/warmlane/scraper/engines"
)

// scripts is where up.sh and down.sh lie, below the root of the repository.
const scripts = "bench/real"

// replica is one running engine.
type replica struct {
	url string
	pid int
}

// up starts two replicas. With keep it takes those that an earlier run left, if both still answer.
func up(ctx context.Context, keep bool) ([]replica, error) {
	if keep {
		if found := left(ctx); len(found) == 2 {
			return found, nil
		}
		if err := down(false); err != nil {
			return nil, err
		}
	}
	return start(ctx, "", "2")
}

// again starts the replica in r's place, with more arguments for the engine. What is left of r is ended first.
func (r replica) again(ctx context.Context, args []string) (replica, error) {
	_ = r.kill() // a vLLM that got SIGTERM stays as long as its connections do
	port := r.url[strings.LastIndexByte(r.url, ':')+1:]
	found, err := start(ctx, port, append([]string{"1", "--"}, args...)...)
	if err != nil {
		return replica{}, err
	}
	return found[0], nil
}

// start runs up.sh, with the first replica at a port if one is given.
func start(ctx context.Context, port string, args ...string) ([]replica, error) {
	command := exec.CommandContext(ctx, filepath.Join(scripts, "up.sh"), args...)
	if command.Stderr = os.Stderr; port != "" {
		command.Env = append(os.Environ(), "WARMLANE_REAL_PORT="+port)
	}
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("starting the replicas: %w", err)
	}
	n, _ := strconv.Atoi(args[0])
	return parseReplicas(string(out), n)
}

// parseReplicas reads n of up.sh's lines "URL PID".
func parseReplicas(text string, n int) ([]replica, error) {
	var found []replica
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("up.sh printed %q, not a URL and a process id", line)
		}
		pid, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("up.sh printed %q: %w", line, err)
		}
		found = append(found, replica{url: fields[0], pid: pid})
	}
	if len(found) != n {
		return nil, fmt.Errorf("up.sh started %d replicas, not %d", len(found), n)
	}
	return found, nil
}

// left finds the replicas of an earlier run by their pid files.
func left(ctx context.Context) []replica {
	files, err := filepath.Glob(filepath.Join(home(), "run", "*.pid"))
	if err != nil {
		return nil
	}
	var found []replica
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // up.sh's own file
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			continue
		}
		r := replica{url: "http://127.0.0.1:" + strings.TrimSuffix(filepath.Base(file), ".pid"), pid: pid}
		if _, err := r.count(ctx); err == nil {
			found = append(found, r)
		}
	}
	return found
}

// home is where install.sh puts everything.
func home() string {
	if dir := os.Getenv("WARMLANE_REAL_DIR"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "warmlane-real")
}

// down stops the replicas unless they are to be kept. It runs after an interrupt too.
func down(keep bool) error {
	if keep {
		return nil
	}
	if out, err := exec.Command(filepath.Join(scripts, "down.sh")).CombinedOutput(); err != nil { //nolint:noctx // cleaning up outlives the context
		return fmt.Errorf("stopping the replicas: %w: %s", err, out)
	}
	return nil
}

// counters are what an engine counts itself since its start, and its streams at the moment.
type counters struct {
	queries, hits     float64 // prompt tokens looked up in the prefix cache, and found
	requests, running int     // requests finished, requests in the batch
}

// since is the growth from before to c; running stays that of c.
func (c counters) since(before counters) counters {
	return counters{
		queries: c.queries - before.queries, hits: c.hits - before.hits,
		requests: c.requests - before.requests, running: c.running,
	}
}

// count reads the engine's counters.
func (r replica) count(ctx context.Context) (counters, error) {
	page, err := r.ask(ctx, http.MethodGet, "/metrics")
	if err != nil {
		return counters{}, err
	}
	load, err := engines.Lookup("vllm")
	if err != nil {
		return counters{}, err
	}
	finished, err := engines.Generic(map[string]string{"queries": "vllm:request_success_total"})
	if err != nil {
		return counters{}, err
	}
	s, err := engines.Parse(load, page)
	if err != nil {
		return counters{}, err
	}
	f, err := engines.Parse(finished, page)
	if err != nil {
		return counters{}, err
	}
	return counters{queries: s.Queries, hits: s.Hits, requests: int(f.Queries), running: int(s.Running)}, nil
}

// chill empties the engine's prefix cache, which must have no request in flight.
func (r replica) chill(ctx context.Context) error {
	answer, err := r.ask(ctx, http.MethodPost, "/reset_prefix_cache")
	if err == nil && !bytes.Contains(bytes.ReplaceAll(answer, []byte(" "), nil), []byte(`"success":true`)) && len(answer) > 0 {
		err = fmt.Errorf("the engine answers %s", answer)
	}
	if err != nil {
		return fmt.Errorf("emptying the cache of %s: %w", r.url, err)
	}
	return nil
}

// ask makes one small request to the engine.
func (r replica) ask(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s answers %s", r.url, path, response.Status)
	}
	return body, nil
}

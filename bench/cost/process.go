package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/warmlane/warmlane/bench/cputime"
)

// gateway is the process that is measured.
type gateway struct {
	cmd     *exec.Cmd
	address string
}

// startGateway runs the binary with these arguments of serve and waits until it answers.
func startGateway(binary string, args ...string) (*gateway, error) {
	cmd := exec.Command(binary, append([]string{"serve"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &gateway{cmd: cmd}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "warmlane serves on "); ok {
			g.address, _, _ = strings.Cut(rest, ",")
			break
		}
	}
	if g.address == "" {
		g.stop()
		return nil, fmt.Errorf("%s did not start", binary)
	}
	go func() { // drains the access log until the process ends
		for lines.Scan() {
			continue
		}
	}()
	for range 100 {
		if r, err := http.Get("http://" + g.address + "/health"); err == nil {
			_ = r.Body.Close()
			return g, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	g.stop()
	return nil, fmt.Errorf("%s does not answer", binary)
}

func (g *gateway) stop() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

// cpu is the processor time that the process has used.
func (g *gateway) cpu() (time.Duration, error) { return cputime.Of(g.cmd.Process.Pid) }

// resident is the resident memory in MB.
func (g *gateway) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", g.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return float64(pages) * float64(syscall.Getpagesize()) / 1e6, err
}

// afterRequests is the resident memory after n more plain requests at 2,000 a second.
func (g *gateway) afterRequests(n int) (float64, error) {
	const rate = 2000
	r := drive(g.address, requestBody(200, false), rate, 64, time.Duration(n)*time.Second/rate)
	if r.errors > 0 {
		return 0, fmt.Errorf("%d of %d requests failed: %w", r.errors, r.requests, r.first)
	}
	return g.resident()
}

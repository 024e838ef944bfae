package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// warmlane runs a command line as main does.
func warmlane(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	swap := func(stream **os.File, name string) func() string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		before := *stream
		*stream = f
		return func() string {
			*stream = before
			_, err := f.Seek(0, io.SeekStart)
			text, readErr := io.ReadAll(f)
			if err != nil || readErr != nil || f.Close() != nil {
				t.Errorf("reading %s: %v, %v", name, err, readErr)
			}
			return string(text)
		}
	}
	out, errs := swap(&os.Stdout, "stdout"), swap(&os.Stderr, "stderr")
	code = run(args)
	return code, out(), errs()
}

func TestSweep_TellsWhatIsWrongWithItsCommandLine(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(trace, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--workload headline-z":                    `unknown workload "headline-z", want all, all16, all64 or some of headline-a`,
		"--policies warm,warmer":                   `unknown policy "warmer", want some of cache_aware`,
		"--policies warm:x=3":                      "x",
		"--policies warm:w":                        "want name=value",
		"--policies clairvoyant:w=8":               "takes no parameters",
		"--policies warm --baseline lmetric":       "--baseline lmetric is not one of --policies",
		"--fleet 3":                                "--fleet: fleet",
		"--fleet 3xa10-llama3-8b:slow=0":           "want slow=FACTOR",
		"--seeds 0":                                "--seeds must be at least 1",
		"--gateways 0":                             "--gateways 1 to 64",
		"--gateways 65":                            "--gateways 1 to 64",
		"--slo-ttft 0s":                            "--slo-ttft, --slo-tpot and --rate must be positive",
		"--shared everything":                      "--shared must be one of",
		"--workload trace":                         "wants --trace FILE and --fleet",
		"--workload trace --fleet 1xa10-llama3-8b": "wants --trace FILE and --fleet",
		"--trace " + trace:                         "--trace is read for --workload trace",
		"--workload trace --trace /none":           "/none",
		"--workload trace --fleet 1xa10-llama3-8b --trace " + trace: "trace.csv",
	} {
		code, stdout, stderr := warmlane(t, append([]string{"sweep"}, strings.Fields(args)...)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("sweep %s: exit code %d, stdout %q, stderr %q, want %d and %q", args, code, stdout, stderr, exitUsage, want)
		}
	}
}

func TestSweep_PrintsTables(t *testing.T) {
	code, stdout, stderr := warmlane(t, "sweep", "--policies", "lmetric, warm:w=8", "--seeds", "1", "--fleet", "2xa10-llama3-8b")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{"headline-a: ", ", on 2xa10-llama3-8b\n", "  lmetric  ", " warm:w=8  ", "first seed 1000, runs: 1"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %q in\n%s", want, stdout)
		}
	}
}

func TestSweep_WritesJSONAndAPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	code, stdout, stderr := warmlane(t, "sweep", "--workload", "headline-a,hot", "--policies", "warm,round_robin", "--baseline", "round_robin",
		"--seeds", "2", "--json", "--html", file)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var got struct {
		Baseline  string
		Workloads []struct {
			Policies []struct {
				Policy string
				Runs   []struct{ Requests, Complete int }
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Baseline != "round_robin" || len(got.Workloads) != 2 || len(got.Workloads[1].Policies) != 2 || got.Workloads[1].Policies[0].Policy != "warm" {
		t.Fatalf("got %+v", got)
	}
	for _, run := range got.Workloads[1].Policies[0].Runs {
		if run.Requests != 400 || run.Complete != 400 {
			t.Errorf("hot: %+v", run)
		}
	}
	page, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(page), "<!doctype html>") || !strings.HasSuffix(string(page), "</html>\n") {
		t.Errorf("a page of %d bytes, %v", len(page), err)
	}
}

func TestSweep_FailsWhereThePageCannotBe(t *testing.T) {
	code, _, stderr := warmlane(t, "sweep", "--policies", "warm", "--seeds", "1", "--html", filepath.Join(t.TempDir(), "none", "page.html"))
	if code != exitFailed || !strings.Contains(stderr, "page.html") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/bench/sweep"
)

// mooncakeTrace is a file of two requests a second, the second of which repeats the first one's block of 512 tokens.
func mooncakeTrace(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	text := `{"timestamp":0,"input_length":700,"output_length":20,"hash_ids":[1,2]}
{"timestamp":1000,"input_length":700,"output_length":30,"hash_ids":[1,3]}
{"timestamp":2000,"input_length":700,"output_length":0,"hash_ids":[1,4]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPlan_TellsWhatIsWrongWithItsCommandLine(t *testing.T) {
	trace := mooncakeTrace(t)
	nonsense := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(nonsense, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                             "--trace",
		"--trace /none":                "/none",
		"--trace " + nonsense:          "trace.csv",
		"--slo-ttft 0s":                "--slo-ttft and --slo-tpot must be positive",
		"--slo-ttft soon":              "--slo-ttft",
		"--slo-tpot=-1ms":              "--slo-ttft and --slo-tpot must be positive",
		"--goal 0":                     "--goal must be above 0 and at most 1",
		"--goal 99":                    "0.99 is 99 % of the requests",
		"--goal NaN":                   "--goal must be above 0",
		"--rate 0":                     "--rate must be 0.001 to 1000",
		"--rate Inf":                   "--rate must be 0.001 to 1000",
		"--rate NaN":                   "--rate must be 0.001 to 1000",
		"--seeds 0":                    "--seeds must be at least 1",
		"--most 0":                     "--most must be 1 to 1024",
		"--most 1025":                  "--most must be 1 to 1024",
		"--preset abacus":              `--preset: unknown engine preset "abacus", there are a10-llama3-8b, `,
		"--policies=":                  "--policies names no policy",
		"--policies warm,warmer":       `--policies: unknown policy "warmer", want some of cache_aware`,
		"--policies warm:w":            "--policies: policy \"warm:w\": parameter \"w\": want name=value",
		"--policies clairvoyant:rho=2": "takes no parameters",
		"--replicas 3":                 "unknown flag --replicas",
	} {
		line := append([]string{"plan"}, strings.Fields(args)...)
		if args != "" && !strings.HasPrefix(args, "--trace") {
			line = append(line, "--trace", trace)
		}
		code, stdout, stderr := warmlane(t, line...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("plan %s: exit code %d, stdout %q, stderr %q, want %d and %q", args, code, stdout, stderr, exitUsage, want)
		}
	}
}

func TestPlan_PrintsATable(t *testing.T) {
	code, stdout, stderr := warmlane(t, "plan", "--trace", mooncakeTrace(t), "--seeds", "1")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{"2 requests in 1 s (2.00/s)", "36.6 % of all prompt tokens repeat", "1 more without an answer", "warm: 1 replica is enough", "round_robin: 1 replica is enough"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %q in\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "trying warm with 1\n") || !strings.Contains(stderr, "trying round_robin with 2\n") {
		t.Errorf("progress is %q", stderr)
	}
}

func TestPlan_PrintsJSON(t *testing.T) {
	code, stdout, stderr := warmlane(t, "plan", "--trace", mooncakeTrace(t), "--seeds", "2", "--policies", "warm,lmetric", "--json", "--rate", "2", "--most", "4",
		"--slo-ttft", "1ms", "--preset", "h100-80-llama3-8b")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var got sweep.Plan
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if got.Preset != "h100-80-llama3-8b" || got.Requests != 2 || got.Silent != 1 || got.Seconds != 0.5 || len(got.Choices) != 2 || got.Choices[1].Policy != "lmetric" {
		t.Errorf("got %+v", got)
	}
	if c := got.Choices[0]; c.Replicas != 0 || len(c.Tried) != 3 || c.Tried[2].Replicas != 4 || c.Tried[2].Good != 0 || c.Tried[0].TTFT < 0.005 {
		t.Errorf("a first token within 1 ms cannot be: %+v", c)
	}
}

func TestPlan_TakesTracesThatKnowNoBlocks(t *testing.T) {
	code, stdout, stderr := warmlane(t, "plan", "--trace", "../../bench/workload/testdata/azure-excerpt.csv", "--seeds", "1", "--most", "16", "--goal", "0.5", "--policies", "warm,round_robin")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	if !strings.Contains(stdout, "does not tell which prompts begin alike") || !strings.Contains(stdout, "enough") {
		t.Errorf("it prints\n%s", stdout)
	}
}

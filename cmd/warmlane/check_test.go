package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// runCheck runs the command alone, as main would.
func runCheck(t *testing.T, text string, flags ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "warmlane.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	parser, err := kong.New(&CheckCmd{}, kong.Writers(&out, &errs))
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(append(flags, "--config", file))
	if err != nil {
		t.Fatal(err)
	}
	err = command.Run()
	replace := func(b bytes.Buffer) string { return strings.ReplaceAll(b.String(), file, "warmlane.yaml") }
	return replace(out), replace(errs), err
}

func TestCheck_PrintsEffectiveRoutes(t *testing.T) {
	stdout, stderr, err := runCheck(t, `
pools:
  - {name: llama3, endpoints: ["http://a:1", "http://b:1"], served_model: meta/llama}
  - {name: x, endpoints: ["http://c:1"], served_model: both}
  - {name: y, endpoints: ["http://d:1"], served_model: both}
providers: [{name: out, base_url: "https://example.com/v1", keys: [k]}]
routes: [{models: [llama3], match: {headers: {x-app: shop}}, targets: [{pool: llama3}, {provider: out, model: big}]}]
`)
	if err != nil || stderr != "" {
		t.Fatalf("%v, %s", err, stderr)
	}
	want := `ROUTE    MODELS              WHEN               TARGETS                                               FALLBACK ON
route-1  llama3              header X-App=shop  pool llama3 as meta/llama, then provider out as big  connect, timeout, 429, 5xx, queue_full, context_length
-        llama3, meta/llama  -                  pool llama3 as meta/llama                             -
-        x                   -                  pool x as both                                        -
-        y                   -                  pool y as both                                        -

note: no request reaches the model both (x, y): several serve it and no route chooses
note: the API is open, there are no consumers
warmlane.yaml is right: 3 pools with 4 endpoints, 1 provider, 0 consumers, 0 limits
`
	if squeeze(stdout) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
}

// squeeze makes the width of columns irrelevant.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestCheck_PrintsEveryFault(t *testing.T) {
	stdout, stderr, err := runCheck(t, "pools:\n  - name: a\n    endpoint: [\"http://a\"]\nlimit: []\n")
	if err == nil || !strings.HasSuffix(err.Error(), "3 faults") || stdout != "" {
		t.Errorf("%v, %s", err, stdout)
	}
	want := `warmlane.yaml:2:5: pools[0].endpoints: a pool needs at least one endpoint; list the URLs of its replicas
warmlane.yaml:3:5: pools[0].endpoint: unknown key "endpoint"; did you mean "endpoints"?
warmlane.yaml:4:1: limit: unknown key "limit"; did you mean "limits"?
`
	if stderr != want {
		t.Errorf("got\n%s\nwant\n%s", stderr, want)
	}
}

// The whole configuration is printed, defaults too, without a secret in it.
func TestCheck_PrintsTheConfigurationWithoutSecrets(t *testing.T) {
	t.Setenv("KEY", "hunter2-env")
	stdout, stderr, err := runCheck(t, `
server: {admin_token: hunter2-admin}
redis: {url: "redis://:hunter2-redis@localhost/0"}
consumers: [{name: c, keys: [hunter2-consumer, "${env:KEY}"]}]
pools: [{name: p, endpoints: ["http://a:1"], api_key: hunter2-pool}]
providers: [{name: o, kind: openai, keys: [hunter2-provider]}]
`, "--print")
	if err != nil || stderr != "" {
		t.Fatalf("%v, %s", err, stderr)
	}
	if strings.Contains(stdout, "hunter2") || strings.Count(stdout, `"***"`) != 6 || !strings.Contains(stdout, "max_body: 160MiB") {
		t.Errorf("printed %s", stdout)
	}
}

// Package house_test keeps the rules of the house: which room may import which, and how rooms are named.
package house_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/warmlane/warmlane"

// floors are the top-level folders, and which other ones each may import. Whatever is allowed includes its rooms.
func floors() map[string][]string {
	return map[string][]string{
		"tokenize": {},
		"balancer": {"tokenize"},
		"scraper":  {"balancer"},
		"gateway":  {"balancer", "scraper", "tokenize"},
		"bench":    {"gateway", "balancer", "tokenize", "scraper"},
		"cmd":      {"bench", "gateway", "scraper", "balancer", "tokenize"},
	}
}

// neighbours are the exceptions to the rule that rooms import neither their own floor's root nor each other.
func neighbours(room string) []string {
	var allowed []string
	switch floor, _, _ := strings.Cut(room, "/"); {
	case room == "gateway/failure", strings.HasSuffix(room, "test"):
		return nil
	case room == "gateway/config":
		return []string{"gateway/failure", "gateway/provider", "gateway/certtest"} // the kinds of providers, as engines are those of pools
	case room == "gateway/api":
		return []string{"gateway/failure"}
	case floor == "gateway":
		allowed = []string{"gateway/failure", "gateway/config", "gateway/api", "gateway/redistest", "gateway/certtest"}
	}
	switch room {
	case "balancer/policies":
		allowed = append(allowed, "balancer", "balancer/affinity")
	case "bench/sweep":
		allowed = append(allowed, "bench/engine", "bench/workload")
	case "bench/cost":
		allowed = append(allowed, "bench/cputime")
	case "bench/overload", "bench/soak":
		allowed = append(allowed, "bench/engine")
	case "bench/clients/outside":
		allowed = append(allowed, "bench/outside")
	case "gateway/upstream":
		allowed = append(allowed, "gateway/provider")
	}
	return allowed
}

// breach tells why one package must not import another, "" if it may. Both are paths below the module.
func breach(from, to string) string {
	allowed := floors()
	fromFloor, fromRoom, _ := strings.Cut(from, "/")
	toFloor, _, _ := strings.Cut(to, "/")
	if _, known := allowed[fromFloor]; !known {
		return "is in a folder that the house does not have"
	}
	if fromFloor != toFloor {
		if slices.Contains(allowed[fromFloor], toFloor) {
			return ""
		}
		return fmt.Sprintf("floor %s may import %s only", fromFloor, strings.Join(append(allowed[fromFloor], "its own rooms"), ", "))
	}
	if fromRoom == "" || slices.Contains(neighbours(from), to) {
		return ""
	}
	return "rooms import neither their root nor each other"
}

// pkg is what `go list -json` tells about a package. XTestImports are left out on purpose: external tests may use what they like,
// such as the simulated engine.
type pkg struct {
	ImportPath  string
	Name        string
	Imports     []string
	TestImports []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	var stderr strings.Builder
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports,TestImports", "./...")
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestHouse_ImportsRunDownward(t *testing.T) {
	for _, p := range packages(t) {
		from, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours {
			continue // this package
		}
		for i, imported := range slices.Concat(p.Imports, p.TestImports) {
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours || to == from {
				continue
			}
			if i < len(p.Imports) && strings.HasSuffix(to, "test") {
				t.Errorf("%s imports %s, which is for tests", from, to)
			}
			if why := breach(from, to); why != "" {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
		}
	}
}

func TestHouse_RoomsHaveTellingNames(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "types", "helpers", "models", "misc"}, p.Name) {
			t.Errorf("%s: a room is named after what lives in it, not %s", p.ImportPath, p.Name)
		}
	}
}

// The check itself: what it must catch and what it must let pass.
func TestHouse_CheckKnowsRightFromWrong(t *testing.T) {
	f := func(from, to string, allowed bool) {
		t.Helper()
		if why := breach(from, to); (why == "") != allowed {
			t.Errorf("%s -> %s: %q", from, to, why)
		}
	}
	f("cmd/warmlane", "gateway/config", true)
	f("gateway", "balancer/policies", true)
	f("gateway", "gateway/limit", true)
	f("gateway/limit", "gateway/config", true)
	f("gateway/limit", "gateway/redistest", true)
	f("gateway/upstream", "gateway/api", true)
	f("balancer/policies", "balancer", true)
	f("scraper", "balancer", true)

	f("balancer", "gateway", false)
	f("balancer", "scraper/engines", false)
	f("tokenize", "balancer", false)
	f("scraper", "tokenize", false)
	f("gateway", "bench/engine", false)
	f("gateway/limit", "gateway", false)
	f("gateway/limit", "gateway/identity", false)
	f("gateway/failure", "gateway/api", false)
	f("balancer/affinity", "balancer", false)
	f("scraper/engines", "scraper", false)
	f("bench/load", "bench/engine", false)
	f("pkg/thing", "tokenize", false)
}

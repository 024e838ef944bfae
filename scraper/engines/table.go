// Package engines reads the metrics pages of inference engines.
//
// Each family (vLLM, SGLang, llama.cpp, ...) has one table in a file of its own: which metrics it exposes under which names in which
// releases, and how their rows add up to one Sample. A Reader applies a table to a page.
//
// Guarantees: metrics are matched by their whole name, never by a prefix; what a page does not tell, or tells as nonsense, is unknown in
// the Sample, never zero; a page with none of the family's metrics is an error, not an idle engine; no input makes it panic.
//
// Cost: lines of other metrics are dropped before the page is parsed, and those that tell the KV size are parsed only when they change, so
// a vLLM page of 62 KB takes about 0.1 ms and some 200 small allocations.
package engines

import (
	"fmt"
	"slices"
	"strings"
)

// Auto is the engine name that leaves the choice of the table to the page itself, see Detect.
const Auto = "auto"

// Family names, as used in configuration.
const (
	familyVLLM     = "vllm"
	familySGLang   = "sglang"
	familyLlamaCPP = "llamacpp"
	familyTGI      = "tgi"
	familyTRTLLM   = "trtllm"
	familyLMDeploy = "lmdeploy"
	familyGeneric  = "generic"
)

// defaultPath is where nearly every engine shows its metrics.
const defaultPath = "/metrics"

// Table tells how the pages of one family of engines are read. It is immutable once built and safe for concurrent use.
type Table struct {
	// Family is the name used in configuration, such as "vllm".
	Family string
	// Path is the URL path of the metrics page below the engine's base URL.
	Path string
	// ChecksModel says that the engine refuses a request whose model is not in its /v1/models. The others answer to any name.
	ChecksModel bool

	rank     string   // label by which rows tell the data-parallel ranks apart, "" when the family has none
	prefixes []string // metric name prefixes by which Detect knows the family
	readings readings
	moving   map[string]struct{} // whole names of the metrics whose values change all the time
	steady   map[string]struct{} // those that change with a restart only: the KV size
}

// readings are the values of a Sample, each as the way to take it from a page. A reading left out is unknown in every page.
type readings struct {
	running, waiting, kvUse, kvTokens, queries, hits, started reading
}

// newTable completes a table: it collects the metric names that must survive the line filter.
func newTable(family, path string, prefixes []string, r readings) *Table {
	return &Table{
		Family:   family,
		Path:     path,
		prefixes: prefixes,
		readings: r,
		moving:   setOf(r.running, r.waiting, r.kvUse, r.queries, r.hits, r.started),
		steady:   setOf(r.kvTokens),
	}
}

// setOf collects the metrics that readings look at.
func setOf(rs ...reading) map[string]struct{} {
	set := map[string]struct{}{}
	for _, name := range namesOf(rs) {
		set[name] = struct{}{}
	}
	return set
}

// tables builds the tables of all families that can be told from their pages.
func tables() []*Table {
	return []*Table{vllm(), sglang(), llamacpp(), tgi(), trtllm(), lmdeploy()}
}

// Names lists what configuration may name as an engine: Auto, then every family.
func Names() []string {
	names := []string{Auto}
	for _, t := range tables() {
		names = append(names, t.Family)
	}
	return append(names, familyGeneric)
}

// Lookup returns the table of a family. Auto has none (see Detect), and "generic" needs its metric names (see Generic): both are errors.
func Lookup(family string) (*Table, error) {
	for _, t := range tables() {
		if t.Family == family {
			return t, nil
		}
	}
	if family == familyGeneric {
		return nil, fmt.Errorf("engine %q needs the names of its metrics", family)
	}
	return nil, fmt.Errorf("no metrics table for engine %q, known are %s", family, strings.Join(Names(), ", "))
}

// Ranked tells whether the pages of an engine may tell its data-parallel ranks apart: with Auto it is left to the page.
func Ranked(engine string) bool {
	t, err := Lookup(engine)
	return engine == Auto || err == nil && t.rank != ""
}

// Paths lists where the families show their metrics, the most usual first: the places to look while the family is not known.
func Paths() []string {
	var paths []string
	for _, t := range tables() {
		if !slices.Contains(paths, t.Path) {
			paths = append(paths, t.Path)
		}
	}
	return paths
}

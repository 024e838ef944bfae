package engines

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Signals lists what a generic engine's metric names can be given for, in the words of configuration:
//
//	running, waiting   requests in the batch and in the queue; rows are added
//	kv_use             share of KV memory in use, 0..1; the largest row
//	kv_tokens          size of KV memory in tokens; rows are added
//	queries, hits      prompt tokens looked up in and found in the prefix cache; rows are added
//	started            start of the process in Unix seconds; process_start_time_seconds unless named
func Signals() []string {
	return []string{"running", "waiting", "kv_use", "kv_tokens", "queries", "hits", "started"}
}

// Generic makes a table for an engine of no known family from the names of its metrics, keyed by Signals. At least one signal besides the
// start must be named.
func Generic(names map[string]string) (*Table, error) {
	for _, signal := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(Signals(), signal) {
			return nil, fmt.Errorf("unknown signal %q, known are %s", signal, strings.Join(Signals(), ", "))
		}
		if names[signal] == "" || strings.ContainsAny(names[signal], " \t\r\n{}#\"") {
			return nil, fmt.Errorf("signal %q: %q is no metric name", signal, names[signal])
		}
	}
	named := func(signal string, over func(string, ...condition) reading) reading {
		if name := names[signal]; name != "" {
			return over(name)
		}
		return reading{}
	}
	r := readings{
		running:  named("running", sum),
		waiting:  named("waiting", sum),
		kvUse:    named("kv_use", highest),
		kvTokens: named("kv_tokens", sum),
		queries:  named("queries", sum),
		hits:     named("hits", sum),
		started:  named("started", sum),
	}
	if len(names) == 0 || len(names) == 1 && names["started"] != "" {
		return nil, errors.New("a generic engine needs the name of at least one of its metrics")
	}
	if names["started"] == "" {
		r.started = sum(processStart)
	}
	return newTable(familyGeneric, defaultPath, nil, r), nil
}

package balancer

import "time"

// Load is one scrape of an endpoint. Unknown numbers are NaN or 0, unknown times zero; nothing unknown is taken for
// idle.
type Load struct {
	// Running and Waiting are the engine's gauges of requests.
	Running, Waiting float64
	// KVUse is the used part of the KV memory, 0..1. KVTokens is its capacity.
	KVUse    float64
	KVTokens int
	// Queries and Hits are the engine's counters of prompt tokens looked up in and found by its prefix cache.
	Queries, Hits float64
	// Started is when the engine process began. A change drops what is believed of its cache and speed.
	Started time.Time
	// MaxModelLen is the longest context in tokens.
	MaxModelLen int
	// Models are the names the engine serves, adapters included. Empty means any.
	Models []string
	// Interval is the time between scrapes; a sample older than three of them is unknown. 0 means one second.
	Interval time.Duration
}

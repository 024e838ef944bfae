package observe

import "time"

// EndpointGauge is what the metrics show of one endpoint. Numbers that are not known are NaN (floats) or -1 (durations).
type EndpointGauge struct {
	Pool, URL   string
	State       string  // enabled, draining, disabled, ejected, paused, dead: as the balancer says
	InFlight    int     // n: leases in flight
	Decoding    int     // d: of these, answering
	Prefill     int     // A: uncached prompt tokens sent and not yet answered
	Context     int     // X: context tokens in flight
	StepBase    float64 // W, seconds
	StepToken   float64 // b, seconds per context token
	PrefillRate float64 // r, tokens per second
	FirstFloor  float64 // al, seconds
	Trust       float64 // q: trust in the index, 0 to 1
	Blocks      int     // blocks in the affinity index
	BlockBudget int
	Running     float64       // as scraped
	Waiting     float64       // as scraped
	KVUse       float64       // as scraped, 0 to 1
	ScrapeAge   time.Duration // since the last good scrape; -1 = never
	Ejections   uint64        // since start
}

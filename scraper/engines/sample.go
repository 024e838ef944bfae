package engines

import (
	"math"
	"time"
)

// Sample is what one page tells about the engine, or about one data-parallel rank of it, at that moment. Of an engine with several ranks
// the requests, memory and counters of all are summed up.
type Sample struct {
	// Running counts the requests in the engine's batch, NaN when unknown.
	Running float64
	// Waiting counts the requests that wait for a place in the batch, NaN when unknown. Requests that wait for something else than
	// capacity (a grammar, an adapter, remote KV) are left out where the engine tells them apart.
	Waiting float64
	// KVUse is the share (0..1) of the KV memory held by requests in flight, that of the fullest rank; NaN when unknown. Cached blocks
	// that no request holds count as free, so it says nothing about the warmth of the cache.
	KVUse float64
	// KVTokens is the size of the KV memory in tokens over all ranks, 0 when unknown.
	KVTokens int
	// Queries counts the prompt tokens looked up in the prefix cache since the start, NaN when unknown. A few old releases count blocks:
	// only the ratio to Hits is safe to use.
	Queries float64
	// Hits counts those of Queries that were found, NaN when unknown.
	Hits float64
	// Started is when the engine's process began, zero when unknown.
	Started time.Time
}

// Bounds within which a value is believed.
const (
	fullKV    = 1.01    // a share above it is a percentage or a mistake
	mostKV    = 1 << 40 // tokens
	lastStart = 1 << 36 // Unix seconds, the year 4147
)

// sampleOf evaluates the moving readings of a table but the start over a page or a rank's part of it. size is the KV size, known is how
// many values the page tells.
func sampleOf(r *readings, p page, size float64) (s Sample, known int) {
	s = Sample{
		Running: count(r.running.from(p)),
		Waiting: count(r.waiting.from(p)),
		KVUse:   share(r.kvUse.from(p)),
		Queries: count(r.queries.from(p)),
		Hits:    count(r.hits.from(p)),
	}
	for _, v := range []float64{s.Running, s.Waiting, s.KVUse, s.Queries, s.Hits} {
		if !math.IsNaN(v) {
			known++
		}
	}
	if size >= 1 && size < mostKV {
		s.KVTokens = int(size)
		known++
	}
	return s, known
}

// startOf is when the process behind a page began, zero when the page does not tell.
func startOf(r *readings, p page) time.Time {
	v := r.started.from(p)
	if !(v > 0 && v < lastStart) {
		return time.Time{}
	}
	whole, part := math.Modf(v)
	return time.Unix(int64(whole), int64(part*1e9))
}

// count passes what can be a number of things; everything else is unknown.
func count(v float64) float64 {
	if v >= 0 && !math.IsInf(v, 1) {
		return v
	}
	return math.NaN()
}

// share passes what can be a part of a whole, at most 1; everything else is unknown.
func share(v float64) float64 {
	if v >= 0 && v <= fullKV {
		return min(v, 1)
	}
	return math.NaN()
}

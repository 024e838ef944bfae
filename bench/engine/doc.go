// Package engine simulates an LLM inference engine of vLLM's kind, first in virtual time, then as an HTTP server.
//
// [Core] is the engine itself: continuous batching under a token budget, chunked prefill, a paged KV cache whose full
// blocks are found again by the hash of everything before them, recompute preemption, and a step time that follows
// from the GPU's and the model's constants. It has no goroutine and no clock of its own: the caller submits requests
// and advances it, so a policy sweep runs thousands of times faster than real time and gives the same result for the
// same seed.
//
// [Server] puts HTTP in front of a Core: it speaks vLLM's (or, for the metrics, SGLang's) dialect in wall-clock time,
// optionally faster by a time scale, and can be told to fail in the ways that real engines fail.
//
// What is guaranteed: equal seeds give equal answers (length and text) on every replica, whatever the order of
// requests; the cache counters are exact; steps follow absolute deadlines, so a busy machine delays single events but
// the engine never drifts, and [Server.Lag] tells how far the events were behind.
// What it costs: about a microsecond for a step plus 20 ns for a running request in virtual time, and about 20 µs of
// CPU for a streamed token over HTTP.
package engine

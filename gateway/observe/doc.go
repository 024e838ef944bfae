// Package observe shows what the gateway does: one Record a request becomes its access line and its marks in the metrics,
// and where it is asked for a line of the trace file, from which its traffic can be replayed.
//
// None of them shows prompt text or secrets. What callers can choose freely (model names, paths, ids) is cut to a fixed length in
// lines and never becomes a label: labels take the values that the configuration names, everything else is "other".
//
// Costs: an access line is one write of about 500 bytes and below 10 us; a finished request costs the metrics about 1 us, an
// event of a stream one histogram observation, below 0.1 us. A line of the trace file costs the request 0.2 us and no allocation,
// for a prompt of 8k tokens; the rest is done by one goroutine.
package observe

// Package balancer decides which replica of a pool answers a request.
//
// It is pure: it does no I/O, starts no goroutine and reads no clock. Whoever drives it passes the time in, tells
// what happened to each request through its [Lease], and performs the probes that [Pool.Due] names. The same code
// therefore runs behind sockets, in tests and in virtual-time sweeps.
//
// It guarantees that what it counts is exact: every lease is charged in full when it is handed out and everything
// charged is taken back when it ends, whatever the ending, once. It guarantees that a request never returns to an
// endpoint it has already tried. Choice and reservation happen together under one mutex a pool; nothing else blocks.
//
// Requests that no endpoint has room for can wait, in an order and within bounds: see [Pool.Enter]. Whoever waits is told by a channel.
//
// A choice costs one walk over the hash chain of the prompt and one score for each candidate: microseconds. Pools of
// more than 32 endpoints are scored over the holders of the prompt, the least loaded and a random few.
package balancer

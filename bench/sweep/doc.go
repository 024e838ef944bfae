// Package sweep compares routing policies in virtual time: the real balancer code chooses among simulated engines
// (bench/engine), thousands of times faster than real time and with the same result for the same seed.
//
// A [Workload] is written down once for each seed, with all arrivals, prompts and answer lengths, so that policies are
// compared in pairs on exactly the same traffic. The reports give differences with confidence intervals, the hit rate
// beside its ceiling, and the distance to a clairvoyant that runs each choice to its end before it chooses.
package sweep

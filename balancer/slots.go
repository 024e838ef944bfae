package balancer

import "math"

const (
	slotsQueue = 4.0  // requests that wait in an engine, from which it can be out of slots; fewer may only wait for its next step
	slotsSpare = 0.05 // of what an engine runs at once: what it is given beyond, so that it never runs dry; at least one request
	slotsGrow  = 1.5  // by which the limit grows where it is used and the engine has no queue
	slotsUsed  = 0.9  // of the limit, from which it counts as used
)

// countSlots learns from a new scrape how many requests e's engine works on at once, for pools that keep requests out of its queue.
// Engines have slots (vLLM's max-num-seqs, llama.cpp's parallel) whose number they do not tell; one that is seen with a queue of its own
// twice in a row, and so not only in the middle of a rush or of a step, runs as many as it can.
func (e *Endpoint) countSlots(before *Load) {
	now := &e.scraped.load
	running := max(now.Running, before.Running)
	switch {
	case !(now.Waiting >= 0) || !(running >= 0) || running > mostForeign:
		e.slots = 0
	case min(now.Waiting, before.Waiting) >= slotsQueue, e.slots > 0 && min(now.Waiting, before.Waiting) > 0:
		e.slots = math.Ceil(running + max(1, slotsSpare*running))
	case now.Waiting == 0 && e.slots > 0 && float64(e.count.inFlight)+e.scraped.foreign >= slotsUsed*e.slots:
		e.slots = math.Ceil(slotsGrow * e.slots)
	}
}

// slotless tells that the engine has requests for all its slots. others are those in flight there that are not ours.
func (e *Endpoint) slotless(others float64) bool {
	return e.slots > 0 && float64(e.count.inFlight)+others >= e.slots
}

package balancer

import (
	"errors"
	"time"
)

// ErrGap says that what a peer told between its last delta and this one has been missed. This one has been taken in; a
// snapshot, that is an export since the zero [Cursor], brings back what the index misses. Load misses nothing.
var ErrGap = errors.New("earlier placements were missed, a snapshot is wanted")

// Cursor is the point up to which an export tells. The zero Cursor is before everything.
type Cursor struct {
	Run    uint64 // grows with each life of the pool
	Tick   uint64 // exports so far
	Placed uint64 // placements so far
}

// Delta is what [Pool.Export] tells and [Pool.Merge] takes in. Whoever carries it may drop Placements, so that only
// load and speeds are shared. Their Blocks belong to the pool and must not be changed.
type Delta struct {
	// Since and Until are the exports between which the placements lie. A zero Since marks a snapshot.
	Since, Until Cursor
	// Endpoints are those with load and those that have something new. The others have no load.
	Endpoints []SharedEndpoint
	// Placements are in the order in which they happened.
	Placements []Placement
}

// SharedEndpoint is what one pool tells of an endpoint.
type SharedEndpoint struct {
	// Key is the [Candidate.Key], and Started when its engine process began, in Unix milliseconds, 0 when unknown. What is
	// told of an earlier process is ignored.
	Key     uint64
	Started int64

	// InFlight, Decoding, Pending, Context and Distinct are the pool's own n, d, A, X and D, not a change to them, so no
	// order of deltas and no loss makes them wrong for longer than until the next one.
	InFlight, Decoding, Pending, Context, Distinct uint32
	// FirstAgo is how long before the export the last first token came; 0 when none came within a second.
	FirstAgo time.Duration

	// Step and PerToken are the learned W and 1/r in seconds; 0 when the pool has learned nothing new.
	Step, PerToken float64
}

// Placement tells that blocks came to an endpoint or went.
type Placement struct {
	// Endpoint is a position in [Delta.Endpoints].
	Endpoint int
	Kind     PlacementKind
	Blocks   []uint64
}

// PlacementKind is what happened to the blocks.
type PlacementKind uint8

const (
	// Sent is a chain that was sent.
	Sent PlacementKind = iota
	// Answered is the last block of a chain that was sent and the blocks that the answer added behind it.
	Answered
	// Lost are the last blocks of a chain that was sent and came to nothing.
	Lost
	// Held are blocks of a snapshot in no chain, the last used first.
	Held
	placementKinds // number of kinds
)

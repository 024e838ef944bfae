package limit

import "time"

// mode says how a bucket keeps note of open reservations.
type mode int64

const (
	final  mode = iota // what is taken stays taken
	leased             // what is taken comes back when its lease runs out
	places             // the leases themselves are counted
)

// ask is one bucket from which a request wants to take, and the store's answer.
type ask struct {
	key   []byte
	tag   int // length of the part of key that says where in a cluster it lives
	rate  *rate
	shape *shape
	rule  *rule
	shard uint32

	amount int64 // things wanted
	need   int64 // in units; at most a full bucket, unless the rule is strict
	mode   mode
	soft   bool          // the rule refuses nobody: where it is short nothing is taken
	keeps  time.Duration // until a bucket without refill is forgotten after its last use
	until  time.Duration // until its period ends

	debt  int64 // after taking, or as found where nothing was taken
	taken bool
}

// fits reports whether the bucket has room for the request.
func (a *ask) fits() bool { return a.rate.fits(a.debt, a.need) }

// units returns what is set aside for n things.
func (a *ask) units(n int64) int64 {
	if !a.rule.strict {
		n = min(n, a.rate.size)
	}
	return a.rate.units(n)
}

// wait returns how long the bucket makes the request wait; 0 if it has room.
func (a *ask) wait() time.Duration {
	switch {
	case a.fits():
		return 0
	case a.need > a.rate.full:
		return never
	case a.rate.gain > 0:
		return time.Duration(a.rate.wait(a.debt, a.need)) * time.Microsecond
	case a.mode == places:
		return time.Second // nobody knows when a place becomes free
	}
	return a.until
}

// reset returns how long it takes until the bucket is full again; 0 for places, of which nobody knows.
func (a *ask) reset() time.Duration {
	switch {
	case a.rate.gain > 0:
		return time.Duration(a.rate.untilFull(a.debt)) * time.Microsecond
	case a.mode == places:
		return 0
	}
	return a.until
}

// never is the wait for what no waiting brings.
const never = time.Duration(1<<63 - 1)

package balancer

import "time"

// ProbeKind is what a probe does.
type ProbeKind uint8

const (
	// ProbeDial opens a connection and closes it.
	ProbeDial ProbeKind = iota
	// ProbeHealth asks the engine's health path.
	ProbeHealth
	// ProbeGenerate asks for a generation of 8 tokens on a prompt of about 32, under a lease of [Pool.ProbeLease].
	ProbeGenerate
)

// String is the kind as a log value.
func (k ProbeKind) String() string {
	switch k {
	case ProbeDial:
		return "dial"
	case ProbeHealth:
		return "health"
	default:
		return "generate"
	}
}

// Probe is something to be asked of an endpoint. Each probe handed out by [Pool.Due] must be answered by one call
// of [Pool.Probed]; until then no further one is due there.
type Probe struct {
	Endpoint *Endpoint
	Kind     ProbeKind
	// Timeout bounds the probe.
	Timeout time.Duration
}

package engine

import (
	"errors"
	"time"
)

// Server is one simulated replica on its own port. All methods may be called from any goroutine.
type Server struct{}

// Lag tells how far a server's events were behind their schedule, over the first and last tokens of all answers.
type Lag struct {
	Late      time.Duration // sum of actual minus scheduled emission
	Scheduled time.Duration // sum of the scheduled durations from arrival to emission
	Worst     time.Duration // largest single delay
	Events    int
}

// Share returns Late / Scheduled, 0 when nothing was emitted.
func (l Lag) Share() float64 {
	if l.Scheduled == 0 {
		return 0
	}
	return float64(l.Late) / float64(l.Scheduled)
}

// Start opens a replica and returns once its port accepts connections (with a StartDelay: at once).
func Start(cfg Config) (*Server, error) { return nil, errors.New("not yet") }

// URL returns the base URL, without a trailing slash. It stays the same over restarts.
func (s *Server) URL() string { return "" }

// Close ends the replica: the port closes, connections are closed, all goroutines end. It may be called twice.
func (s *Server) Close() error { return nil }

// Kill imitates kill -9: the port closes and every open connection is reset. Restart brings the replica back.
func (s *Server) Kill() {}

// Restart starts the replica again on the same port, with an empty cache and counters at zero; a living one is killed
// first.
func (s *Server) Restart() error { return nil }

// Apply makes a fault happen now.
func (s *Server) Apply(f Fault) error { return nil }

// SetSlow changes the factor on the duration of the steps.
func (s *Server) SetSlow(factor float64) {}

// Counters returns the engine's figures since its last start.
func (s *Server) Counters() Counters { return Counters{} }

// Stats returns the engine's counters and histograms since its last start.
func (s *Server) Stats() Stats { return Stats{} }

// Lag returns how late events were since the first start.
func (s *Server) Lag() Lag { return Lag{} }

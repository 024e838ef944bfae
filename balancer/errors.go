package balancer

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoEndpoint says that no endpoint of the pool can take this request, now or later: each one that serves its
// model has been tried, or none serves it.
var ErrNoEndpoint = errors.New("no endpoint left to try")

// ErrRefused is wrapped by the error of a probe, of whatever kind, that found nobody listening.
var ErrRefused = errors.New("connection refused")

// Unavailable says that no endpoint may be sent to at the moment: all are paused, ejected, draining or down.
type Unavailable struct {
	// RetryAfter is the time until the first endpoint may be back; at least a tenth of a second.
	RetryAfter time.Duration
	// Paused tells that at least one endpoint is alive and only refused for want of capacity.
	Paused bool
}

// Error implements error.
func (u *Unavailable) Error() string {
	if u.Paused {
		return fmt.Sprintf("every endpoint has refused for want of capacity, retry after %v", u.RetryAfter)
	}
	return fmt.Sprintf("no endpoint is available, retry after %v", u.RetryAfter)
}

// Saturated says that every usable endpoint is at its own concurrency limit.
type Saturated struct {
	// RetryAfter is a guess of when a place may be free.
	RetryAfter time.Duration
}

// Error implements error.
func (s *Saturated) Error() string {
	return fmt.Sprintf("every endpoint is at its concurrency limit, retry after %v", s.RetryAfter)
}

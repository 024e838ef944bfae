package engine

import (
	"sync"
	"time"
)

// Lag tells how far a server's events were behind their schedule, over the first and last tokens of all answers. The
// times are simulated ones, so that a delay of 1 ms counts 10 ms at time scale 10.
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

// Add returns the sum over two servers.
func (l Lag) Add(other Lag) Lag {
	l.Late += other.Late
	l.Scheduled += other.Scheduled
	l.Worst = max(l.Worst, other.Worst)
	l.Events += other.Events
	return l
}

type lagMeter struct {
	mu  sync.Mutex // guards sum
	sum Lag
}

func (m *lagMeter) add(arrived, scheduled, actual time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum = m.sum.Add(Lag{Late: actual - scheduled, Scheduled: scheduled - arrived, Worst: actual - scheduled, Events: 1})
}

func (m *lagMeter) read() Lag {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum
}

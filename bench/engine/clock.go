package engine

import "time"

// clock maps wall-clock time to the simulated time since the start of a life. It can stand still.
type clock struct {
	start   time.Time
	scale   float64
	stopped time.Time // zero: it runs
}

func (c *clock) now() time.Duration {
	wall := time.Since(c.start)
	if !c.stopped.IsZero() {
		wall = c.stopped.Sub(c.start)
	}
	return time.Duration(float64(wall) * c.scale)
}

// until returns the wall-clock time that is left until a simulated one; it follows from the start, not from the last
// step, so that lateness never adds up.
func (c *clock) until(at time.Duration) time.Duration {
	return time.Until(c.start.Add(time.Duration(float64(at) / c.scale)))
}

func (c *clock) freeze() { c.stopped = time.Now() }

func (c *clock) thaw() {
	c.start = c.start.Add(time.Since(c.stopped))
	c.stopped = time.Time{}
}

package balancer

import "time"

const (
	rampFor   = 30 * time.Second // of a slow start
	rampFrom  = 0.1              // of an endpoint's fair share, when it begins; Envoy's least weight
	rampTurns = 4                // turns that are kept for later when the policy sends elsewhere
	rampBurst = 8                // first tokens, from which the number of those that wait is not bounded any more
)

// warm begins a slow start. An endpoint that came back takes one request at once, then a share of the requests that grows from a
// tenth of the fair one; and while it has answered few, 1, 2, 4, ... at a time.
func (h *health) warm(now time.Time) { h.warmSince, h.warmed, h.turn = now, 0, 1 }

// warming tells whether a slow start is on, and ends it in time.
func (h *health) warming(now time.Time) bool {
	if !h.warmSince.IsZero() && now.Sub(h.warmSince) > rampFor {
		h.warmSince = time.Time{}
	}
	return !h.warmSince.IsZero()
}

// crowded tells that an endpoint in slow start has had its share, or has as many requests before their first token as it may.
func (h *health) crowded(waiting int, now time.Time) bool {
	return h.warming(now) && (h.turn < 1 || h.warmed < rampBurst && waiting >= 1<<h.warmed)
}

// ramp is the share of the fair share that an endpoint in slow start gets.
func (h *health) ramp(now time.Time) float64 {
	return min(1, rampFrom+(1-rampFrom)*max(0, now.Sub(h.warmSince).Seconds())/rampFor.Seconds())
}

// takeTurns credits each endpoint in slow start with its part of a request that was sent to chosen.
func (p *Pool) takeTurns(chosen *Endpoint, now time.Time) {
	c := &p.census
	fair := 1 / float64(max(1, c.enabled-c.unwell))
	for _, i := range c.warming {
		h := &p.endpoints[i].health
		h.turn = min(rampTurns, h.turn+fair*h.ramp(now))
	}
	if h := &chosen.health; !h.warmSince.IsZero() {
		h.turn = max(0, h.turn-1)
	}
}

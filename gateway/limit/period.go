package limit

import (
	"time"

	"github.com/warmlane/warmlane/gateway/config"
)

// keptTotals is how long a quota without period is remembered after its last use.
const keptTotals = 400 * 24 * time.Hour

// period is a stretch of the calendar. A quota without one has a period that never ends.
type period struct {
	id        string // tells it from others of its kind, such as 2026-11-30
	from, end time.Time
}

// periodAt returns the day or month around now in zone.
func periodAt(per time.Duration, now time.Time, zone *time.Location) *period {
	local := now.In(zone)
	year, month, day := local.Date()
	switch per {
	case config.Day:
		from := time.Date(year, month, day, 0, 0, 0, 0, zone)
		return &period{from.Format("2006-01-02"), from, time.Date(year, month, day+1, 0, 0, 0, 0, zone)}
	case config.Month:
		from := time.Date(year, month, 1, 0, 0, 0, 0, zone)
		return &period{from.Format("2006-01"), from, time.Date(year, month+1, 1, 0, 0, 0, 0, zone)}
	default:
		return &period{id: "ever", end: now.Add(keptTotals)}
	}
}

// holds reports whether now is in p.
func (p *period) holds(now time.Time) bool { return !now.Before(p.from) && now.Before(p.end) }

package failure

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// longestRetryAfter bounds what is believed of an engine's or provider's Retry-After.
const longestRetryAfter = 24 * time.Hour

// ParseRetryAfter reads a Retry-After header, whole or broken seconds or a date (RFC 9110, 10.2.3): the time from now, 0 where it says
// none, or nonsense.
func ParseRetryAfter(v []byte, now time.Time) time.Duration {
	text := string(bytes.TrimSpace(v))
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if !(s > 0) || s > longestRetryAfter.Seconds() {
			return 0
		}
		return time.Duration(s * float64(time.Second))
	}
	t, err := http.ParseTime(text)
	if d := t.Sub(now); err == nil && d > 0 && d <= longestRetryAfter {
		return d
	}
	return 0
}

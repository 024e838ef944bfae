package failure_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/warmlane/warmlane/gateway/failure"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestParseRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                                 0,
		"7":                                7 * time.Second,
		" 1.5 ":                            1500 * time.Millisecond,
		"-3":                               0,
		"NaN":                              0,
		"1e300":                            0,
		"soon":                             0,
		"Mon, 30 Nov 2026 12:01:30 GMT":    90 * time.Second,
		"Monday, 30-Nov-26 12:00:10 GMT":   10 * time.Second, // the obsolete forms are read, too
		"Mon Nov 30 12:00:05 2026":         5 * time.Second,
		"Mon, 30 Nov 2026 11:59:59 GMT":    0,
		"Wed, 30 Dec 2026 12:00:00 GMT":    0,
		"Mon, 30 Nov 2026 12:01:30 +0100x": 0,
	} {
		if got := failure.ParseRetryAfter([]byte(text), noon); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, text := range []string{"7", "1.5", "0x1p-2", "Mon, 30 Nov 2026 12:01:30 GMT", noon.Format(http.TimeFormat)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if d := failure.ParseRetryAfter(text, noon); d < 0 || d > 24*time.Hour {
			t.Errorf("%q: %v", text, d)
		}
	})
}

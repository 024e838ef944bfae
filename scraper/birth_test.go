package scraper

import (
	"math"
	"testing"
	"time"

	"github.com/warmlane/warmlane/scraper/engines"
)

func TestBirth_Next(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	told := func(start int64, queries float64) engines.Sample {
		return engines.Sample{Started: at(start), Queries: queries}
	}
	silent := func(queries float64) engines.Sample { return engines.Sample{Queries: queries} }
	type step struct {
		sample engines.Sample
		want   time.Time
	}
	for name, steps := range map[string][]step{
		"told":                          {{told(50, 1), at(50)}, {told(50, 2), at(50)}, {told(90, 0), at(90)}},
		"told a little differently":     {{told(50, 1), at(50)}, {engines.Sample{Started: at(50).Add(40 * time.Millisecond), Queries: 2}, at(50)}},
		"two engines behind one door":   {{told(50, 9), at(50)}, {told(60, 10), at(60)}, {told(50, 11), at(60)}, {told(60, 12), at(60)}},
		"clock set back with a restart": {{told(50, 9), at(50)}, {told(20, 0), at(20)}},
		"not told, counters fall":       {{silent(5), at(1000)}, {silent(7), at(1000)}, {silent(0), at(1002)}, {silent(3), at(1002)}},
		"nothing to go by":              {{silent(math.NaN()), time.Time{}}, {silent(math.NaN()), time.Time{}}},
	} {
		t.Run(name, func(t *testing.T) {
			var b birth
			for i, s := range steps {
				if got := b.next(s.sample, at(1000+int64(i))); !got.Equal(s.want) {
					t.Errorf("sample %d: started %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

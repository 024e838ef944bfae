package scraper

import (
	"math"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/scraper/engines"
)

// load puts together what the page and the model list tell.
func load(s engines.Sample, m models, checksModel bool, started time.Time, interval time.Duration) balancer.Load {
	l := balancer.Load{
		Running: s.Running, Waiting: s.Waiting,
		KVUse: s.KVUse, KVTokens: s.KVTokens,
		Queries: s.Queries, Hits: s.Hits,
		Started:     started,
		MaxModelLen: m.maxLen,
		Interval:    interval,
	}
	if checksModel {
		l.Models = m.names
	}
	return l
}

// nothing is the Sample of an engine that shows no metrics.
func nothing() engines.Sample {
	unknown := math.NaN()
	return engines.Sample{Running: unknown, Waiting: unknown, KVUse: unknown, Queries: unknown, Hits: unknown}
}

// birth follows the start of one engine's process over its samples.
type birth struct {
	told    time.Time // as the page tells it
	assumed time.Time // for engines that do not tell: the first sample of what seems to be the same process
	queries float64   // of the last sample
	any     bool      // there was a last sample
}

// startSlack is how far two tellings of one start may lie apart.
const startSlack = time.Second

// next takes in a sample and returns the start of the process that it comes from, zero when there is no way to know.
//
// A later start is a new process. An earlier one is not, unless the counters fell too: behind a gateway that answers for several engines the
// starts alternate, and each change would drop what is known. Where no start is told, falling counters show a new process.
func (b *birth) next(s engines.Sample, now time.Time) time.Time {
	fell := b.any && s.Queries < b.queries
	b.any, b.queries = true, s.Queries
	if !s.Started.IsZero() {
		apart := s.Started.Sub(b.told)
		if b.told.IsZero() || apart > startSlack || apart < -startSlack && fell {
			b.told = s.Started
		}
		return b.told
	}
	if math.IsNaN(s.Queries) {
		return time.Time{}
	}
	if b.assumed.IsZero() || fell {
		b.assumed = now
	}
	return b.assumed
}

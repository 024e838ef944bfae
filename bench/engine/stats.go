package engine

import (
	"slices"
	"time"
)

// Stats are the counters of a core since it was made.
type Stats struct {
	Submitted        uint64 // requests taken
	Succeeded        uint64 // requests finished
	Aborted          uint64
	Preemptions      uint64
	Queries          uint64 // prompt tokens looked up in the prefix cache, counted at the first admission
	Hits             uint64 // of these, tokens found
	PromptTokens     uint64 // prompt tokens of requests that got their first token
	GenerationTokens uint64
	Steps            uint64

	TTFT, ITL, E2E, QueueTime, Inference, Prefill, Decode, PerToken Histogram // seconds
	PromptLength, OutputLength, Iteration, Computed                 Histogram // tokens
}

// Histogram counts observations in buckets with upper bounds, as Prometheus does.
type Histogram struct {
	Bounds []float64
	Counts []uint64 // one more than bounds: the last one is what exceeds all of them
	Sum    float64
	Count  uint64
}

func newHistogram(bounds []float64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

// Observe counts one value.
func (h *Histogram) Observe(v float64) {
	i, _ := slices.BinarySearch(h.Bounds, v)
	h.Counts[i]++
	h.Sum += v
	h.Count++
}

// clone copies the counts, so that the copy may be read while the original goes on.
func (h Histogram) clone() Histogram {
	h.Counts = slices.Clone(h.Counts)
	return h
}

func newStats() Stats {
	ttft := []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560}
	itl := []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	long := []float64{.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680}
	tokens := []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000}
	iteration := []float64{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}
	return Stats{
		TTFT: newHistogram(ttft), ITL: newHistogram(itl), PerToken: newHistogram(itl),
		E2E: newHistogram(long), QueueTime: newHistogram(long), Inference: newHistogram(long),
		Prefill: newHistogram(long), Decode: newHistogram(long),
		PromptLength: newHistogram(tokens), OutputLength: newHistogram(tokens), Computed: newHistogram(tokens),
		Iteration: newHistogram(iteration),
	}
}

// Counters are the figures of a core that tests and reports ask for. Queries and hits are tokens.
type Counters struct {
	Queries, Hits                         uint64
	Submitted, Requests, Aborted          uint64 // taken, finished, given up by their client
	Preemptions                           uint64
	PromptTokens, GenerationTokens, Steps uint64
	Running, Waiting                      int
	KVUse                                 float64 // share of blocks held by live requests, 0 to 1
}

// Counters returns the present figures.
func (c *Core) Counters() Counters {
	s := &c.stats
	return Counters{
		Queries: s.Queries, Hits: s.Hits,
		Submitted: s.Submitted, Requests: s.Succeeded, Aborted: s.Aborted,
		Preemptions: s.Preemptions, PromptTokens: s.PromptTokens, GenerationTokens: s.GenerationTokens, Steps: s.Steps,
		Running: len(c.running), Waiting: c.waiting.len(), KVUse: c.pool.usage(),
	}
}

// Stats returns a copy of all counters and histograms.
func (c *Core) Stats() Stats {
	s := c.stats
	for _, h := range s.histograms() {
		*h = h.clone()
	}
	return s
}

func (s *Stats) histograms() []*Histogram {
	return []*Histogram{
		&s.TTFT, &s.ITL, &s.E2E, &s.QueueTime, &s.Inference, &s.Prefill, &s.Decode, &s.PerToken,
		&s.PromptLength, &s.OutputLength, &s.Iteration, &s.Computed,
	}
}

func (s *Stats) iteration(tokens int) {
	s.Steps++
	s.Iteration.Observe(float64(tokens))
}

// admission counts the one cache lookup of a request that counts; later ones, after a preemption, do not.
func (s *Stats) admission(r *Request) {
	s.Queries += uint64(r.Prompt)
	s.Hits += uint64(r.Cached)
}

func (s *Stats) token(r *Request, now time.Duration) {
	s.GenerationTokens++
	if r.Generated > 1 {
		s.ITL.Observe((now - r.last).Seconds())
		return
	}
	s.PromptTokens += uint64(r.Prompt)
	s.TTFT.Observe((now - r.Arrived).Seconds())
}

func (s *Stats) finish(r *Request) {
	s.Succeeded++
	s.E2E.Observe((r.Finished - r.Arrived).Seconds())
	s.QueueTime.Observe((r.Scheduled - r.Arrived).Seconds())
	s.Inference.Observe((r.Finished - r.Scheduled).Seconds())
	s.Prefill.Observe((r.FirstToken - r.Scheduled).Seconds())
	s.Decode.Observe((r.Finished - r.FirstToken).Seconds())
	if r.Output > 1 {
		s.PerToken.Observe((r.Finished - r.FirstToken).Seconds() / float64(r.Output-1))
	}
	s.PromptLength.Observe(float64(r.Prompt))
	s.OutputLength.Observe(float64(r.Output))
	s.Computed.Observe(float64(r.Prompt - r.Cached))
}

package sweep

import (
	"math"
	"slices"
	"time"
)

// SLO is what a request must keep to count as good.
type SLO struct{ TTFT, TPOT time.Duration }

// DefaultSLO is the one of the figures in this project's tables: chat, as people read.
func DefaultSLO() SLO { return SLO{TTFT: 500 * time.Millisecond, TPOT: 60 * time.Millisecond} }

// Metrics are the figures of one run. Times are the engines' seconds.
type Metrics struct {
	Requests    int     `json:"requests"`    // that were made
	Complete    int     `json:"complete"`    // with a whole answer
	Left        int     `json:"left"`        // whose callers left
	Failed      int     `json:"failed"`      // that no engine could take
	Seconds     float64 `json:"seconds"`     // from the first arrival to the end
	TTFT        float64 `json:"ttft"`        // mean
	TTFTp50     float64 `json:"ttft_p50"`    //
	TTFTp99     float64 `json:"ttft_p99"`    //
	RT          float64 `json:"rt"`          // mean time to the end of complete answers
	RTp99       float64 `json:"rt_p99"`      //
	TPOT        float64 `json:"tpot"`        // mean time between tokens, by request
	TPOTp99     float64 `json:"tpot_p99"`    //
	Hit         float64 `json:"hit"`         // share of the prompt tokens found in caches, by the engines' counters
	Ceiling     float64 `json:"ceiling"`     // the same for one cache that never forgets
	Good        float64 `json:"good"`        // share of the requests within the SLO
	Goodput     float64 `json:"goodput"`     // those a second
	Tokens      float64 `json:"tokens"`      // generated a second
	Imbalance   float64 `json:"imbalance"`   // mean over time of the most loaded replica's requests over the mean of all
	Preemptions int     `json:"preemptions"` //
}

// Metrics reduces a run.
func (r *run) metrics(slo SLO) Metrics {
	m := Metrics{Requests: len(r.records), Imbalance: 1}
	var ttft, rt, tpot []float64
	var first, last time.Duration = math.MaxInt64, 0
	tokens, ideal, prompts := 0, 0, 0
	for i := range r.records {
		q := &r.records[i]
		first, last = min(first, q.Arrived), max(last, q.Ended)
		tokens += q.Output
		ideal += q.Ideal
		prompts += q.Prompt
		good := true
		if x, ok := q.ttft(); ok {
			ttft = append(ttft, x)
			good = x <= slo.TTFT.Seconds()
		}
		if x, ok := q.perToken(); ok {
			tpot = append(tpot, x)
			good = good && x <= slo.TPOT.Seconds()
		}
		if x, ok := q.whole(); ok {
			rt = append(rt, x)
			m.Complete++
			if good {
				m.Good++
			}
		}
		if q.Left {
			m.Left++
		}
		if q.Failed {
			m.Failed++
		}
	}
	var queries, hits uint64
	for _, p := range r.replicas {
		c := p.counters()
		queries, hits = queries+c.Queries, hits+c.Hits
		m.Preemptions += int(c.Preemptions)
	}
	m.Hit, m.Ceiling = share(float64(hits), float64(queries)), share(float64(ideal), float64(prompts))
	m.Seconds = (last - first).Seconds()
	m.Goodput, m.Tokens = share(m.Good, m.Seconds), share(float64(tokens), m.Seconds)
	m.Good = share(m.Good, float64(m.Complete+m.Failed))
	m.TTFT, m.TTFTp50, m.TTFTp99 = mean(ttft), quantile(ttft, 0.5), quantile(ttft, 0.99)
	m.RT, m.RTp99 = mean(rt), quantile(rt, 0.99)
	m.TPOT, m.TPOTp99 = mean(tpot), quantile(tpot, 0.99)
	if r.curve.samples > 0 {
		m.Imbalance = r.curve.imbalance / float64(r.curve.samples)
	}
	return m
}

// firsts are the times to the first token of all requests, in seconds.
func (r *run) firsts() []float64 {
	var all []float64
	for i := range r.records {
		if x, ok := r.records[i].ttft(); ok {
			all = append(all, x)
		}
	}
	return all
}

func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return share(sum, float64(len(values)))
}

// quantile interpolates between the two nearest of the values, which it sorts.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	at := q * float64(len(values)-1)
	low := int(at)
	if low+1 >= len(values) {
		return values[low]
	}
	return values[low] + (at-float64(low))*(values[low+1]-values[low])
}

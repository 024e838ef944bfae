package load

import (
	"math"
	"sync"
	"time"
)

// Result is what a run measured. Latencies cover complete answers only.
type Result struct {
	Requests int             // requests that ended, complete or not
	Errors   int             // of these, failed
	Kinds    map[Kind]int    // failures by kind
	Examples map[Kind]string // the first message of each kind

	TTFT       Spread   // time to first token, ms
	Latency    Spread   // request latency, ms
	InterToken Spread   // inter-token latency, ms; answers of one token have none
	TurnTTFT   []Spread // time to first token of each turn, ms

	Duration     time.Duration // first request's start to last answer's end
	PromptTokens int           // as the answers' usage tells
	OutputTokens int           // of complete answers
	Estimated    int           // complete answers whose output tokens were counted here

	CachedTokens int // prompt tokens that came from a cache, as usage tells
	CachedOf     int // prompt tokens of the answers that told it
	IdealCached  int // prompt tokens that one endless cache would have held
}

// OutputRate is output tokens a second over the whole run.
func (r *Result) OutputRate() float64 { return perSecond(r.OutputTokens, r.Duration) }

// RequestRate is complete answers a second over the whole run.
func (r *Result) RequestRate() float64 { return perSecond(r.Requests-r.Errors, r.Duration) }

// HitRate is the share of prompt tokens that came from a cache by the answers' own usage; NaN when none told.
func (r *Result) HitRate() float64 { return share(r.CachedTokens, r.CachedOf) }

// IdealHitRate is the share of prompt tokens that an endless cache shared by all replicas would have served: all full
// blocks of what the session sent and heard before. NaN when no answer told its prompt tokens.
func (r *Result) IdealHitRate() float64 { return share(r.IdealCached, r.PromptTokens) }

// Stretch multiplies all times: it turns the figures of a server whose time runs faster by the factor scale into that
// server's own time.
func (r *Result) Stretch(scale float64) {
	r.TTFT = r.TTFT.stretched(scale)
	r.Latency = r.Latency.stretched(scale)
	r.InterToken = r.InterToken.stretched(scale)
	for i := range r.TurnTTFT {
		r.TurnTTFT[i] = r.TurnTTFT[i].stretched(scale)
	}
	r.Duration = time.Duration(float64(r.Duration) * scale)
}

func perSecond(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func share(part, of int) float64 {
	if of == 0 {
		return math.NaN()
	}
	return float64(part) / float64(of)
}

// recorder collects answers.
type recorder struct {
	cfg *Config

	mu         sync.Mutex // guards all below
	r          Result
	total      int
	start, end time.Time
	ttft       []float64
	latency    []float64
	interToken []float64
	turns      [][]float64
	ttftSum    float64
	context    []int // tokens of each session after its last complete answer; 0 = unknown
}

func newRecorder(cfg *Config) *recorder {
	rec := &recorder{cfg: cfg, context: make([]int, len(cfg.Sessions))}
	for _, s := range cfg.Sessions {
		rec.total += s.Turns()
	}
	rec.r.Kinds, rec.r.Examples = map[Kind]int{}, map[Kind]string{}
	return rec
}

// add takes the answer to one turn of a session and tells the progress.
func (rec *recorder) add(session, turn int, a *answer) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.start.IsZero() || a.start.Before(rec.start) {
		rec.start = a.start
	}
	if a.end.After(rec.end) {
		rec.end = a.end
	}
	rec.r.Requests++
	if f := a.failure; f != nil {
		rec.r.Errors++
		if rec.r.Kinds[f.Kind]++; rec.r.Kinds[f.Kind] == 1 {
			rec.r.Examples[f.Kind] = f.Message
		}
	} else {
		rec.times(turn, a)
		rec.tokens(session, a)
	}
	if rec.cfg.Progress != nil {
		rec.cfg.Progress(rec.progress())
	}
}

func (rec *recorder) times(turn int, a *answer) {
	ttft, latency := milliseconds(a.timeToFirst()), milliseconds(a.latency())
	rec.ttft = append(rec.ttft, ttft)
	rec.ttftSum += ttft
	rec.latency = append(rec.latency, latency)
	if n, _ := a.outputTokens(); n > 1 {
		rec.interToken = append(rec.interToken, (latency-ttft)/float64(n-1))
	}
	for len(rec.turns) <= turn {
		rec.turns = append(rec.turns, nil)
	}
	rec.turns[turn] = append(rec.turns[turn], ttft)
}

func (rec *recorder) tokens(session int, a *answer) {
	output, counted := a.outputTokens()
	rec.r.OutputTokens += output
	if counted {
		rec.r.Estimated++
	}
	before := rec.context[session]
	rec.context[session] = 0
	if a.prompt < 0 {
		return
	}
	rec.r.PromptTokens += a.prompt
	// The last token of a prompt is always computed, and the last one of an answer never entered the cache.
	ideal := min(before-1, a.prompt-1)
	rec.r.IdealCached += max(0, ideal-ideal%rec.cfg.BlockTokens)
	rec.context[session] = a.prompt + output
	if a.cached >= 0 {
		rec.r.CachedTokens += a.cached
		rec.r.CachedOf += a.prompt
	}
}

func (rec *recorder) progress() Progress {
	p := Progress{Done: rec.r.Requests, Total: rec.total, Errors: rec.r.Errors, HitRate: rec.r.HitRate()}
	if n := len(rec.ttft); n > 0 {
		p.TTFT = time.Duration(rec.ttftSum / float64(n) * float64(time.Millisecond))
	}
	return p
}

// result sums up. It is called once, after the last add.
func (rec *recorder) result() *Result {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.r.TTFT = newSpread(rec.ttft)
	rec.r.Latency = newSpread(rec.latency)
	rec.r.InterToken = newSpread(rec.interToken)
	for _, t := range rec.turns {
		rec.r.TurnTTFT = append(rec.r.TurnTTFT, newSpread(t))
	}
	rec.r.Duration = rec.end.Sub(rec.start)
	return &rec.r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

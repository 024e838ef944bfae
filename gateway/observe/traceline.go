package observe

import (
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/warmlane/warmlane/tokenize"
)

// traceLine is what a line needs of a request, before numbers are given.
type traceLine struct {
	rec     traceRecord
	blocks  []uint64 // hashes
	session uint64   // its hash, then its number
	named   bool     // it has a session
	ttft    float64  // what rec points to
	cached  int      // what rec points to
}

// traceRecord is a line as it is written. Lengths are tokens, times milliseconds.
type traceRecord struct {
	Timestamp int64    `json:"timestamp"` // of the request's head, since the gateway's start
	Model     string   `json:"model"`
	Input     int      `json:"input_length"`
	Output    int      `json:"output_length"`
	HashIDs   []uint64 `json:"hash_ids"`
	TTFT      *float64 `json:"ttft_ms,omitempty"`
	Total     float64  `json:"total_ms"`
	Endpoint  string   `json:"endpoint,omitempty"`
	Cached    *int     `json:"cached_tokens,omitempty"`
	Bytes     int      `json:"input_bytes"`
	Family    string   `json:"family"`
	Stream    bool     `json:"stream"`
	Session   *uint64  `json:"session,omitempty"`
	Failure   string   `json:"failure,omitempty"`
}

// fill takes all that a line needs, as what it is taken from will not last.
func (t *TraceFile) fill(l *traceLine, r *Record, prompt *tokenize.Prompt, session string, relayed int) {
	l.rec = traceRecord{
		Timestamp: int64(t.milliseconds(r.Time.Sub(t.start))), Model: cut(r.Model), Input: r.PromptTokens, Output: r.OutputTokens,
		Total: t.milliseconds(r.Total), Endpoint: r.Endpoint, Bytes: prompt.Bytes, Family: r.Family, Stream: r.Stream, Failure: r.Failure,
	}
	if r.PromptTokens < 1 {
		l.rec.Input = prompt.Tokens
	}
	if r.OutputTokens < 0 {
		l.rec.Output = relayed
	}
	if r.Stream && r.TTFT >= 0 {
		l.ttft = t.milliseconds(r.TTFT)
		l.rec.TTFT = &l.ttft
	}
	if r.CachedTokens >= 0 {
		l.cached = r.CachedTokens
		l.rec.Cached = &l.cached
	}
	l.blocks = append(l.blocks[:0], prompt.Blocks...)
	if l.named = session != ""; l.named {
		l.session = xxhash.Sum64String(session)
	}
}

// number gives the line its numbers in place of hashes.
func (t *TraceFile) number(l *traceLine) {
	t.ids = t.ids[:0]
	for _, hash := range l.blocks {
		t.ids = append(t.ids, t.prompts.of(hash))
	}
	l.rec.HashIDs = t.ids
	if l.named {
		l.session = t.dialogues.of(l.session)
		l.rec.Session = &l.session
	}
}

// milliseconds is d on the clock of the file, to a microsecond.
func (t *TraceFile) milliseconds(d time.Duration) float64 {
	return math.Round(float64(d.Microseconds())*t.cfg.Scale) / 1000
}

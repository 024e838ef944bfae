package workload

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

const (
	mooncakeBlock = 512 // tokens of a block in Mooncake's traces
	ownBlock      = 64  // nominal tokens of a block in warmlane's
	ownBlockBytes = 256 // canonical bytes of such a block, tokenize.BlockBytes
)

// traceLine holds the fields that the forms with a JSON object a line have in common, under Mooncake's names.
type traceLine struct {
	Timestamp *float64 `json:"timestamp"` // milliseconds
	Input     *int     `json:"input_length"`
	Output    *int     `json:"output_length"`
	Blocks    []uint64 `json:"hash_ids"`
}

// ownLine is a line of warmlane's own trace file. Fields that it does not name are none of a replay's concern.
type ownLine struct {
	traceLine
	Model    string   `json:"model"`
	TTFT     *float64 `json:"ttft_ms"`
	Total    *float64 `json:"total_ms"`
	Endpoint string   `json:"endpoint"`
	Cached   *int     `json:"cached_tokens"`
	Bytes    int      `json:"input_bytes"`
	Session  *int     `json:"session"`
	Failure  string   `json:"failure"`
}

// parseLines reads JSON objects, one a line. The first tells by the field model whether warmlane wrote them.
func parseLines(name string, text io.Reader) ([]TraceRequest, error) {
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, longestTraceLine)
	var all []TraceRequest
	parse := mooncakeRequest
	var own *ownForm
	number := 1
	for ; lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if len(all) == 0 && hasModel(line) {
			own = &ownForm{sizes: map[string]blockSize{}}
			parse = own.request
		}
		r, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		all = append(all, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, number, err)
	}
	if own != nil {
		own.measureBlocks(all)
	}
	return all, nil
}

func hasModel(line []byte) bool {
	var first struct {
		Model *string `json:"model"`
	}
	return json.Unmarshal(line, &first) == nil && first.Model != nil
}

// mooncakeRequest reads a line of Mooncake's. Other fields are refused: traces that look alike count their blocks and
// times otherwise.
func mooncakeRequest(line []byte) (TraceRequest, error) {
	var l traceLine
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return TraceRequest{}, fmt.Errorf("not a line of Mooncake's, which has timestamp, input_length, output_length, hash_ids and nothing else: %w", err)
	}
	if decoder.More() {
		return TraceRequest{}, errors.New("more than one object in a line: put each on its own")
	}
	r, err := l.request()
	if err != nil {
		return r, err
	}
	r.BlockTokens = mooncakeBlock
	if most := blocksOf(r.Input, mooncakeBlock); len(r.Blocks) > most {
		return r, fmt.Errorf("%d hash_ids for a prompt of %d tokens: blocks of %d would be at most %d", len(r.Blocks), r.Input, mooncakeBlock, most)
	}
	return r, nil
}

// blocksOf is the number of blocks that tokens fill or begin.
func blocksOf(tokens, block int) int { return (tokens + block - 1) / block }

func (l *traceLine) request() (TraceRequest, error) {
	r := TraceRequest{Blocks: l.Blocks, Cached: -1, Session: -1}
	switch {
	case l.Timestamp == nil:
		return r, errors.New("timestamp is missing")
	case l.Input == nil:
		return r, errors.New("input_length is missing")
	case l.Output == nil:
		return r, errors.New("output_length is missing")
	}
	r.Input, r.Output = *l.Input, *l.Output
	var err error
	if r.At, err = milliseconds("timestamp", l.Timestamp); err != nil {
		return r, err
	}
	return r, checkLengths(r.Input, r.Output)
}

// milliseconds reads a time; what is not there is 0.
func milliseconds(field string, ms *float64) (time.Duration, error) {
	if ms == nil {
		return 0, nil
	}
	if *ms < 0 || *ms > float64(longestTrace/time.Millisecond) {
		return 0, fmt.Errorf("%s: %g ms cannot be: want 0 to 100 years", field, *ms)
	}
	return time.Duration(math.Round(*ms * float64(time.Millisecond))), nil
}

// ownForm reads warmlane's own lines. Its blocks are equal in bytes, so how many tokens they have is measured.
type ownForm struct{ sizes map[string]blockSize }

// blockSize sums what is known of the prompts of one model.
type blockSize struct{ tokens, bytes int }

func (f *ownForm) request(line []byte) (TraceRequest, error) {
	var l ownLine
	if err := json.Unmarshal(line, &l); err != nil {
		return TraceRequest{}, fmt.Errorf("not a line of warmlane's: %w", err)
	}
	r, err := l.request()
	if err != nil {
		return r, err
	}
	r.Model, r.Endpoint, r.Failure = l.Model, l.Endpoint, l.Failure
	if r.TTFT, err = milliseconds("ttft_ms", l.TTFT); err != nil {
		return r, err
	}
	if r.Total, err = milliseconds("total_ms", l.Total); err != nil {
		return r, err
	}
	if l.Cached != nil {
		if r.Cached = min(*l.Cached, r.Input); r.Cached < 0 {
			return r, fmt.Errorf("cached_tokens: %d cannot be: leave it out where it is unknown", r.Cached)
		}
	}
	if l.Session != nil {
		if r.Session = *l.Session; r.Session < 0 {
			return r, fmt.Errorf("session: %d is no number of one: leave it out where it is unknown", r.Session)
		}
	}
	if l.Bytes < 0 || l.Bytes > ownBlockBytes*mostTokens {
		return r, fmt.Errorf("input_bytes: a prompt of %d bytes cannot be: leave it out where it is unknown", l.Bytes)
	}
	if l.Bytes > 0 && r.Failure == "" {
		s := f.sizes[r.Model]
		f.sizes[r.Model] = blockSize{s.tokens + r.Input, s.bytes + l.Bytes}
	}
	return r, nil
}

// measureBlocks gives every request of a model the same BlockTokens, so that equal blocks stay equal, and cuts chains to what the
// prompt's tokens fill.
func (f *ownForm) measureBlocks(all []TraceRequest) {
	for i := range all {
		r := &all[i]
		r.BlockTokens = ownBlock
		if s := f.sizes[r.Model]; s.bytes > 0 {
			r.BlockTokens = max(1, int(math.Round(ownBlockBytes*float64(s.tokens)/float64(s.bytes))))
		}
		r.Blocks = r.Blocks[:min(len(r.Blocks), r.Input/r.BlockTokens)]
	}
}

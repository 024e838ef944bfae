package workload

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
	"unicode"
)

// TraceRequest is one request of a recorded trace.
type TraceRequest struct {
	At     time.Duration // arrival, since the earliest of the trace
	Model  string        // "" = not told
	Input  int           // tokens of the prompt, at least 1
	Output int           // tokens of the answer; 0 where none is generated, or none came

	// Blocks number the prompt's content from its beginning on: block i is the tokens from i*BlockTokens up to (i+1)*BlockTokens or
	// Input. Two requests whose i-th numbers are equal have equal prompts up to the end of it. What lies behind the last block is
	// shared with nobody.
	Blocks      []uint64
	BlockTokens int // 0 when the trace knows no blocks

	// What was measured when the trace was recorded.
	TTFT     time.Duration // to the first token; 0 = unknown
	Total    time.Duration // to the end of the answer; 0 = unknown
	Endpoint string        // "" = unknown
	Cached   int           // prompt tokens that the engine had in its cache; -1 = unknown
	Session  int           // number of the conversation by its own word; -1 = unknown
	Failure  string        // why it failed; "" = it did not
}

// longestTraceLine bounds a line of a trace, in bytes.
const longestTraceLine = 64 << 20

// mostTokens and longestTrace bound what is believed.
const (
	mostTokens   = 1 << 30
	longestTrace = 100 * 365 * 24 * time.Hour
)

// ReadTrace reads the trace file at path. See ParseTrace.
func ReadTrace(path string) ([]TraceRequest, error) {
	f, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ParseTrace(path, f)
}

// ParseTrace reads a trace in any of the forms that README.md describes, plain or compressed by gzip; the form is told from the
// content. The requests come in the order of their arrival. name stands for the file in errors, which tell the line.
func ParseTrace(name string, r io.Reader) ([]TraceRequest, error) {
	text, err := uncompressed(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	first, err := firstByte(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var all []TraceRequest
	if first == '{' {
		all, err = parseLines(name, text)
	} else {
		all, err = parseAzure(name, text)
	}
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", name, errEmpty)
	}
	inOrder(all)
	return all, nil
}

// uncompressed sees through gzip.
func uncompressed(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReader(r)
	if magic, _ := b.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, err
	}
	return bufio.NewReader(z), nil
}

// errEmpty is told of a trace without requests.
var errEmpty = errors.New("no requests in it")

// firstByte skips a byte order mark and looks at the first byte that is no white space.
func firstByte(b *bufio.Reader) (byte, error) {
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	for n := 1; ; n++ {
		seen, err := b.Peek(n)
		switch {
		case err == io.EOF:
			return 0, errEmpty
		case err != nil:
			return 0, err
		case !unicode.IsSpace(rune(seen[n-1])):
			return seen[n-1], nil
		}
	}
}

// inOrder sorts by arrival and begins with 0.
func inOrder(all []TraceRequest) {
	slices.SortStableFunc(all, func(a, b TraceRequest) int { return cmp.Compare(a.At, b.At) })
	start := all[0].At
	for i := range all {
		all[i].At -= start
	}
}

// checkLengths tells what is wrong with a request's lengths, nil if nothing is.
func checkLengths(input, output int) error {
	switch {
	case input < 1 || input > mostTokens:
		return fmt.Errorf("a prompt of %d tokens cannot be: want 1 to %d", input, mostTokens)
	case output < 0 || output > mostTokens:
		return fmt.Errorf("an answer of %d tokens cannot be: want 0 to %d", output, mostTokens)
	}
	return nil
}

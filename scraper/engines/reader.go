package engines

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ErrForeign says that a page has none of the metrics that its table looks at: it belongs to another engine, or to none.
var ErrForeign = errors.New("the page has none of the engine's metrics")

// Reader reads pages, one after the other, with buffers that it keeps. It is for one goroutine at a time.
type Reader struct {
	parser expfmt.TextParser
	source bytes.Reader
	moving []byte // the lines that matter of the page being read
	steady []byte // those of them that tell the KV size

	// The KV size of the last page, and what it was read from. Its lines carry every setting of the engine as a label, which costs more to
	// parse than all others together, and are the same in every page until a restart.
	sizeTable *Table
	sizeLines []byte
	sizes     []float64 // one a rank
}

// NewReader returns a Reader.
func NewReader() *Reader {
	return &Reader{parser: expfmt.NewTextParser(model.LegacyValidation)}
}

// Read takes a Sample from a page in the Prometheus text format. It keeps nothing of the page. The error is ErrForeign when the page has
// nothing that the table knows, else what is wrong with the lines that matter; lines of other metrics are not looked into.
func (r *Reader) Read(t *Table, text []byte) (Sample, error) {
	samples, err := r.read(t, text, 0)
	if err != nil {
		return Sample{}, err
	}
	return samples[0], nil
}

// ReadRanks is Read for an engine of several data-parallel ranks behind one page: one Sample for each of the ranks 0 to n-1, of the rows
// that carry its number. A rank that has none is unknown in all but the start. The error is also ErrForeign when no rank has any, or the
// family does not tell ranks apart.
func (r *Reader) ReadRanks(t *Table, text []byte, n int) ([]Sample, error) {
	if t.rank == "" {
		return nil, ErrForeign
	}
	return r.read(t, text, n)
}

// read takes the samples of n ranks, or one of the whole engine when n is 0.
func (r *Reader) read(t *Table, text []byte, n int) ([]Sample, error) {
	r.keepLines(t, text)
	families, err := r.parse(r.moving)
	if err != nil {
		return nil, fmt.Errorf("parsing %s metrics: %w", t.Family, err)
	}
	if err := r.readSizes(t, n); err != nil {
		return nil, fmt.Errorf("parsing %s configuration: %w", t.Family, err)
	}
	samples, told := make([]Sample, len(r.sizes)), 0
	for i, part := range families.parts(t.rank, n) {
		known := 0
		samples[i], known = sampleOf(&t.readings, part, r.sizes[i])
		samples[i].Started = startOf(&t.readings, families)
		told += known
	}
	if told == 0 {
		return nil, ErrForeign
	}
	return samples, nil
}

// Parse reads one page with a Reader of its own: for those who read seldom.
func Parse(t *Table, text []byte) (Sample, error) {
	return NewReader().Read(t, text)
}

// readSizes evaluates the KV size of every rank over the steady lines, unless they are those of the page before.
func (r *Reader) readSizes(t *Table, n int) error {
	if r.sizeTable == t && len(r.sizes) == max(1, n) && bytes.Equal(r.steady, r.sizeLines) {
		return nil
	}
	families, err := r.parse(r.steady)
	if err != nil {
		return err
	}
	r.sizeTable, r.sizeLines, r.sizes = t, append(r.sizeLines[:0], r.steady...), r.sizes[:0]
	for _, part := range families.parts(t.rank, n) {
		r.sizes = append(r.sizes, t.readings.kvTokens.from(part))
	}
	return nil
}

// parse reads lines in the text format.
func (r *Reader) parse(lines []byte) (page, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	r.source.Reset(lines)
	return r.parser.TextToMetricFamilies(&r.source)
}

// keepLines collects the sample lines of the table's metrics. Comments go too: without type lines every metric parses as a plain number,
// and none of those looked at is anything else.
func (r *Reader) keepLines(t *Table, text []byte) {
	r.moving, r.steady = r.moving[:0], r.steady[:0]
	for len(text) > 0 {
		var line []byte
		line, text = nextLine(text)
		name := metricName(line)
		if _, wanted := t.moving[string(name)]; wanted {
			r.moving = append(append(r.moving, line...), '\n')
		}
		if _, wanted := t.steady[string(name)]; wanted {
			r.steady = append(append(r.steady, line...), '\n')
		}
	}
}

// nextLine splits off the first line, without its end.
func nextLine(text []byte) (line, rest []byte) {
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		return bytes.TrimSuffix(text[:end], []byte{'\r'}), text[end+1:]
	}
	return text, nil
}

// metricName returns the whole metric name at the start of a sample line: what stands before its labels or its value. Comments and blank
// lines have none.
func metricName(line []byte) []byte {
	line = bytes.TrimLeft(line, " \t")
	for i, c := range line {
		switch c {
		case '{', ' ', '\t':
			return line[:i]
		case '#':
			return nil
		}
	}
	return nil
}

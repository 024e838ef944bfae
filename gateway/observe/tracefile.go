package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warmlane/warmlane/tokenize"
)

const (
	tracedLines  = 1024        // requests that wait for the writer, at most
	tracedBlocks = 1 << 20     // blocks of their prompts, at most: 8 MB
	keptBlocks   = 4 << 10     // longest prompt whose memory is used again
	traceFlush   = time.Second // longest time that a line waits in memory
	traceBuffer  = 64 << 10    // bytes from which lines are written before that
)

// TraceConfig says how to write a trace file.
type TraceConfig struct {
	Path string
	// Scale stretches all times: 10 for engines that run ten times faster than real ones. 0 means 1.
	Scale float64
	Log   *slog.Logger
}

// TraceFile writes a line of JSON for each finished request, in the order of their ends, in the form of Mooncake's traces
// (timestamp, input_length, output_length, hash_ids) with more fields; bench/workload reads it and describes them. No text can be
// recovered from it: prompts are chains of numbered blocks of 64 tokens, sessions are numbers, and numbers are given in the order
// in which things first appear.
//
// Write copies and returns: it never waits for the disk. Lines that the writer cannot keep up with, or that the disk refuses, are
// dropped and counted. A file that is moved away or removed while it is written is made anew within a second; clock and numbers
// go on, so that the pieces of one run may be put together again.
type TraceFile struct {
	cfg              TraceConfig
	start            time.Time
	written, dropped prometheus.Counter

	lines  chan *traceLine
	blocks atomic.Int64 // of the prompts in lines
	pool   sync.Pool    // of *traceLine

	stop chan struct{}
	done chan struct{}

	// The fields below are the writer's.
	file               *os.File
	buffer             bytes.Buffer
	encoder            *json.Encoder // into buffer
	buffered           int           // lines in buffer
	failing            bool          // the log says so
	prompts, dialogues *numbering
	ids                []uint64 // of the line in hand
}

// OpenTrace opens the file for the owner alone and begins to write; Close must be called. A file of that name that holds
// something is not written on, as its numbers mean something else: it gets the time of its last change into its name. Call it
// once for each Metrics.
func OpenTrace(cfg TraceConfig, m *Metrics) (*TraceFile, error) {
	if cfg.Scale == 0 {
		cfg.Scale = 1
	}
	t := &TraceFile{
		cfg: cfg, start: time.Now(), lines: make(chan *traceLine, tracedLines), stop: make(chan struct{}), done: make(chan struct{}),
		prompts: newNumbering(rememberedNumbers), dialogues: newNumbering(rememberedNumbers), ids: []uint64{},
	}
	t.encoder = json.NewEncoder(&t.buffer)
	t.encoder.SetEscapeHTML(false)
	if err := setAside(cfg.Path); err != nil {
		return nil, err
	}
	if err := t.open(0); err != nil {
		return nil, err
	}
	lines := counters("trace_lines_total", "Lines of the trace file, and those dropped because the disk was too slow or refused them.", "outcome")
	m.reg.MustRegister(lines)
	t.written, t.dropped = lines.WithLabelValues("written"), lines.WithLabelValues("dropped")
	go t.run() // ends with Close
	return t, nil
}

// setAside renames what an earlier run has written.
func setAside(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil //nolint:nilerr // what is wrong with the path is told when it is opened
	}
	ext := filepath.Ext(path)
	aside := strings.TrimSuffix(path, ext) + info.ModTime().UTC().Format("-20060102T150405.000") + ext
	return os.Rename(path, aside)
}

func (t *TraceFile) open(flag int) (err error) {
	t.file, err = os.OpenFile(t.cfg.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|flag, 0o600)
	return err
}

// Write takes a request that has ended. The prompt may change once it returns. session is the conversation by the caller's own
// word, "" when unknown; relayed is the number of output tokens that passed, for answers without usage.
func (t *TraceFile) Write(r *Record, prompt *tokenize.Prompt, session string, relayed int) {
	n := int64(len(prompt.Blocks))
	if t.blocks.Add(n) > tracedBlocks {
		t.blocks.Add(-n)
		t.dropped.Inc()
		return
	}
	l, _ := t.pool.Get().(*traceLine)
	if l == nil {
		l = new(traceLine)
	}
	t.fill(l, r, prompt, session, relayed)
	select {
	case t.lines <- l:
	default:
		t.blocks.Add(-n)
		t.dropped.Inc()
		t.spare(l)
	}
}

// spare keeps the memory of a line for another one.
func (t *TraceFile) spare(l *traceLine) {
	if cap(l.blocks) <= keptBlocks {
		t.pool.Put(l)
	}
}

// run is the writer.
func (t *TraceFile) run() {
	defer close(t.done)
	tick := time.NewTicker(traceFlush)
	defer tick.Stop()
	for {
		select {
		case l := <-t.lines:
			t.add(l)
			if t.buffer.Len() >= traceBuffer {
				t.tell(t.flush())
			}
		case <-tick.C:
			t.onTime()
		case <-t.stop:
			for len(t.lines) > 0 {
				t.add(<-t.lines)
			}
			t.tell(t.flush())
			return
		}
	}
}

// add puts a line into the buffer and gives its memory back.
func (t *TraceFile) add(l *traceLine) {
	t.blocks.Add(-int64(len(l.blocks)))
	t.number(l)
	if err := t.encoder.Encode(&l.rec); err != nil {
		panic("BUG: a line of the trace file cannot be encoded: " + err.Error())
	}
	t.buffered++
	t.spare(l)
}

// onTime is what the writer does each second.
func (t *TraceFile) onTime() {
	wrote := t.buffered > 0
	if err := errors.Join(t.flush(), t.follow()); err != nil || wrote {
		t.tell(err)
	}
}

// flush writes whole lines, or none of them.
func (t *TraceFile) flush() error {
	if t.buffered == 0 {
		return nil
	}
	n, err := t.file.Write(t.buffer.Bytes())
	if err == nil {
		t.written.Add(float64(t.buffered))
	} else {
		t.dropped.Add(float64(t.buffered))
		t.takeBack(n)
	}
	t.buffered = 0
	t.buffer.Reset()
	return err
}

// takeBack cuts off the n bytes of lines that did not fit. Where that fails too, the next line begins behind a torn one.
func (t *TraceFile) takeBack(n int) {
	if n == 0 {
		return
	}
	if end, err := t.file.Seek(0, io.SeekEnd); err == nil {
		_ = t.file.Truncate(end - int64(n))
	}
}

// follow makes the file anew when nothing has its name any more. What another process has made there is left alone.
func (t *TraceFile) follow() error {
	if _, err := os.Stat(t.cfg.Path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	old := t.file
	if err := t.open(os.O_EXCL); err != nil {
		t.file = old
		return err
	}
	return old.Close()
}

// tell logs when writing begins to fail, and when it succeeds again.
func (t *TraceFile) tell(err error) {
	switch {
	case err != nil && !t.failing:
		t.cfg.Log.Warn("the trace file cannot be written", "path", t.cfg.Path, "err", err)
	case err == nil && t.failing:
		t.cfg.Log.Info("the trace file is written again", "path", t.cfg.Path)
	}
	t.failing = err != nil
}

// Close writes what is left. Requests that end later leave no line.
func (t *TraceFile) Close() error {
	close(t.stop)
	<-t.done
	if err := t.file.Close(); err != nil {
		return fmt.Errorf("closing the trace file: %w", err)
	}
	return nil
}

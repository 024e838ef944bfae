package observe_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warmlane/warmlane/gateway/observe"
	"github.com/warmlane/warmlane/tokenize"
)

// tracing is a trace file that is being written.
type tracing struct {
	*observe.TraceFile
	t    *testing.T
	reg  *prometheus.Registry
	path string
	log  bytes.Buffer
	from time.Time
}

func openTrace(t *testing.T, path string) *tracing {
	t.Helper()
	w := &tracing{t: t, reg: prometheus.NewRegistry(), path: path, from: time.Now()}
	f, err := observe.OpenTrace(observe.TraceConfig{Path: path, Log: slog.New(slog.NewTextHandler(&w.log, nil))}, observe.NewMetrics(w.reg))
	if err != nil {
		t.Fatal(err)
	}
	w.TraceFile = f
	return w
}

func (w *tracing) close() {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
}

// put writes a request that came after so long and has these blocks.
func (w *tracing) put(after time.Duration, blocks ...uint64) {
	r := fullRecord()
	r.Time = w.from.Add(after)
	w.Write(&r, &tokenize.Prompt{Bytes: 256*len(blocks) + 7, Tokens: 64*len(blocks) + 2, Blocks: blocks}, "", 0)
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ids returns the hash_ids of each line of a file.
func ids(t *testing.T, path string) [][]uint64 {
	t.Helper()
	var all [][]uint64
	for line := range strings.Lines(text(t, path)) {
		var fields struct {
			IDs []uint64 `json:"hash_ids"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, fields.IDs)
	}
	return all
}

func TestTraceFile_Lines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	synctest.Test(t, func(t *testing.T) {
		w := openTrace(t, path)
		r := fullRecord()
		r.Time = w.from.Add(1234567 * time.Microsecond)
		w.Write(&r, &tokenize.Prompt{Bytes: 3000, Tokens: 790, Blocks: []uint64{7 << 60, 9 << 60}}, "conversation of somebody", 300)

		embedding := observe.NewRecord(w.from.Add(2*time.Second), "id")
		embedding.Family, embedding.Model, embedding.Endpoint, embedding.Total = "embeddings", `a "<b>"`, "http://b:1", 5*time.Millisecond
		embedding.TTFT = 4 * time.Millisecond
		w.Write(&embedding, &tokenize.Prompt{Bytes: 20, Tokens: 6}, "", 0)

		refused := observe.NewRecord(w.from.Add(time.Second), "id")
		refused.Family, refused.Model, refused.Stream, refused.Failure = "chat", "llama3", true, "saturated"
		w.Write(&refused, &tokenize.Prompt{Bytes: 600, Tokens: 150, Blocks: []uint64{7 << 60, 5}}, "conversation of somebody", 3)
		w.close()
		expect(t, w.reg, `
			warmlane_trace_lines_total{outcome="written"} 3
			warmlane_trace_lines_total{outcome="dropped"} 0`)
	})
	want := `{"timestamp":1234,"model":"llama3","input_length":812,"output_length":301,"hash_ids":[0,1],"ttft_ms":41.234,"total_ms":3123.456,"endpoint":"http://10.0.0.1:8000","cached_tokens":768,"input_bytes":3000,"family":"chat","stream":true,"session":0}
{"timestamp":2000,"model":"a \"<b>\"","input_length":6,"output_length":0,"hash_ids":[],"total_ms":5,"endpoint":"http://b:1","input_bytes":20,"family":"embeddings","stream":false}
{"timestamp":1000,"model":"llama3","input_length":150,"output_length":3,"hash_ids":[0,2],"total_ms":0,"input_bytes":600,"family":"chat","stream":true,"session":0,"failure":"saturated"}
`
	if got := text(t, path); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestTraceFile_Scale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	synctest.Test(t, func(t *testing.T) {
		w, err := observe.OpenTrace(observe.TraceConfig{Path: path, Scale: 10, Log: slog.New(slog.DiscardHandler)}, observe.NewMetrics(prometheus.NewRegistry()))
		if err != nil {
			t.Fatal(err)
		}
		r := fullRecord()
		r.Time = time.Now().Add(25 * time.Millisecond)
		w.Write(&r, &tokenize.Prompt{Bytes: 1, Tokens: 1}, "", 0)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := text(t, path); !strings.Contains(got, `"timestamp":250,`) || !strings.Contains(got, `"ttft_ms":412.34,"total_ms":31234.56,`) {
		t.Error(got)
	}
}

func TestTraceFile_TakesWhatItNeedsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	w := openTrace(t, path)
	blocks := []uint64{100, 200, 300}
	for range 50 {
		w.put(0, blocks...)
		blocks[0], blocks[1], blocks[2] = blocks[1], blocks[2], blocks[0]
	}
	w.close()
	got := ids(t, path)
	if len(got) != 50 {
		t.Fatalf("%d lines", len(got))
	}
	for i, line := range got {
		a, b, c := uint64(i%3), uint64((i+1)%3), uint64((i+2)%3)
		if !reflect.DeepEqual(line, []uint64{a, b, c}) {
			t.Fatalf("line %d: %v", i, line)
		}
	}
}

func TestTraceFile_IsWrittenWithinASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	synctest.Test(t, func(t *testing.T) {
		w := openTrace(t, path)
		w.put(0, 1)
		<-time.After(1100 * time.Millisecond)
		synctest.Wait()
		if n := len(ids(t, path)); n != 1 {
			t.Errorf("%d lines after a second", n)
		}
		w.close()
	})
}

func TestTraceFile_EarlierFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trace.jsonl")
	if err := os.WriteFile(path, []byte("of yesterday\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 8, 9, 10, 5e6, time.UTC)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	w := openTrace(t, path)
	w.put(0, 1)
	w.close()
	if got := text(t, filepath.Join(dir, "trace-20261123T080910.005.jsonl")); got != "of yesterday\n" {
		t.Errorf("the earlier file is %q", got)
	}
	if n := len(ids(t, path)); n != 1 {
		t.Errorf("%d lines in the new one", n)
	}
	openTrace(t, filepath.Join(dir, "empty")).close()
	openTrace(t, filepath.Join(dir, "empty")).close()
	if files, _ := filepath.Glob(filepath.Join(dir, "empty*")); len(files) != 1 {
		t.Errorf("an empty file was kept: %v", files)
	}
}

func TestTraceFile_FollowsItsName(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "trace.jsonl"), filepath.Join(dir, "moved")
	synctest.Test(t, func(t *testing.T) {
		w := openTrace(t, path)
		w.put(0, 11, 12)
		<-time.After(1100 * time.Millisecond)
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		w.put(0, 11, 13)
		w.close()
	})
	if first, second := ids(t, moved), ids(t, path); !reflect.DeepEqual(first, [][]uint64{{0, 1}}) || !reflect.DeepEqual(second, [][]uint64{{0, 2}}) {
		t.Errorf("%v, then %v: numbers should go on", first, second)
	}
}

// Two gateways overlap when one takes the other's place: the one that leaves must not write into the other's file.
func TestTraceFile_LeavesAnothersFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	synctest.Test(t, func(t *testing.T) {
		old := openTrace(t, path)
		old.put(0, 1)
		<-time.After(1100 * time.Millisecond)
		young := openTrace(t, path)
		<-time.After(1100 * time.Millisecond)
		old.put(0, 2)
		young.put(0, 3, 4)
		old.close()
		young.close()
	})
	if got := ids(t, path); !reflect.DeepEqual(got, [][]uint64{{0, 1}}) {
		t.Errorf("the new file holds %v", got)
	}
}

func TestTraceFile_FullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	synctest.Test(t, func(t *testing.T) {
		w := openTrace(t, "/dev/full")
		for range 3 {
			w.put(0, 1)
			<-time.After(1100 * time.Millisecond)
		}
		w.close()
		expect(t, w.reg, `
			warmlane_trace_lines_total{outcome="written"} 0
			warmlane_trace_lines_total{outcome="dropped"} 3`)
		if n := strings.Count(w.log.String(), "level=WARN"); n != 1 {
			t.Errorf("said %d times:\n%s", n, w.log.String())
		}
	})
}

// A disk that does not take lines costs requests nothing: what does not fit into the queue is dropped and counted.
func TestTraceFile_SlowDisk(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	w := openTrace(t, filepath.Join("/dev/fd", strconv.Itoa(int(write.Fd()))))
	long := make([]uint64, 4096)
	for range 2000 {
		w.put(0, long...)
	}
	go func() { _, _ = io.Copy(io.Discard, read) }() // ends with the pipe
	w.close()
	_ = write.Close()
	scraped := scrape(t, w.reg)
	if strings.Contains(scraped, `warmlane_trace_lines_total{outcome="dropped"} 0`) || strings.Contains(scraped, `warmlane_trace_lines_total{outcome="written"} 0`) {
		t.Error(family(scraped, "warmlane_trace"))
	}
}

func TestTraceFile_UnwritablePath(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "nowhere", "trace.jsonl"), t.TempDir()} {
		if _, err := observe.OpenTrace(observe.TraceConfig{Path: path}, observe.NewMetrics(prometheus.NewRegistry())); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

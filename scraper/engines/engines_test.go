package engines

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// unknown is a number that the page does not tell.
var unknown = math.NaN()

func TestRead_PagesOfEveryFamily(t *testing.T) {
	for _, c := range []struct {
		file, family string
		want         Sample
	}{
		{"vllm-0.32.0-busy.prom", "vllm", Sample{
			Running: 16, Waiting: 8, KVUse: 0.0880626223091977, KVTokens: 16384, Queries: 14257, Hits: 9024, Started: unix(1795534663, 680),
		}},
		{"vllm-0.32.0-idle.prom", "vllm", Sample{
			Running: 0, Waiting: 0, KVUse: 0, KVTokens: 1048576, Queries: 203, Hits: 0, Started: unix(1795534004, 330),
		}},
		// V0: swapped requests wait too; the cache tells a rate only.
		{"vllm-0.6.prom", "vllm", Sample{
			Running: 7, Waiting: 5, KVUse: 0.5, KVTokens: 16 * 7449, Queries: unknown, Hits: unknown, Started: unix(1730000000, 0),
		}},
		{"vllm-0.8.prom", "vllm", Sample{Running: 1, Waiting: 0, KVUse: 0.125, KVTokens: 16000, Queries: 400, Hits: 100}},
		// Two data-parallel ranks, old and new names side by side.
		{"vllm-0.10-dp2.prom", "vllm", Sample{Running: 7, Waiting: 9, KVUse: 0.75, KVTokens: 4800, Queries: 2501000, Hits: 1500600}},
		// Tensor ranks repeat each other, data ranks add up, rows of single priorities are part of the total.
		{"sglang-tp2-dp2-priority.prom", "sglang", Sample{
			Running: 7, Waiting: 4, KVUse: 0.61, KVTokens: 800000, Queries: 8000, Hits: 5500, Started: unix(1788123456, 500),
		}},
		{"sglang-underscore.prom", "sglang", Sample{Running: 2, Waiting: 1, KVUse: 0.25, KVTokens: 64000, Queries: 300, Hits: 200}},
		{"llamacpp-b11434-busy.prom", "llamacpp", Sample{Running: 4, Waiting: 0, KVUse: unknown, Queries: 3927 + 8477, Hits: 8477}},
		{"tgi-3.prom", "tgi", Sample{Running: 12, Waiting: 3, KVUse: unknown, Queries: unknown, Hits: unknown}},
		{"trtllm.prom", "trtllm", Sample{
			Running: 6, Waiting: 1, KVUse: 0.62, KVTokens: 160000, Queries: 3200, Hits: 2560, Started: unix(1780000000, 0),
		}},
		{"lmdeploy.prom", "lmdeploy", Sample{Running: 8, Waiting: 3, KVUse: 0.34, Queries: unknown, Hits: unknown}},
	} {
		t.Run(c.file, func(t *testing.T) {
			text := readFile(t, c.file)
			table := Detect(text)
			if table == nil || table.Family != c.family {
				t.Fatalf("Detect = %v, want family %s", table, c.family)
			}
			got, err := Parse(table, text)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, got, c.want)
		})
	}
}

func TestRead_DetailsOfVLLM(t *testing.T) {
	f := func(name, text string, want Sample) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			got, err := Parse(vllm(), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			expect(t, got, want)
		})
	}
	nothing := Sample{Running: unknown, Waiting: unknown, KVUse: unknown, Queries: unknown, Hits: unknown}
	with := func(change func(*Sample)) Sample { s := nothing; change(&s); return s }

	f("deferred requests do not count as waiting", `
vllm:num_requests_waiting{engine="0"} 12
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 2
vllm:num_requests_waiting_by_reason{engine="0",reason="deferred"} 10
`, with(func(s *Sample) { s.Waiting = 2 }))
	f("counters without the suffix", "vllm:prefix_cache_queries 10\nvllm:prefix_cache_hits 4\n",
		with(func(s *Sample) { s.Queries, s.Hits = 10, 4 }))
	f("no size when every way to tell it is None",
		`vllm:num_requests_running 0
vllm:cache_config_info{block_size="16",kv_cache_size_tokens="None",num_gpu_blocks="None"} 1
`, with(func(s *Sample) { s.Running = 0 }))
	f("size from blocks when the token label is None",
		`vllm:cache_config_info{block_size="16",kv_cache_size_tokens="None",num_gpu_blocks="10"} 1
`, with(func(s *Sample) { s.KVTokens = 160 }))
	f("nonsense is unknown", `vllm:num_requests_running -1
vllm:num_requests_waiting NaN
vllm:kv_cache_usage_perc 37.5
vllm:prefix_cache_queries_total +Inf
vllm:prefix_cache_hits_total 1
process_start_time_seconds -5
vllm:cache_config_info{block_size="1e30",num_gpu_blocks="1e30"} 1
`, with(func(s *Sample) { s.Hits = 1 }))
	f("time stamps, blanks and line ends of any kind",
		"  vllm:num_requests_running{engine=\"0\",} 3 1795534663680\r\n\r\n\tvllm:num_requests_waiting 4",
		with(func(s *Sample) { s.Running, s.Waiting = 3, 4 }))
	f("metrics with longer names are others",
		"vllm:num_requests_running_now 9\nvllm:num_requests_running 1\nxvllm:num_requests_running 9\n",
		with(func(s *Sample) { s.Running = 1 }))
	f("broken lines of other metrics do no harm",
		"vllm:other{ 1\nnonsense\n{\"vllm:quoted\"} 1\nvllm:num_requests_running 1\n",
		with(func(s *Sample) { s.Running = 1 }))
}

func TestRead_RefusesPagesThatTellNothing(t *testing.T) {
	for name, text := range map[string]string{
		"empty":               "",
		"another engine":      "sglang:num_running_reqs 1\n",
		"only the process":    "process_start_time_seconds 1.7e9\n",
		"JSON":                `[{"iter": 1, "kvCacheStats": {}}]`,
		"HTML":                "<html><body>404</body></html>",
		"broken line":         "vllm:num_requests_running{engine=\"0\" 1\n",
		"no value":            "vllm:num_requests_running \n",
		"only nonsense":       "vllm:num_requests_running -3\n",
		"comment of a metric": "# vllm:num_requests_running 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Parse(vllm(), []byte(text)); err == nil {
				t.Errorf("read as %+v, want an error", s)
			}
		})
	}
}

// A Reader that has seen a page keeps nothing of it for the next.
func TestReadRanks_SplitsThePageByRank(t *testing.T) {
	for _, c := range []struct {
		name, family string
		text         string
		want         []Sample
	}{
		{"vllm", "vllm", `process_start_time_seconds 50
vllm:num_requests_running{engine="0",model_name="m"} 16
vllm:num_requests_running{engine="1",model_name="m"} 0
vllm:num_requests_waiting{engine="0",model_name="m"} 12
vllm:num_requests_waiting{engine="1",model_name="m"} 0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.75
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.25
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 100
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 10
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="200"} 1
`, []Sample{
			{Running: 16, Waiting: 12, KVUse: 0.75, KVTokens: 1600, Queries: 100, Hits: unknown, Started: unix(50, 0)},
			{Running: 0, Waiting: 0, KVUse: 0.25, KVTokens: 3200, Queries: 10, Hits: unknown, Started: unix(50, 0)},
			{Running: unknown, Waiting: unknown, KVUse: unknown, Queries: unknown, Hits: unknown, Started: unix(50, 0)},
		}},
		{"sglang", "sglang", string(readFile(t, "sglang-tp2-dp2-priority.prom")), []Sample{
			{Running: 5, Waiting: 1, KVUse: 0.28, KVTokens: 400000, Queries: unknown, Hits: unknown, Started: unix(1788123456, 500)},
			{Running: 2, Waiting: 3, KVUse: 0.61, KVTokens: 400000, Queries: unknown, Hits: unknown, Started: unix(1788123456, 500)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := Lookup(c.family)
			if err != nil {
				t.Fatal(err)
			}
			r := NewReader()
			for range 2 { // the second time from the kept KV size
				got, err := r.ReadRanks(table, []byte(c.text), len(c.want))
				if err != nil || len(got) != len(c.want) {
					t.Fatalf("read %d samples, %v", len(got), err)
				}
				for i := range got {
					expect(t, got[i], c.want[i])
				}
			}
			whole, err := r.Read(table, []byte(c.text))
			if sum := c.want[0].KVTokens + c.want[1].KVTokens; err != nil || whole.KVTokens != sum {
				t.Errorf("the whole engine has %d tokens of KV memory, %v, want %d", whole.KVTokens, err, sum)
			}
		})
	}
}

func TestReadRanks_RefusesPagesWithoutRanks(t *testing.T) {
	for _, c := range []struct{ family, text string }{
		{"vllm", "vllm:num_requests_running{model_name=\"m\"} 3\nprocess_start_time_seconds 50\n"},
		{"tgi", "tgi_batch_current_size 3\n"},
	} {
		table, err := Lookup(c.family)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := NewReader().ReadRanks(table, []byte(c.text), 2); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: read %+v, %v", c.text, got, err)
		}
	}
}

func TestReader_PagesDoNotMix(t *testing.T) {
	r := NewReader()
	if _, err := r.Read(vllm(), readFile(t, "vllm-0.32.0-busy.prom")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(vllm(), []byte("vllm:num_requests_running{")); err == nil {
		t.Fatal("a cut page was read")
	}
	got, err := r.Read(vllm(), []byte("vllm:num_requests_running 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, Sample{Running: 1, Waiting: unknown, KVUse: unknown, Queries: unknown, Hits: unknown})
}

func TestDetect_PassesOverWhatIsNoEngine(t *testing.T) {
	for _, text := range []string{"", "python_info 1\nhttp_requests_total 3\n", "# HELP vllm:x y\n", "vllmx 1\n", "Ollama is running"} {
		if table := Detect([]byte(text)); table != nil {
			t.Errorf("Detect(%q) = %s, want nothing", text, table.Family)
		}
	}
}

func TestLookup_KnowsEveryName(t *testing.T) {
	names := Names()
	want := []string{"auto", "vllm", "sglang", "llamacpp", "tgi", "trtllm", "lmdeploy", "generic"}
	if !slices.Equal(names, want) {
		t.Errorf("Names() = %v, want %v", names, want)
	}
	for _, name := range names {
		table, err := Lookup(name)
		if name == Auto || name == familyGeneric {
			if err == nil {
				t.Errorf("Lookup(%q) gave a table", name)
			}
			continue
		}
		if err != nil || table.Family != name {
			t.Errorf("Lookup(%q) = %v, %v", name, table, err)
		}
	}
	if _, err := Lookup("tensorflow"); err == nil || !strings.Contains(err.Error(), "sglang") {
		t.Errorf("unknown family: error %v does not name the known ones", err)
	}
	if got := Paths(); !reflect.DeepEqual(got, []string{"/metrics", "/prometheus/metrics"}) {
		t.Errorf("Paths() = %v", got)
	}
}

// MindIE names its metrics without a prefix: a case for the generic table.
func TestGeneric_ReadsNamedMetrics(t *testing.T) {
	table, err := Generic(map[string]string{
		"running": "num_requests_running", "waiting": "num_requests_waiting", "kv_use": "npu_cache_usage_perc",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(table, []byte(`num_requests_running{model_name="m"} 3
num_requests_waiting{model_name="m"} 2
npu_cache_usage_perc{model_name="m"} 0.5
npu_prefix_cache_hit_rate{model_name="m"} 0.5
process_start_time_seconds 1700000000
`))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, Sample{Running: 3, Waiting: 2, KVUse: 0.5, Queries: unknown, Hits: unknown, Started: unix(1700000000, 0)})
}

func TestGeneric_RefusesWhatItCannotUse(t *testing.T) {
	for _, names := range []map[string]string{
		nil,
		{"started": "boot_time"},
		{"runing": "x"},
		{"running": ""},
		{"running": "two words"},
		{"running": `x{a="b"}`},
	} {
		if _, err := Generic(names); err == nil {
			t.Errorf("Generic(%v) was accepted", names)
		}
	}
}

func FuzzMetrics(f *testing.F) {
	pages, err := filepath.Glob(filepath.Join("testdata", "*.prom"))
	if err != nil || len(pages) == 0 {
		f.Fatal("no pages to start from", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("vllm:cache_config_info{num_gpu_blocks=\"1e308\",block_size=\"1e308\"} 1"))
	f.Add([]byte("vllm:num_requests_running{a=\"\\\"\xff\"} 0x1p-2"))
	all := append(tables(), must(Generic(map[string]string{"running": "a", "kv_use": "b", "kv_tokens": "c"})))
	f.Fuzz(func(t *testing.T, text []byte) {
		Detect(text)
		r := NewReader()
		for _, table := range all {
			s, err := r.Read(table, text)
			if err != nil {
				continue
			}
			if s.Running < 0 || s.Waiting < 0 || s.KVUse < 0 || s.KVUse > 1 || s.KVTokens < 0 || s.Queries < 0 || s.Hits < 0 ||
				math.IsInf(s.Running, 0) || math.IsInf(s.Waiting, 0) || math.IsInf(s.Queries, 0) || math.IsInf(s.Hits, 0) {
				t.Errorf("%s: impossible values %+v", table.Family, s)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, file := range []string{"vllm-0.32.0-idle.prom", "llamacpp-b11434-busy.prom"} {
		text := readFile(b, file)
		table, r := Detect(text), NewReader()
		b.Run(file, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := r.Read(table, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// expect compares samples; NaN equals NaN.
func expect(t *testing.T, got, want Sample) {
	t.Helper()
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	if !same(got.Running, want.Running) || !same(got.Waiting, want.Waiting) || !same(got.KVUse, want.KVUse) ||
		!same(got.Queries, want.Queries) || !same(got.Hits, want.Hits) || got.KVTokens != want.KVTokens ||
		got.Started.Sub(want.Started).Abs() > time.Millisecond {
		t.Errorf("read\n %+v, want\n %+v", got, want)
	}
}

// unix is a start time with milliseconds.
func unix(seconds, milliseconds int64) time.Time {
	return time.Unix(seconds, milliseconds*int64(time.Millisecond))
}

// readFile returns a page from testdata.
func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// must passes a table that a test knows to be right.
func must(t *Table, err error) *Table {
	if err != nil {
		panic(err)
	}
	return t
}

package observe_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/gateway/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scrape returns the text of a scrape.
func scrape(t testing.TB, reg *prometheus.Registry) string {
	t.Helper()
	var ctx fasthttp.RequestCtx
	observe.ServeMetrics(reg)(&ctx)
	if ctx.Response.StatusCode() != 200 {
		t.Fatalf("a scrape answers %d: %s", ctx.Response.StatusCode(), ctx.Response.Body())
	}
	return string(ctx.Response.Body())
}

// expect checks that the scrape has these lines, and none that begins with one of the others.
func expect(t testing.TB, reg *prometheus.Registry, lines string, absent ...string) {
	t.Helper()
	text := "\n" + scrape(t, reg)
	for want := range strings.Lines(strings.TrimSpace(lines)) {
		if want = strings.TrimSpace(want); !strings.Contains(text, "\n"+want+"\n") {
			name, _, _ := strings.Cut(want, "{")
			t.Errorf("not in the scrape: %s\nthere is\n%s", want, family(text, name))
		}
	}
	for _, a := range absent {
		if strings.Contains(text, "\n"+a) {
			t.Errorf("in the scrape: %s", a)
		}
	}
}

func family(text, name string) string {
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) {
			found.WriteString(line)
		}
	}
	return found.String()
}

func serving() (*prometheus.Registry, *observe.Metrics) {
	reg := prometheus.NewRegistry()
	m := observe.NewMetrics(reg)
	m.Serve([]string{"llama3", "qwen*"}, []string{"llama3", "bailian"}, []string{"per-user"})
	return reg, m
}

func TestMetrics_AnsweredRequest(t *testing.T) {
	reg, m := serving()
	r := fullRecord()
	r.Tries = 3
	m.Began()
	m.Began()
	m.Record(&r)
	lane := m.Lane("llama3", "llama3")
	lane.InterToken(22 * time.Millisecond)
	lane.InterToken(26 * time.Millisecond)
	expect(t, reg, `
		warmlane_requests_total{model="llama3",pool="llama3",status="200"} 1
		warmlane_requests_in_flight 1
		warmlane_retries_total{model="llama3",pool="llama3"} 2
		warmlane_tokens_total{kind="prompt",model="llama3",pool="llama3"} 812
		warmlane_tokens_total{kind="cached",model="llama3",pool="llama3"} 768
		warmlane_tokens_total{kind="output",model="llama3",pool="llama3"} 301
		warmlane_predicted_tokens_total{kind="predicted",model="llama3",of="cached",pool="llama3"} 704
		warmlane_predicted_tokens_total{kind="actual",model="llama3",of="cached",pool="llama3"} 768
		warmlane_predicted_tokens_total{kind="predicted",model="llama3",of="prompt",pool="llama3"} 790
		warmlane_ttft_seconds_bucket{model="llama3",pool="llama3",le="0.025"} 0
		warmlane_ttft_seconds_bucket{model="llama3",pool="llama3",le="0.05"} 1
		warmlane_request_seconds_sum{model="llama3",pool="llama3"} 3.123456
		warmlane_queue_seconds_count{model="llama3",pool="llama3"} 1
		warmlane_inter_token_seconds_bucket{model="llama3",pool="llama3",le="0.025"} 1
		warmlane_inter_token_seconds_count{model="llama3",pool="llama3"} 2
		warmlane_bytes_total{direction="in"} 4211
		warmlane_bytes_total{direction="out"} 51234
		warmlane_failures_total{failure="rate_limited"} 0
		warmlane_limit_refusals_total{enforced="true",limit="per-user"} 0`)
}

func TestMetrics_UnknownIsNotCounted(t *testing.T) {
	reg, m := serving()
	r := observe.NewRecord(time.Now(), "id")
	r.Model, r.Pool, r.Status, r.Tries, r.PredictedCached = "llama3", "llama3", 200, 1, 64
	m.Began()
	m.Record(&r)
	expect(t, reg, `
		warmlane_tokens_total{kind="prompt",model="llama3",pool="llama3"} 0
		warmlane_predicted_tokens_total{kind="predicted",model="llama3",of="cached",pool="llama3"} 0
		warmlane_ttft_seconds_count{model="llama3",pool="llama3"} 0
		warmlane_request_seconds_count{model="llama3",pool="llama3"} 1`)
}

func TestMetrics_Failures(t *testing.T) {
	reg, m := serving()
	refused := observe.NewRecord(time.Now(), "id")
	refused.Model, refused.Status, refused.Failure = "llama3", 429, failure.RateLimited.String()
	gone := observe.NewRecord(time.Now(), "id")
	gone.Failure, gone.Status = failure.ClientGone.String(), 0
	odd := observe.NewRecord(time.Now(), "id")
	odd.Failure, odd.Status = "something else", 200
	for _, r := range []observe.Record{refused, gone, odd} {
		m.Began()
		m.Record(&r)
	}
	m.LimitRefused("per-user", true)
	m.LimitRefused("long gone", false)
	expect(t, reg, `
		warmlane_requests_total{model="llama3",pool="none",status="429"} 1
		warmlane_requests_total{model="none",pool="none",status="none"} 1
		warmlane_failures_total{failure="rate_limited"} 1
		warmlane_failures_total{failure="client_gone"} 1
		warmlane_failures_total{failure="other"} 1
		warmlane_request_seconds_count{model="llama3",pool="none"} 0
		warmlane_requests_in_flight 0
		warmlane_limit_refusals_total{enforced="true",limit="per-user"} 1
		warmlane_limit_refusals_total{enforced="false",limit="other"} 1`)
}

func TestMetrics_CallersMakeNoLabels(t *testing.T) {
	reg, m := serving()
	for i := range 1000 {
		r := observe.NewRecord(time.Now(), "id")
		r.Model, r.Pool, r.Status, r.Failure = fmt.Sprintf("model-%d", i), fmt.Sprintf("pool-%d", i), 100000+i, fmt.Sprint(i)
		m.Began()
		m.Record(&r)
	}
	r := fullRecord()
	r.Model, r.Pool = "qwen2.5-7b", "bailian"
	m.Began()
	m.Record(&r)
	expect(t, reg, `
		warmlane_requests_total{model="other",pool="other",status="none"} 1000
		warmlane_requests_total{model="qwen*",pool="bailian",status="200"} 1`)
	if n, err := testutil.GatherAndCount(reg, "warmlane_requests_total", "warmlane_tokens_total"); err != nil || n != 2+2*3 {
		t.Errorf("%d series (%v), want 8", n, err)
	}
}

func TestMetrics_ReloadChangesLabels(t *testing.T) {
	reg, m := serving()
	record := func(model string) {
		r := observe.NewRecord(time.Now(), "id")
		r.Model, r.Status = model, 200
		m.Began()
		m.Record(&r)
	}
	record("llama3")
	record("new")
	m.Serve([]string{"new"}, nil, nil)
	record("llama3")
	record("new")
	expect(t, reg, `
		warmlane_requests_total{model="llama3",pool="none",status="200"} 1
		warmlane_requests_total{model="new",pool="none",status="200"} 1
		warmlane_requests_total{model="other",pool="none",status="200"} 2`)
}

// The series of pools that a reload has taken away vanish; a request of theirs that ends later is one of another pool.
func TestMetrics_ReloadForgetsPools(t *testing.T) {
	reg, m := serving()
	record := func(pool string) {
		r := observe.NewRecord(time.Now(), "id")
		r.Model, r.Pool, r.Status, r.Tries = "llama3", pool, 200, 1
		m.Began()
		m.Record(&r)
	}
	record("llama3")
	record("bailian")
	m.LimitRefused("per-user", true)
	m.Serve([]string{"llama3"}, []string{"llama3"}, nil)
	record("bailian")
	expect(t, reg, `
		warmlane_requests_total{model="llama3",pool="llama3",status="200"} 1
		warmlane_requests_total{model="llama3",pool="other",status="200"} 1`)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if l.GetValue() == "bailian" || l.GetValue() == "per-user" {
					t.Errorf("%s still has a series of %s", f.GetName(), l.GetValue())
				}
			}
		}
	}
}

func TestMetrics_Redis(t *testing.T) {
	reg, m := serving()
	expect(t, reg, "", "warmlane_redis_up")
	m.RedisUp(true)
	expect(t, reg, "warmlane_redis_up 1")
	m.RedisUp(false)
	expect(t, reg, "warmlane_redis_up 0")
}

func TestMetrics_Endpoints(t *testing.T) {
	reg, m := serving()
	known := observe.EndpointGauge{
		Pool: "llama3", URL: "http://a:1", State: "ejected",
		InFlight: 5, Decoding: 3, Prefill: 900, Context: 7000, Sent: 77, Endings: map[string]uint64{"reset": 4},
		StepBase: 0.012, StepToken: math.NaN(), PrefillRate: 4200, FirstFloor: 0.03, Trust: 0.9, Blocks: 40, BlockBudget: 3900,
		Foreign: 2.5, Running: 6, Waiting: 1, KVUse: math.NaN(), ScrapeAge: 700 * time.Millisecond, Ejections: 2,
	}
	stale := observe.EndpointGauge{Pool: "llama3", URL: "http://b:1", State: "new word", Running: math.NaN(), ScrapeAge: -1}
	m.Endpoints(func() []observe.EndpointGauge { return []observe.EndpointGauge{known, stale} })
	m.Build("v0.1.0")
	a := func(name string) string { return "warmlane_endpoint_" + name + `{endpoint="http://a:1",pool="llama3"` }
	expect(t, reg, strings.Join([]string{
		a("requests") + "} 5", a("decoding_requests") + "} 3", a("pending_prompt_tokens") + "} 900", a("context_tokens") + "} 7000",
		a("sent_total") + "} 77", a("step_seconds") + "} 0.012", a("prefill_tokens_per_second") + "} 4200",
		a("first_token_floor_seconds") + "} 0.03", a("index_trust") + "} 0.9", a("index_blocks") + "} 40",
		a("index_budget_blocks") + "} 3900", a("ejections_total") + "} 2", a("engine_running_requests") + "} 6",
		a("foreign_requests") + "} 2.5",
		a("engine_waiting_requests") + "} 1", a("scrape_age_seconds") + "} 0.7",
		a("state") + `,state="ejected"} 1`, a("state") + `,state="serving"} 0`,
		`warmlane_endpoint_attempts_ended_total{cause="reset",endpoint="http://a:1",pool="llama3"} 4`,
		`warmlane_endpoint_state{endpoint="http://b:1",pool="llama3",state="new word"} 1`,
		`warmlane_build_info{version="v0.1.0"} 1`,
	}, "\n"),
		a("step_seconds_per_context_token"), a("engine_kv_use"), // not known
		`warmlane_endpoint_engine_running_requests{endpoint="http://b:1"`, `warmlane_endpoint_scrape_age_seconds{endpoint="http://b:1"`,
	)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "warmlane_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestMetrics_Pools(t *testing.T) {
	reg, m := serving()
	m.Pools(func() []observe.PoolGauge {
		return []observe.PoolGauge{{Pool: "llama3", Answer: 210.5, Prompt: 1900, Uncached: 300, IndexBytes: 5_000_000}}
	})
	expect(t, reg, `warmlane_pool_answer_tokens{pool="llama3"} 210.5
warmlane_pool_prompt_tokens{pool="llama3"} 1900
warmlane_pool_uncached_tokens{pool="llama3"} 300
warmlane_pool_index_bytes{pool="llama3"} 5e+06`)
}

func TestMetrics_ScrapeHasTheProcess(t *testing.T) {
	reg, _ := serving()
	text := scrape(t, reg)
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no %s in the scrape", name)
		}
	}
}

func TestServeMetrics_Forms(t *testing.T) {
	reg, _ := serving()
	f := func(accept, wantType, wantEnd string) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.Set("Accept", accept)
		observe.ServeMetrics(reg)(&ctx)
		if got := string(ctx.Response.Header.ContentType()); !strings.HasPrefix(got, wantType) {
			t.Errorf("Accept %q: content type %s, want %s", accept, got, wantType)
		}
		if !strings.HasSuffix(string(ctx.Response.Body()), wantEnd) {
			t.Errorf("Accept %q: the text does not end with %q", accept, wantEnd)
		}
	}
	f("", "text/plain; version=0.0.4", "\n")
	f("text/html", "text/plain; version=0.0.4", "\n")
	f("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# EOF\n")
}

func TestServeMetrics_TellsWhatFails(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := observe.NewMetrics(reg)
	m.Endpoints(func() []observe.EndpointGauge { // twice the same endpoint
		return []observe.EndpointGauge{{Pool: "p"}, {Pool: "p"}}
	})
	var ctx fasthttp.RequestCtx
	observe.ServeMetrics(reg)(&ctx)
	if ctx.Response.StatusCode() != 500 || !strings.Contains(string(ctx.Response.Body()), "warmlane_endpoint_") {
		t.Errorf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
	}
}

func TestMetrics_ConcurrentUse(t *testing.T) {
	reg, m := serving()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				r := fullRecord()
				r.Status = 200 + i%50
				m.Began()
				m.Lane(r.Model, r.Pool).InterToken(time.Millisecond)
				m.Record(&r)
				if i%50 == 0 {
					m.Serve([]string{"llama3"}, []string{"llama3"}, nil)
				}
			}
		})
	}
	all.Go(func() {
		for range 5 {
			scrape(t, reg)
		}
	})
	all.Wait()
	expect(t, reg, `warmlane_inter_token_seconds_count{model="llama3",pool="llama3"} 1600
		warmlane_requests_in_flight 0`)
}

package engine_test

import (
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/warmlane/warmlane/bench/engine"
)

func scrape(t *testing.T, s *engine.Server) map[string]*dto.MetricFamily {
	t.Helper()
	status, body := get(t, s, "/metrics")
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("the page does not parse: %v", err)
	}
	return families
}

func first(t *testing.T, families map[string]*dto.MetricFamily, name string) *dto.Metric {
	t.Helper()
	f, ok := families[name]
	if !ok {
		t.Fatalf("no family %s", name)
	}
	return f.GetMetric()[0]
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func TestMetrics_VLLM(t *testing.T) {
	s := start(t, engine.Config{Blocks: 1900})
	body := object{"messages": []object{user(engine.Text(1, 100))}, "max_tokens": 20, "ignore_eos": true}
	one := complete(t, s, "/v1/chat/completions", body)
	two := complete(t, s, "/v1/chat/completions", body)
	families := scrape(t, s)
	prompt := float64(one.Usage.PromptTokens + two.Usage.PromptTokens)
	for name, want := range map[string]float64{
		"vllm:prefix_cache_queries_total": prompt,
		"vllm:prefix_cache_hits_total":    float64(two.Usage.PromptTokensDetails.CachedTokens),
		"vllm:prompt_tokens_total":        prompt,
		"vllm:generation_tokens_total":    40,
		"vllm:num_preemptions_total":      0,
	} {
		m := first(t, families, name)
		if got := m.GetCounter().GetValue(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
		if label(m, "engine") != "0" || label(m, "model_name") != "llama3" {
			t.Errorf("%s has labels %v", name, m.GetLabel())
		}
	}
	for _, name := range []string{"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"} {
		if got := first(t, families, name).GetGauge().GetValue(); got != 0 {
			t.Errorf("%s is %v when idle, want 0", name, got)
		}
	}
	for name, want := range map[string]uint64{
		"vllm:time_to_first_token_seconds": 2, "vllm:e2e_request_latency_seconds": 2, "vllm:inter_token_latency_seconds": 38, "vllm:request_queue_time_seconds": 2,
	} {
		if got := first(t, families, name).GetHistogram().GetSampleCount(); got != want {
			t.Errorf("%s counts %d, want %d", name, got, want)
		}
	}
	info := first(t, families, "vllm:cache_config_info")
	if label(info, "num_gpu_blocks") != "1900" || label(info, "block_size") != "16" || label(info, "kv_cache_size_tokens") != "30400" {
		t.Errorf("cache config has labels %v", info.GetLabel())
	}
	if first(t, families, "process_start_time_seconds").GetGauge().GetValue() < 1e9 {
		t.Error("no start time")
	}
}

func TestMetrics_ShowRunningAndWaiting(t *testing.T) {
	s := start(t, engine.Config{TimeScale: 1, MaxSeqs: 2})
	for range 3 {
		open(t, s, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":2000,"ignore_eos":true,"stream":true}`)
	}
	eventually(t, "two run and one waits", func() bool {
		families := scrape(t, s)
		return first(t, families, "vllm:num_requests_running").GetGauge().GetValue() == 2 &&
			first(t, families, "vllm:num_requests_waiting").GetGauge().GetValue() == 1 &&
			first(t, families, "vllm:kv_cache_usage_perc").GetGauge().GetValue() > 0
	})
	if _, body := get(t, s, "/load"); body != `{"server_load":3}` {
		t.Errorf("load %s, want 3", body)
	}
}

func TestMetrics_SGLang(t *testing.T) {
	s := start(t, engine.Config{Dialect: engine.SGLang})
	complete(t, s, "/v1/chat/completions", object{"messages": []object{user("hi")}, "max_tokens": 20, "ignore_eos": true})
	families := scrape(t, s)
	if got := first(t, families, "sglang:generation_tokens_total").GetCounter().GetValue(); got != 20 {
		t.Errorf("generation tokens %v, want 20", got)
	}
	for _, name := range []string{"sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage", "sglang:cached_tokens_total", "sglang:max_total_num_tokens"} {
		first(t, families, name)
	}
	if status, body := get(t, s, "/v1/loads"); status != 200 || !strings.Contains(body, `"num_running_reqs":0`) {
		t.Errorf("/v1/loads: %d %s", status, body)
	}
}

func TestLag_IsMeasuredAndSmall(t *testing.T) {
	s := start(t, engine.Config{TimeScale: 1})
	resp := send(t, s, "/v1/chat/completions", object{"messages": []object{user("hi")}, "max_tokens": 20, "ignore_eos": true, "stream": true})
	events(t, resp.Body)
	resp.Body.Close()
	lag := s.Lag()
	if lag.Events != 2 || lag.Scheduled <= 0 || lag.Late < 0 {
		t.Errorf("lag %+v, want two events with a schedule", lag)
	}
	t.Logf("lag %.2f %%, worst %v", 100*lag.Share(), lag.Worst)
}

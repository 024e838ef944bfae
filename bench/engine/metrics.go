package engine

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// handleMetrics writes the engine's figures in Prometheus' text form, under the dialect's names. As with a real
// engine the gauges are those of the last step: what arrived since is not in them.
func (l *life) handleMetrics(ctx *fasthttp.RequestCtx) {
	l.mu.Lock()
	stats, gauges := l.core.Stats(), l.gauges
	l.mu.Unlock()
	var page metricsPage
	if l.s.cfg.Dialect == SGLang {
		page.labels = fmt.Sprintf(`engine_type="unified",model_name=%q,moe_ep_rank="0",pp_rank="0",tp_rank="0"`, l.s.cfg.Model)
		l.sglangMetrics(&page, &stats, gauges)
	} else {
		page.labels = fmt.Sprintf(`engine="0",model_name=%q`, l.s.cfg.Model)
		l.vllmMetrics(&page, &stats, gauges)
	}
	ctx.SetContentType("text/plain; version=1.0.0; charset=utf-8")
	ctx.SetBody(page.Bytes())
}

// metricsPage writes families of samples.
type metricsPage struct {
	bytes.Buffer
	labels string // of every sample, already in the text form
}

// family opens a family; samples go by sample.
func (p *metricsPage) family(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one sample; more are labels beside the common ones.
func (p *metricsPage) sample(name, more string, value float64) {
	labels := p.labels
	if more != "" {
		labels += "," + more
	}
	fmt.Fprintf(p, "%s{%s} %s\n", name, labels, number(value))
}

func (p *metricsPage) gauge(name, help string, value float64) {
	p.family(name, "gauge", help)
	p.sample(name, "", value)
}

func (p *metricsPage) counter(name, help string, value uint64) {
	p.family(name, "counter", help)
	p.sample(name, "", float64(value))
}

func (p *metricsPage) histogram(name, help string, h *Histogram) {
	p.family(name, "histogram", help)
	var sum uint64
	for i, n := range h.Counts {
		sum += n
		bound := "+Inf"
		if i < len(h.Bounds) {
			bound = number(h.Bounds[i])
		}
		p.sample(name+"_bucket", `le="`+bound+`"`, float64(sum))
	}
	p.sample(name+"_count", "", float64(h.Count))
	p.sample(name+"_sum", "", h.Sum)
}

// number formats as Python's client does: a whole number has ".0".
func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if strings.ContainsAny(text, ".en") {
		return text
	}
	return text + ".0"
}

func (l *life) vllmMetrics(p *metricsPage, s *Stats, g Counters) {
	start := float64(l.started.UnixMilli()) / 1000
	p.WriteString("# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n# TYPE process_start_time_seconds gauge\n")
	fmt.Fprintf(p, "process_start_time_seconds %s\n", number(start))
	p.gauge("vllm:num_requests_running", "Number of requests in model execution batches.", float64(g.Running))
	p.gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", float64(g.Waiting))
	p.family("vllm:num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.")
	p.sample("vllm:num_requests_waiting_by_reason", `reason="capacity"`, float64(g.Waiting))
	p.sample("vllm:num_requests_waiting_by_reason", `reason="deferred"`, 0)
	p.gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", g.KVUse)
	p.counter("vllm:prefix_cache_queries_total", "Prefix cache queries, in terms of number of queried tokens.", s.Queries)
	p.counter("vllm:prefix_cache_hits_total", "Prefix cache hits, in terms of number of cached tokens.", s.Hits)
	p.counter("vllm:num_preemptions_total", "Cumulative number of preemption from the engine.", s.Preemptions)
	p.counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.", s.PromptTokens)
	p.family("vllm:prompt_tokens_by_source_total", "counter", "Number of prompt tokens by source.")
	p.sample("vllm:prompt_tokens_by_source_total", `source="local_compute"`, float64(s.Queries-s.Hits))
	p.sample("vllm:prompt_tokens_by_source_total", `source="local_cache_hit"`, float64(s.Hits))
	p.counter("vllm:prompt_tokens_cached_total", "Number of cached prompt tokens (local + external).", s.Hits)
	p.counter("vllm:generation_tokens_total", "Number of generation tokens processed.", s.GenerationTokens)
	p.family("vllm:request_success_total", "counter", "Count of successfully processed requests.")
	for _, reason := range []string{"stop", "length", "abort", "error", "repetition"} {
		n := uint64(0)
		switch reason {
		case "stop":
			n = s.Succeeded - l.lengthEnds.Load()
		case "length":
			n = l.lengthEnds.Load()
		}
		p.sample("vllm:request_success_total", `finished_reason="`+reason+`"`, float64(n))
	}
	l.admissionMetrics(p)
	l.vllmHistograms(p, s)
	l.cacheConfig(p)
}

// admissionMetrics writes the one family that has no engine label.
func (l *life) admissionMetrics(p *metricsPage) {
	p.family("vllm:admission_rejections_total", "counter", "Number of admission attempts rejected by a queue limit, by reason.")
	fmt.Fprintf(p, "vllm:admission_rejections_total{model_name=%q,reason=\"max_num_queued_reqs\"} %s\n", l.s.cfg.Model, number(float64(l.rejected.Load())))
	fmt.Fprintf(p, "vllm:admission_rejections_total{model_name=%q,reason=\"max_num_queued_tokens\"} 0.0\n", l.s.cfg.Model)
}

func (l *life) vllmHistograms(p *metricsPage, s *Stats) {
	for _, f := range []struct {
		name, help string
		h          *Histogram
	}{
		{"request_prompt_tokens", "Number of prefill tokens processed.", &s.PromptLength},
		{"request_generation_tokens", "Number of generation tokens processed.", &s.OutputLength},
		{"iteration_tokens_total", "Histogram of number of tokens per engine_step.", &s.Iteration},
		{"time_to_first_token_seconds", "Histogram of time to first token in seconds.", &s.TTFT},
		{"inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", &s.ITL},
		{"request_time_per_output_token_seconds", "Histogram of time_per_output_token_seconds per request.", &s.PerToken},
		{"e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", &s.E2E},
		{"request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", &s.QueueTime},
		{"request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", &s.Inference},
		{"request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", &s.Prefill},
		{"request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", &s.Decode},
		{"request_prefill_kv_computed_tokens", "Histogram of new KV tokens computed during prefill (excluding cached tokens).", &s.Computed},
	} {
		p.histogram("vllm:"+f.name, f.help, f.h)
	}
}

// cacheConfig writes the info series that tells the size of the KV cache.
func (l *life) cacheConfig(p *metricsPage) {
	blocks := l.s.cfg.Blocks
	p.family("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig")
	fmt.Fprintf(p, `vllm:cache_config_info{block_size="16",cache_dtype="auto",effective_attention_block_size="16",enable_prefix_caching="True",engine="0",`+
		`gpu_memory_utilization="0.9",hash_block_size="None",kv_cache_max_concurrency="%s",kv_cache_size_tokens="%d",num_cpu_blocks="None",`+
		`num_gpu_blocks="%d",prefix_caching_hash_algo="sha256",prefix_match_unit="None",sliding_window="None"} 1.0`+"\n",
		number(float64(blocks*16)/float64(l.s.cfg.MaxModelLen)), blocks*16, blocks)
}

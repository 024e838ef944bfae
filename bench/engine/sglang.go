package engine

import (
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

// sglangMetrics writes the figures under SGLang's names.
func (l *life) sglangMetrics(p *metricsPage, s *Stats, g Counters) {
	capacity := float64(l.s.cfg.Blocks * 16)
	hitRate := 0.0
	if s.Queries > 0 {
		hitRate = float64(s.Hits) / float64(s.Queries)
	}
	p.WriteString("# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n# TYPE process_start_time_seconds gauge\n")
	fmt.Fprintf(p, "process_start_time_seconds %s\n", number(float64(l.started.UnixMilli())/1000))
	p.gauge("sglang:num_running_reqs", "The number of running requests.", float64(g.Running))
	p.gauge("sglang:num_queue_reqs", "The number of requests in the waiting queue.", float64(g.Waiting))
	p.gauge("sglang:num_grammar_queue_reqs", "The number of requests in the grammar waiting queue.", 0)
	p.gauge("sglang:token_usage", "The token usage.", g.KVUse)
	p.gauge("sglang:full_token_usage", "The token usage for full attention layers.", g.KVUse)
	p.gauge("sglang:num_used_tokens", "The number of used tokens.", g.KVUse*capacity)
	p.gauge("sglang:max_total_num_tokens", "Maximum total number of tokens in the KV cache pool.", capacity)
	p.gauge("sglang:cache_hit_rate", "The prefix cache hit rate.", hitRate)
	p.gauge("sglang:page_size", "The page size.", 16)
	p.gauge("sglang:num_pages", "The number of pages.", float64(l.s.cfg.Blocks))
	p.gauge("sglang:context_len", "The context length.", float64(l.s.cfg.MaxModelLen))
	p.counter("sglang:prompt_tokens_total", "Number of prefill tokens processed.", s.PromptTokens)
	p.counter("sglang:generation_tokens_total", "Number of generation tokens processed.", s.GenerationTokens)
	p.family("sglang:cached_tokens_total", "counter", "Number of cached prompt tokens.")
	p.sample("sglang:cached_tokens_total", `cache_source="device"`, float64(s.Hits))
	p.family("sglang:realtime_tokens_total", "counter", "Total number of tokens processed, by mode.")
	p.sample("sglang:realtime_tokens_total", `mode="prefill_compute"`, float64(s.Queries-s.Hits))
	p.sample("sglang:realtime_tokens_total", `mode="prefill_cache"`, float64(s.Hits))
	p.sample("sglang:realtime_tokens_total", `mode="decode"`, float64(s.GenerationTokens))
	p.counter("sglang:num_requests_total", "Number of requests processed.", s.Succeeded)
	p.counter("sglang:num_aborted_requests_total", "Number of requests aborted.", s.Aborted)
	p.counter("sglang:num_retracted_requests_total", "Number of retracted requests.", s.Preemptions)
	p.histogram("sglang:time_to_first_token_seconds", "Histogram of time to first token in seconds.", &s.TTFT)
	p.histogram("sglang:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", &s.ITL)
	p.histogram("sglang:e2e_request_latency_seconds", "Histogram of end-to-end request latency in seconds.", &s.E2E)
	p.histogram("sglang:queue_time_seconds", "Histogram of queueing time in seconds.", &s.QueueTime)
}

// handleLoads answers SGLang's load paths.
func (l *life) handleLoads(ctx *fasthttp.RequestCtx, path string) {
	l.mu.Lock()
	g := l.gauges
	l.mu.Unlock()
	used, capacity := int(g.KVUse*float64(l.s.cfg.Blocks))*16, l.s.cfg.Blocks*16
	if path == "/get_load" {
		writeJSON(ctx, 200, fmt.Appendf(nil, `[{"dp_rank":0,"num_reqs":%d,"num_waiting_reqs":%d,"num_tokens":%d}]`, g.Running+g.Waiting, g.Waiting, used))
		return
	}
	writeJSON(ctx, 200, fmt.Appendf(nil, `{"timestamp":%q,"version":"0.5.9","dp_rank_count":1,"loads":[{"dp_rank":0,"num_running_reqs":%d,"num_waiting_reqs":%d,`+
		`"num_total_reqs":%d,"num_used_tokens":%d,"max_total_num_tokens":%d,"token_usage":%g}]}`,
		time.Now().UTC().Format(time.RFC3339), g.Running, g.Waiting, g.Running+g.Waiting, used, capacity, g.KVUse))
}

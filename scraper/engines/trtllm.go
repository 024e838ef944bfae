package engines

// trtllm reads trtllm-serve. Its metrics in the Prometheus format are below /prometheus; plain /metrics is JSON of another kind. They need
// return_perf_metrics and enable_iter_perf_stats. The cache counts blocks, of one size for the whole engine.
func trtllm() *Table {
	perBlock := highest("trtllm_kv_cache_tokens_per_block")
	reused := counter("trtllm_kv_cache_reused_blocks")
	return newTable(familyTRTLLM, "/prometheus/metrics", []string{"trtllm_"}, readings{
		running:  sum("trtllm_num_requests_running"),
		waiting:  sum("trtllm_num_requests_waiting"),
		kvUse:    highest("trtllm_kv_cache_utilization"),
		kvTokens: times(sum("trtllm_kv_cache_max_blocks"), perBlock),
		queries:  times(together(reused, counter("trtllm_kv_cache_missed_blocks")), perBlock),
		hits:     times(reused, perBlock),
		started:  sum(processStart),
	})
}

package engines

// vllm reads vLLM from 0.4 on, its V0 and its V1 engine, and what is built on them (vLLM-Ascend).
//
// Rows carry model_name, from 0.9 on also engine, the data-parallel rank. The names changed on the way:
//
//	KV use          gpu_cache_usage_perc until 0.11, kv_cache_usage_perc from 0.9
//	cache counters  gpu_prefix_cache_* in 0.8 to 0.11, prefix_cache_* from 0.9; V0 has only a hit rate, which is not read
//	waiting         num_requests_waiting always; from 0.24 also split by reason, of which "deferred" (adapters, remote KV, grammars) says
//	                nothing about capacity; V0 swaps requests out of the batch and counts them apart
//	KV size         labels of cache_config_info: kv_cache_size_tokens in new releases (right for hybrid models too), else
//	                num_gpu_blocks times block_size; "None" is possible in each
//
// The start is that of the process; servers of several processes do not tell it, nor any other time.
func vllm() *Table {
	t := newTable(familyVLLM, defaultPath, []string{"vllm:"}, readings{
		running: sum("vllm:num_requests_running"),
		waiting: plus(
			first(
				sum("vllm:num_requests_waiting_by_reason", where("reason", "capacity")),
				sum("vllm:num_requests_waiting"),
			),
			sum("vllm:num_requests_swapped"),
		),
		kvUse: first(
			highest("vllm:kv_cache_usage_perc"),
			highest("vllm:gpu_cache_usage_perc"),
		),
		kvTokens: first(
			labels("vllm:cache_config_info", "kv_cache_size_tokens"),
			labels("vllm:cache_config_info", "num_gpu_blocks", "block_size"),
		),
		queries: first(counter("vllm:prefix_cache_queries"), counter("vllm:gpu_prefix_cache_queries")),
		hits:    first(counter("vllm:prefix_cache_hits"), counter("vllm:gpu_prefix_cache_hits")),
		started: sum(processStart),
	})
	t.ChecksModel, t.rank = true, "engine"
	return t
}

// processStart is the start of the process in Unix seconds, as client libraries of Prometheus tell it.
const processStart = "process_start_time_seconds"

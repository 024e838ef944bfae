package engines

// sglang reads SGLang, under its own prefix and under the one with an underscore that relabelling pipelines leave.
//
// Scheduler gauges have one row a rank when all schedulers report. Those of one data-parallel rank (tensor, pipeline and expert ranks) work
// on the same batch, each telling all of it; those of different dp_rank add up. With priority scheduling there is a row for each priority
// beside the total, whose priority is empty. Token counters are the tokenizer's: their rows (cache_source, is_streaming) add up, and no
// single rank has any.
//
// Requests of a disaggregated pair that wait for their partner wait as well. token_usage is the fullest of the engine's pools.
func sglang() *Table {
	t := newTable(familySGLang, defaultPath, []string{"sglang:", "sglang_"}, readings{
		running: schedulerGauge("num_running_reqs"),
		waiting: plus(
			schedulerGauge("num_queue_reqs"),
			first(schedulerGauge("num_prefill_bootstrap_queue_reqs"), schedulerGauge("num_prefill_prealloc_queue_reqs")),
			schedulerGauge("num_decode_prealloc_queue_reqs"),
		),
		kvUse: eitherPrefix(func(prefix string) reading { return highest(prefix+"token_usage", totalOfPriorities()) }),
		kvTokens: first(
			schedulerGauge("max_total_num_tokens"),
			times(schedulerGauge("num_pages"), eitherPrefix(func(prefix string) reading { return highest(prefix + "page_size") })),
			eitherPrefix(func(prefix string) reading { return labels(prefix+"cache_config_info", "num_pages", "page_size") }),
		),
		queries: eitherPrefix(func(prefix string) reading { return counter(prefix + "prompt_tokens") }),
		hits:    eitherPrefix(func(prefix string) reading { return counter(prefix + "cached_tokens") }),
		started: sum(processStart),
	})
	t.rank = "dp_rank"
	return t
}

// schedulerGauge adds a gauge of SGLang's schedulers over the data-parallel ranks.
func schedulerGauge(name string) reading {
	return eitherPrefix(func(prefix string) reading { return sumByRank(prefix+name, "dp_rank", totalOfPriorities()) })
}

// totalOfPriorities leaves out the rows of single priorities.
func totalOfPriorities() condition { return where("priority", "") }

// eitherPrefix makes a reading that knows both prefixes.
func eitherPrefix(make func(prefix string) reading) reading {
	return first(make("sglang:"), make("sglang_"))
}

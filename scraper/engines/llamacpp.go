package engines

// llamacpp reads the server of llama.cpp, which shows metrics only when started with --metrics, and to those who bring its API key.
//
// Rows have no labels. prompt_tokens_total leaves out the cached tokens, so a query is the sum of both counters; they move when a request
// ends. Old releases tell the KV use, none its size or the start of the process.
func llamacpp() *Table {
	cached := sum("llamacpp:prompt_tokens_cached_total")
	return newTable(familyLlamaCPP, defaultPath, []string{"llamacpp:"}, readings{
		running: sum("llamacpp:requests_processing"),
		waiting: sum("llamacpp:requests_deferred"),
		kvUse:   sum("llamacpp:kv_cache_usage_ratio"),
		queries: together(sum("llamacpp:prompt_tokens_total"), cached),
		hits:    cached,
	})
}

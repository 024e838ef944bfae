package engines

// lmdeploy reads LMDeploy's api_server. Rows carry model_name and engine, the data-parallel rank. Requests wait in two places: for a free
// handle of the API server and in the engine. The cache tells a hit rate only, which is not read.
func lmdeploy() *Table {
	t := newTable(familyLMDeploy, defaultPath, []string{"lmdeploy:"}, readings{
		running: sum("lmdeploy:num_requests_running"),
		waiting: plus(sum("lmdeploy:num_requests_waiting"), sum("lmdeploy:num_api_requests_waiting")),
		kvUse:   highest("lmdeploy:gpu_cache_usage_perc"),
		started: sum(processStart),
	})
	t.ChecksModel = true
	return t
}

package engines

// tgi reads text-generation-inference, which tells its batch and its queue and nothing about KV memory or caches.
func tgi() *Table {
	return newTable(familyTGI, defaultPath, []string{"tgi_"}, readings{
		running: sum("tgi_batch_current_size"),
		waiting: sum("tgi_queue_size"),
	})
}

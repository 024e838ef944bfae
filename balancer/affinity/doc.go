// Package affinity remembers which endpoint is believed to hold which block of prompt in its cache.
//
// A prompt is a chain of 64-bit hashes, one a block, each over its parent. The index maps a hash to the endpoints
// that hold it, so one walk down a chain tells how deep every endpoint matches. Each endpoint has a budget of blocks,
// kept as an engine keeps its cache: least recently used first, and the tail of a chain before its head.
//
// Cost: a walk or an insertion is linear in the blocks of the chain; a block takes at most 40 bytes and each holding of
// it at most 24 ([Index.Bytes] tells the truth). Memory is bounded by the sum of the budgets. An Index is not safe for
// concurrent use.
package affinity

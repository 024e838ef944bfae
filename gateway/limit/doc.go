// Package limit decides whether a request may pass now.
//
// A limit of N requests a second, minute or hour is a bucket of N that refills evenly: at most 2N-1 requests pass in any window of
// that length (N at once, N-1 more while it refills). All limits that match a request apply and the tightest refuses. A request
// takes from all of its buckets or from none, also under concurrency and also when gateways share the buckets through Redis.
// All arithmetic is in integers, so nothing is lost or won by rounding.
//
// Guarantees when buckets are shared: a call waits for Redis at most RedisConfig.Timeout; the first call that waits in vain
// opens a breaker for all of them, and from then on no call waits until a probe, once a second and off the way of requests, has
// succeeded. Meanwhile each gateway keeps the limits by itself, at half of each rate. What Redis counts is decided by Redis' clock.
//
// Costs: in memory well below a microsecond a bucket and about 200 bytes a bucket, of which there are at most as many as
// NewMemory says; in Redis one script call a request (about 0.2 ms on loopback) and one key a bucket, which expires when the
// bucket is full again.
package limit

// Package limit decides whether a request may pass now, and counts what it used.
//
// A limit of N requests or tokens a second, minute or hour is a bucket of N that refills evenly: at most 2N-1 pass in any window of that length
// (N at once, N-1 more while it refills). N a day, a month or in total are counted by the calendar. All limits that match a request apply and the
// tightest refuses. A request takes from all of its buckets or from none, also under concurrency and also when gateways share the
// buckets through Redis. All arithmetic is in integers, so nothing is lost or won by rounding.
//
// Tokens are reserved before, as many as the prompt's estimate and the expected answer, at most a full bucket, and settled after: what was
// used beyond the reservation makes the bucket's level negative, and those that follow wait. So the settled use is at most
// size + rate x time + what answers exceeded their reservations. In Redis reservations are leased: those of a gateway that died come back
// when the lease runs out. What a request takes it takes once, however many engines are asked; an answer from the cache uses no tokens,
// and where a limit's cached is nothing its request comes back as well.
//
// Guarantees when buckets are shared: a call waits for Redis at most RedisConfig.Timeout; the first call that waits in vain
// opens a breaker for all of them, and from then on no call waits until a probe, once a second and off the way of requests, has
// succeeded. Meanwhile each gateway keeps the limits by itself, at half of each rate, of which it has had what it granted through Redis, and
// what requests use then is counted in Redis once it is back; limits may refuse instead. What Redis counts is decided by Redis' clock, days and months by the gateway's.
//
// Costs: in memory about half a microsecond a bucket and 200 bytes a bucket, of which there are at most as many as
// NewMemory says; in Redis one script call a request (about 0.2 ms on loopback; in a cluster one for each set of values that buckets are told
// apart by, in parallel) and two keys a bucket, which expire when the bucket is full again.
package limit

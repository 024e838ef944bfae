package balancer_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmlane/warmlane/balancer"
	"github.com/warmlane/warmlane/tokenize"
)

// benchFleet is a pool whose endpoints have sessions, load and learned speeds.
func benchFleet(b testing.TB, endpoints, blocks int) (*fleet, []*tokenize.Prompt) {
	b.Helper()
	f := newFleet(b, "warm", endpoints, func(c *balancer.PoolConfig) {
		for i := range c.Endpoints {
			c.Endpoints[i].URL = fmt.Sprintf("http://engine-%d", i)
		}
		c.ProbeIdle = true
	})
	prompts := make([]*tokenize.Prompt, 4*endpoints)
	for i := range prompts { // a tenth of each prompt is shared by a twentieth of the sessions
		prompts[i] = prompt(uint64(i%20), uint64(i), blocks/10, blocks)
		f.answer(f.send(b, prompts[i]))
	}
	for i := range 4 * endpoints { // running load
		l := f.send(b, prompts[i])
		if i%4 != 0 {
			l.FirstToken(f.now)
		}
		f.later(time.Millisecond)
	}
	return f, prompts
}

// BenchmarkChoose is choice and reservation; the end of the lease is not counted.
func BenchmarkChoose(b *testing.B) {
	for _, endpoints := range []int{8, 32, 100, 1000} {
		for _, tokens := range []int{1024, 8192, 32768} {
			b.Run(fmt.Sprintf("endpoints=%d/tokens=%d", endpoints, tokens), func(b *testing.B) {
				f, prompts := benchFleet(b, endpoints, tokens/64)
				benchChoose(b, f, func(i int) *tokenize.Prompt { return prompts[i*7%len(prompts)] })
			})
		}
	}
}

// BenchmarkChooseFresh is the same where of each prompt only the first tenth was ever seen, so that the rest goes into the
// index and displaces others.
func BenchmarkChooseFresh(b *testing.B) {
	for _, endpoints := range []int{32, 100, 1000} {
		b.Run(fmt.Sprintf("endpoints=%d/tokens=8192", endpoints), func(b *testing.B) {
			f, prompts := benchFleet(b, endpoints, 128)
			all := make([]tokenize.Prompt, 64)
			benchChoose(b, f, func(i int) *tokenize.Prompt {
				p, seen := &all[i%64], prompts[i%len(prompts)]
				*p = tokenize.Prompt{Bytes: seen.Bytes, Tokens: seen.Tokens, Blocks: append(p.Blocks[:0], seen.Blocks...)}
				for j := len(p.Blocks) / 10; j < len(p.Blocks); j++ {
					p.Blocks[j] ^= uint64(i+1) * 0x9e3779b97f4a7c15
				}
				return p
			})
		})
	}
}

// benchChoose sends prompts one after another and answers each 64 of them beside the clock.
func benchChoose(b *testing.B, f *fleet, next func(i int) *tokenize.Prompt) {
	b.ReportAllocs()
	leases := make([]*balancer.Lease, 0, 64)
	requests := make([]balancer.Request, 64)
	fill := func(from int) {
		for i := range requests {
			requests[i] = balancer.Request{Prompt: next(from + i)}
		}
	}
	fill(0)
	for i := 0; b.Loop(); i++ {
		l, err := f.Choose(&requests[i%64], f.now)
		if err != nil {
			b.Fatal(err)
		}
		if leases = append(leases, l); len(leases) == 64 {
			b.StopTimer()
			for _, l := range leases {
				f.answer(l)
			}
			leases = leases[:0]
			fill(i + 1)
			b.StartTimer()
		}
	}
}

// live is a whole lease of 50 events.
func live(p *balancer.Pool, prompt *tokenize.Prompt, now time.Time) error {
	l, err := p.Choose(&balancer.Request{Prompt: prompt}, now)
	if err != nil {
		return err
	}
	now = now.Add(time.Millisecond)
	l.FirstToken(now)
	for range 49 {
		now = now.Add(20 * time.Millisecond)
		l.Token(now, 1)
	}
	l.End(done(50), now)
	return nil
}

// liveAt makes lives on one pool by so many goroutines at once.
func liveAt(tb testing.TB, f *fleet, prompts []*tokenize.Prompt, goroutines, lives int) time.Duration {
	tb.Helper()
	var turn atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range goroutines {
		wg.Go(func() {
			for i := turn.Add(1); i <= int64(lives); i = turn.Add(1) {
				if err := live(f.Pool, prompts[int(i)*7%len(prompts)], f.now.Add(time.Duration(i)*time.Millisecond)); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// BenchmarkLife is a whole lease of 50 events, by 1 and by 64 goroutines on one pool.
func BenchmarkLife(b *testing.B) {
	f, prompts := benchFleet(b, 32, 128)
	b.Run("goroutines=1", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := live(f.Pool, prompts[i*7%len(prompts)], f.now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("goroutines=64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
		var turn atomic.Uint64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := live(f.Pool, prompts[turn.Add(1)*7%uint64(len(prompts))], f.now); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkChooseBeside is choice and reservation by 64 goroutines at once, each of which ends its lease.
func BenchmarkChooseBeside(b *testing.B) {
	f, prompts := benchFleet(b, 32, 128)
	b.ReportAllocs()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	var turn atomic.Uint64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := f.Choose(&balancer.Request{Prompt: prompts[turn.Add(1)*7%uint64(len(prompts))]}, f.now)
			if err != nil {
				b.Error(err)
				return
			}
			l.End(ended(balancer.ClientGone), f.now)
		}
	})
}

// The pool's mutex is held for microseconds, so what 64 goroutines get done on one pool does not fall far behind what one does.
// Both are measured in turn, and the best of some rounds counts, as other work on the machine only ever makes it look worse.
func TestPool_ManyGoroutinesDoNotCollapse(t *testing.T) {
	const lives, rounds, least = 1500, 6, 0.25
	f, prompts := benchFleet(t, 32, 128)
	best := 0.0
	for range rounds {
		one := liveAt(t, f, prompts, 1, lives)
		many := liveAt(t, f, prompts, 64, lives)
		if best = max(best, one.Seconds()/many.Seconds()); best >= least {
			break
		}
	}
	t.Logf("64 goroutines do %.2f of what one does", best)
	if best < least {
		t.Errorf("64 goroutines on one pool do %.2f of what one does, want at least %v", best, least)
	}
}

// BenchmarkShare is one exchange of two gateways: ten requests of 8k tokens placed since the last one, exported, and
// merged by the other. Choosing and ending them is not counted.
func BenchmarkShare(b *testing.B) {
	for _, endpoints := range []int{8, 100, 1000} {
		b.Run(fmt.Sprintf("endpoints=%d", endpoints), func(b *testing.B) {
			f, prompts := benchFleet(b, endpoints, 128)
			other, _ := benchFleet(b, endpoints, 128)
			since := f.Export(balancer.Cursor{}, f.now).Until
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				var leases []*balancer.Lease
				for k := range 10 {
					leases = append(leases, f.send(b, prompts[(i*10+k)*7%len(prompts)]))
				}
				b.StartTimer()
				d := f.Export(since, f.now)
				since = d.Until
				if err := other.Merge("f", &d, f.now); err != nil && i > 0 {
					b.Fatal(err)
				}
				b.StopTimer()
				for _, l := range leases {
					f.answer(l)
				}
				b.StartTimer()
			}
		})
	}
}

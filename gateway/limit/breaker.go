package limit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// breaker spares requests the wait for a Redis that does not answer. The first failure opens it for all; a goroutine then
// probes until one probe succeeds. A breaker is closed by close, which waits for that goroutine.
type breaker struct {
	probe   func(context.Context) error
	every   time.Duration
	log     *slog.Logger
	onState func(up bool)

	away    atomic.Bool
	running sync.WaitGroup // the probing goroutine
	ctx     context.Context
	cancel  context.CancelFunc

	mu     sync.Mutex // guards closed, and makes a change of state and its announcement one step
	closed bool
}

func newBreaker(probe func(context.Context) error, every time.Duration, log *slog.Logger, onState func(bool)) *breaker {
	if onState == nil {
		onState = func(bool) {}
	}
	b := &breaker{probe: probe, every: every, log: log, onState: onState}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// open reports whether to leave Redis alone.
func (b *breaker) open() bool { return b.away.Load() }

// begin finds out the first state.
func (b *breaker) begin() {
	if err := b.probe(b.ctx); err != nil {
		b.trip(err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onState(true)
}

// trip opens the breaker after a failure.
func (b *breaker) trip(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.away.Swap(true) {
		return
	}
	b.log.Warn("redis does not answer, limits are kept by each gateway at half of their rates", "err", err)
	b.onState(false)
	b.running.Go(b.probing)
}

// probing probes until Redis answers or the breaker is closed.
func (b *breaker) probing() {
	ticker := time.NewTicker(b.every)
	defer ticker.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-ticker.C:
		}
		if b.probe(b.ctx) == nil {
			b.restore()
			return
		}
	}
}

// restore lets requests ask Redis again.
func (b *breaker) restore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.away.Store(false)
	b.log.Info("redis answers again, limits are shared")
	b.onState(true)
}

// close leaves the breaker open for good.
func (b *breaker) close() {
	b.mu.Lock()
	b.closed = true
	b.away.Store(true)
	b.mu.Unlock()
	b.cancel()
	b.running.Wait()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// endsWithin is how soon a stream of a stopped replica must end, once the engine takes no connections any more.
	endsWithin = 10 * time.Second
	// mostEnding is how long an engine may take for that: the last steps of one that drains are slow on two cores that the other one fills.
	mostEnding = 90 * time.Second
	// laterEvery is the pause between two requests after the stop.
	laterEvery = 250 * time.Millisecond
	// begun is how many events show that a stream is under way.
	begun = 3
)

// stop is a way in which a replica ends.
type stop struct {
	name string
	args []string // of the replica
	kill func(replica) error
}

// stops are the ways that real engines end in. The first one's replica is that of the comparison.
var stops = []stop{
	{name: "SIGTERM", kill: replica.terminate},
	{name: "SIGTERM to one that drains", args: []string{"--shutdown-timeout", "12"}, kill: replica.terminate},
	{name: "kill -9", kill: replica.kill},
}

// terminate asks the server to end.
func (r replica) terminate() error { return syscall.Kill(r.pid, syscall.SIGTERM) }

// kill ends the server and the engine's workers, which are of its session, as the end of a container does.
func (r replica) kill() error { return syscall.Kill(-r.pid, syscall.SIGKILL) }

// cut is what became of streams and later requests when a replica was stopped.
type cut struct {
	stop      stop
	ending    time.Duration // from the stop until the engine took no connections any more
	doomed    int           // streams that the engine ran when it was stopped
	explicit  []*stream     // streams that ended with an explicit error within the time
	wrong     []*stream     // streams that ended in any other way than explicitly or whole
	silent    []*stream     // streams without an event for half the time, at its end
	later     int           // requests begun after the stop
	failed    []error       // those of them that failed
	slowest   time.Duration // of explicit, since the stop
	survivors int           // streams that go on
}

// underLoad opens streams through a gateway, stops the last replica and watches what the clients see.
func (s stop) underLoad(ctx context.Context, o options, dir string, replicas []replica) (c *cut, err error) {
	g, err := serve(ctx, o.binary, dir, "warm", replicas)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	ctx, hangUp := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer hangUp()

	streams, err := openStreams(ctx, &readers, g.url, o.streams)
	if err != nil {
		return nil, err
	}
	victim := replicas[len(replicas)-1]
	count, err := victim.count(ctx)
	if err != nil {
		return nil, err
	}
	if count.running == 0 {
		return nil, fmt.Errorf("none of %d streams went to %s", o.streams, victim.url)
	}
	if err := s.kill(victim); err != nil {
		return nil, fmt.Errorf("stopping %s: %w", victim.url, err)
	}
	stopped := time.Now()
	c = &cut{stop: s, doomed: count.running}
	over := make(chan struct{}) // closed when streams may not go on any more
	var refused error
	readers.Go(func() {
		defer close(over)
		if c.ending, refused = victim.refuses(ctx, stopped); refused != nil {
			return
		}
		select {
		case <-time.After(endsWithin):
		case <-ctx.Done():
		}
	})
	c.later, c.failed = askUntil(ctx, g.url, over)
	if refused != nil {
		return nil, refused
	}
	c.sort(streams, stopped)
	return c, c.judge()
}

// refuses waits until nobody can connect to the replica any more, and tells how long after since that was.
func (r replica) refuses(ctx context.Context, since time.Time) (time.Duration, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	dialer := net.Dialer{Timeout: time.Second}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(r.url, "http://"))
		took := time.Since(since)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, syscall.ECONNREFUSED):
			return took, nil
		case err == nil:
			_ = conn.Close()
		}
		if took > mostEnding {
			return 0, fmt.Errorf("%s still takes connections %v after its stop", r.url, mostEnding)
		}
		<-tick.C
	}
}

// openStreams begins n long answers and waits until each has some events.
func openStreams(ctx context.Context, readers *sync.WaitGroup, url string, n int) ([]*stream, error) {
	streams := make([]*stream, n)
	for i := range streams {
		streams[i] = newStream(i)
		readers.Go(func() { streams[i].read(ctx, url) })
	}
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for _, s := range streams {
		select {
		case <-s.begun:
		case <-s.over:
			return nil, fmt.Errorf("stream %d ended before its time: %s", s.number, s.ending())
		case <-limit.C:
			return nil, fmt.Errorf("stream %d has no %d events after 2 minutes", s.number, begun)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return streams, nil
}

// askUntil makes one small request after the other until over is closed, and tells which failed.
func askUntil(ctx context.Context, url string, over <-chan struct{}) (n int, failed []error) {
	tick := time.NewTicker(laterEvery)
	defer tick.Stop()
	var mu sync.Mutex
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for going := true; going; {
		number := n
		n++
		waiting.Go(func() {
			if err := ask(ctx, url, number); err != nil {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
		})
		select {
		case <-tick.C:
		case <-over:
			going = false
		case <-ctx.Done():
			going = false
		}
	}
	waiting.Wait()
	return n, failed
}

// sort puts each stream to its kind.
func (c *cut) sort(streams []*stream, stopped time.Time) {
	for _, s := range streams {
		state := s.state()
		switch {
		case !state.over && time.Since(state.last) > endsWithin/2:
			c.silent = append(c.silent, s)
		case !state.over:
			c.survivors++
		case state.whole:
			c.survivors++
		case state.explicit && state.last.Sub(stopped) <= c.ending+endsWithin:
			c.explicit = append(c.explicit, s)
			c.slowest = max(c.slowest, state.last.Sub(stopped))
		default:
			c.wrong = append(c.wrong, s)
		}
	}
}

// judge says what is not as promised.
func (c *cut) judge() error {
	var faults []error
	for _, s := range c.wrong {
		faults = append(faults, fmt.Errorf("stream %d ended without a word: %s", s.number, s.ending()))
	}
	for _, s := range c.silent {
		faults = append(faults, fmt.Errorf("stream %d hangs: no event for %v", s.number, time.Since(s.state().last).Round(time.Second)))
	}
	if len(c.explicit) < c.doomed {
		faults = append(faults, fmt.Errorf("%d streams ran on the replica, %d ended with an explicit error", c.doomed, len(c.explicit)))
	}
	if n := len(c.failed); n > 0 {
		faults = append(faults, fmt.Errorf("%d of %d later requests failed, the first with: %w", n, c.later, c.failed[0]))
	}
	return errors.Join(faults...)
}

// String tells the outcome to a person.
func (c *cut) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, one replica with %d streams, which refused connections after %.1f s: %d ended with an explicit error", c.stop.name, c.doomed, c.ending.Seconds(), len(c.explicit))
	if len(c.explicit) > 0 {
		fmt.Fprintf(&b, ", the last after %.1f s (%s)", c.slowest.Seconds(), c.explicit[0].ending())
	}
	fmt.Fprintf(&b, ";\n%d went on at the other one, %d hung, %d ended otherwise; of %d later requests %d failed.\n",
		c.survivors, len(c.silent), len(c.wrong), c.later, len(c.failed))
	return b.String()
}

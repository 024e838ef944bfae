package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// crowded is how many streams come at once: more than one replica and its queue take.
const crowded = 60

// shortQueue has a replica refuse what is beyond its batch. Streams are mostly refused inside an answer of status 200.
var shortQueue = []string{"--max-num-queued-reqs", "4"}

// refused is what became of streams of which a replica refused some.
type refused struct {
	streams, whole int
	twice          int       // streams that were tried more than once
	failed         []*stream // streams that were not answered whole
}

// crowd opens many short streams at once through a gateway that takes the replicas in turn.
func crowd(ctx context.Context, o options, dir string, replicas []replica) (r *refused, err error) {
	g, err := serve(ctx, o.binary, dir, "round_robin", replicas)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	say("%d streams at once, one replica refuses", crowded)
	r = atOnce(ctx, g.url, crowded)
	return r, r.judge()
}

// atOnce opens n short streams and reads them to their ends.
func atOnce(ctx context.Context, url string, n int) *refused {
	streams := make([]*stream, n)
	var readers sync.WaitGroup
	for i := range streams {
		streams[i] = newStream(i)
		streams[i].tokens = 24
		readers.Go(func() { streams[i].read(ctx, url) })
	}
	readers.Wait()
	r := &refused{streams: n}
	for _, s := range streams {
		if s.tries > 1 {
			r.twice++
		}
		if s.state().whole {
			r.whole++
		} else {
			r.failed = append(r.failed, s)
		}
	}
	return r
}

// judge says what is not as promised.
func (r *refused) judge() error {
	var faults []error
	for _, s := range r.failed {
		faults = append(faults, fmt.Errorf("stream %d was not answered whole: %s", s.number, s.ending()))
	}
	if r.twice == 0 {
		faults = append(faults, errors.New("no stream was refused by an engine, so nothing was shown"))
	}
	return errors.Join(faults...)
}

// String tells the outcome to a person.
func (r *refused) String() string {
	return fmt.Sprintf("\n%d streams at once, one replica with a short queue: %d answered whole, of which %d were refused by it first; %d failed.\n",
		r.streams, r.whole, r.twice, len(r.failed))
}

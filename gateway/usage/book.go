package usage

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/warmlane/warmlane/gateway/config"
)

const (
	// FlushEvery is how often counts are saved: what a process that dies loses at most, while its store answers.
	FlushEvery = 5 * time.Second
	// mostRows bounds the combinations of a day that one gateway tells apart. Apps and models are named by callers; those of further
	// combinations count as Other. The rows take 5 to 10 MB at most.
	mostRows = 20_000
	// longestName is how many bytes of an app's or a model's name count.
	longestName = 200
	// atOnce is how many rows are saved in one piece: a millisecond or two of a Redis, for which requests may wait that ask it for limits.
	atOnce = 200
	// patience bounds the wait for a store. No request waits for it.
	patience = 2 * time.Second
)

// Other stands for the apps and models of a day beyond the bound.
const Other = "(other)"

// Options are those of a Book.
type Options struct {
	config.Usage
	Redis config.Redis     // shared store; none = the file, or memory
	Now   func() time.Time // nil = time.Now
	Log   *slog.Logger     // told when counts cannot be saved, and when they can again; nil = none
	Saved func(time.Time)  // called each time that all has been saved; nil = nobody asks
}

// Entry is one request that has ended.
type Entry struct {
	Consumer, App, Model, Target, Route string

	Failed, Cached, Estimated    bool
	Prompt, CachedPrompt, Output int
	Cost                         int64 // millionths of the currency
}

// store keeps counts.
type store interface {
	// add adds a batch, or nothing when it has had it before.
	add(ctx context.Context, b *batch) error
	// read tells all counts of a day, which may come in pieces.
	read(ctx context.Context, day string, each func(Key, *Count)) error
	close() error
}

// batch is what is saved in one piece. Its numbers grow.
type batch struct {
	day    string
	number int64
	rows   []row
}

// row is a combination and what of it is not saved.
type row struct {
	key   Key
	count Count
	dirty bool // it is in Book.dirty
}

// Book counts. It is safe for concurrent use and must be closed.
type Book struct {
	o     Options
	zone  *time.Location
	store store
	stop  chan struct{}
	ended chan struct{}

	mu    sync.Mutex // guards the fields below
	day   string
	from  time.Time // of the day
	until time.Time
	rows  map[Key]*row // of the day, and of earlier ones what is not saved
	dirty []*row

	saving sync.Mutex // held while counts are saved; guards the fields below
	due    []batch    // taken from the rows and not saved yet
	number int64
	away   bool // the store did not answer the last time
}

// Open opens the store and begins to save. A Redis that is away is no error.
func Open(o Options) (*Book, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Saved == nil {
		o.Saved = func(time.Time) {}
	}
	b := &Book{o: o, zone: o.Location(), rows: map[Key]*row{}, stop: make(chan struct{}), ended: make(chan struct{})}
	var err error
	switch {
	case o.Redis.Enabled():
		b.store, err = openRedis(&o, strconv.FormatUint(rand.Uint64(), 36))
	case o.File != "":
		b.store, err = openFile(&o, b.earliest)
	default:
		b.store = newTable(b.earliest)
	}
	if err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	go b.run()
	return b, nil
}

// earliest is the first day that is kept.
func (b *Book) earliest() string { return b.dayOf(b.o.Now().AddDate(0, 0, 1-b.o.KeepDays)) }

func (b *Book) dayOf(t time.Time) string { return t.In(b.zone).Format(time.DateOnly) }

// Record counts a request that has ended now. It waits for nothing, and keeps no string of e.
func (b *Book) Record(e *Entry) {
	now := b.o.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.from) || !now.Before(b.until) {
		b.turn(now)
	}
	r := b.row(Key{b.day, e.Consumer, clip(e.App), clip(e.Model), e.Target, e.Route})
	r.count[Requests]++
	r.count[Failed] += bit(e.Failed)
	r.count[Cached] += bit(e.Cached)
	r.count[Estimated] += bit(e.Estimated)
	r.count[Prompt] += int64(e.Prompt)
	r.count[CachedPrompt] += int64(e.CachedPrompt)
	r.count[Output] += int64(e.Output)
	r.count[Cost] += e.Cost
	if !r.dirty {
		r.dirty = true
		b.dirty = append(b.dirty, r)
	}
}

// turn begins the day of now; b.mu is held.
func (b *Book) turn(now time.Time) {
	y, m, d := now.In(b.zone).Date()
	b.from, b.until = time.Date(y, m, d, 0, 0, 0, 0, b.zone), time.Date(y, m, d+1, 0, 0, 0, 0, b.zone)
	b.day = b.dayOf(now)
	for k, r := range b.rows {
		if !r.dirty {
			delete(b.rows, k)
		}
	}
}

// row returns the row of the combination; b.mu is held.
func (b *Book) row(k Key) *row {
	if r := b.rows[k]; r != nil {
		return r
	}
	if len(b.rows) >= mostRows {
		k[App], k[Model] = Other, Other
		if r := b.rows[k]; r != nil {
			return r
		}
	}
	for i := range k {
		k[i] = strings.Clone(k[i])
	}
	r := &row{key: k}
	b.rows[k] = r
	return r
}

// clip bounds a name that a caller has given.
func clip(name string) string {
	if len(name) <= longestName {
		return name
	}
	end := longestName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

func bit(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// run saves every few seconds until the book is closed.
func (b *Book) run() {
	defer close(b.ended)
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			_ = b.Flush(context.Background()) // tells the log itself
		}
	}
}

// Flush saves what has been counted until now. What could not be saved is tried again the next time.
func (b *Book) Flush(ctx context.Context) error {
	b.saving.Lock()
	defer b.saving.Unlock()
	err := b.save(ctx) // what could not be saved before
	if err == nil {
		b.collect()
		err = b.save(ctx)
	}
	switch {
	case err != nil && !b.away:
		b.o.Log.Warn("usage cannot be saved, it is kept in memory", "err", err)
	case err == nil && b.away:
		b.o.Log.Info("usage is saved again")
	}
	b.away = err != nil
	if err == nil {
		b.o.Saved(b.o.Now())
	}
	return err
}

// save saves what is due, oldest first; b.saving is held.
func (b *Book) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(b.due) > 0 {
		if err := b.store.add(ctx, &b.due[0]); err != nil {
			return fmt.Errorf("saving usage: %w", err)
		}
		b.due = b.due[1:]
	}
	return nil
}

// collect makes batches of what has been counted. Nothing is due and b.saving is held.
func (b *Book) collect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = nil
	latest := map[string]int{} // batch of a day that has room
	for _, r := range b.dirty {
		day := r.key[Day]
		i, ok := latest[day]
		if !ok || len(b.due[i].rows) == atOnce {
			b.number++
			i = len(b.due)
			b.due = append(b.due, batch{day: day, number: b.number})
			latest[day] = i
		}
		b.due[i].rows = append(b.due[i].rows, *r)
		r.count, r.dirty = Count{}, false
		if day != b.day {
			delete(b.rows, r.key)
		}
	}
	b.dirty = b.dirty[:0]
}

// Close saves what has been counted, for a few seconds at most, and closes the store.
func (b *Book) Close() {
	close(b.stop)
	<-b.ended
	if err := b.Flush(context.Background()); err != nil {
		b.o.Log.Error("usage of the last requests is lost", "err", err)
	}
	if err := b.store.close(); err != nil {
		b.o.Log.Warn("closing the store of usage", "err", err)
	}
}

package usage

import (
	"context"
	"sync"
)

// mostKept bounds the combinations that memory keeps over all days: 50 to 100 MB. Beyond it the oldest day is forgotten.
const mostKept = 200_000

// table keeps counts in memory.
type table struct {
	earliest func() string

	mu   sync.Mutex // guards the fields below
	days map[string]map[Key]*Count
	rows int
}

func newTable(earliest func() string) *table {
	return &table{earliest: earliest, days: map[string]map[Key]*Count{}}
}

func (t *table) add(_ context.Context, b *batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	day := t.days[b.day]
	if day == nil {
		day = map[Key]*Count{}
		t.days[b.day] = day
	}
	for i := range b.rows {
		r := &b.rows[i]
		c := day[r.key]
		if c == nil {
			c = new(Count)
			day[r.key] = c
			t.rows++
		}
		c.add(&r.count)
	}
	t.forget(b.day)
	return nil
}

// forget drops days that are too old, and the oldest ones while there is too much; not the present one. t.mu is held.
func (t *table) forget(present string) {
	earliest := t.earliest()
	for {
		oldest := present
		for day := range t.days {
			oldest = min(oldest, day)
		}
		if oldest == present || oldest >= earliest && t.rows <= mostKept {
			return
		}
		t.rows -= len(t.days[oldest])
		delete(t.days, oldest)
	}
}

func (t *table) read(_ context.Context, day string, each func(Key, *Count)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, c := range t.days[day] {
		each(k, c)
	}
	return nil
}

func (t *table) close() error { return nil }

package usage

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/warmlane/warmlane/gateway/config"
)

// busy is a store during whose every work another request ends.
type busy struct {
	store
	book *Book
	adds int
}

func (s *busy) add(ctx context.Context, b *batch) error {
	if s.adds++; s.adds > 10 {
		return errors.New("this does not end")
	}
	s.book.Record(&Entry{})
	return s.store.add(ctx, b)
}

// A flush saves what was there when it began, and ends although requests go on ending.
func TestFlush_EndsUnderLoad(t *testing.T) {
	b, err := Open(Options{Usage: config.Usage{KeepDays: 1, Zone: "UTC"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := &busy{store: b.store, book: b}
	b.store = s
	b.Record(&Entry{})
	if err := b.Flush(t.Context()); err != nil || s.adds != 1 {
		t.Errorf("%v after %d batches", err, s.adds)
	}
	b.store = s.store
}

// FuzzStored reads what is in a Redis or in a file, whoever has written it.
func FuzzStored(f *testing.F) {
	k := Key{"", "dify", "a\"b", "模", "p", "r"}
	f.Add(fieldOf(k, Cost), appendCount(nil, &Count{1, 2, 3, 4, 5, 6, 7, 1 << 60}))
	f.Add(`["","","","",""]`, []byte{0x80})
	f.Add(`{"a":1}`, []byte(nil))
	f.Fuzz(func(t *testing.T, field string, value []byte) {
		if k, m, ok := readField(field); ok {
			if again, n, ok := readField(fieldOf(k, m)); !ok || again != k || n != m {
				t.Errorf("%q: %v %v, again %v %v", field, k, m, again, n)
			}
		}
		c := readCount(value)
		if again := readCount(appendCount(nil, &c)); again != c {
			t.Errorf("%v, again %v", c, again)
		}
	})
}

// Memory forgets the oldest day when there is too much, never the present one.
func TestTable_IsBounded(t *testing.T) {
	store := newTable(func() string { return "2026-11-01" })
	for _, day := range []string{"2026-11-28", "2026-11-29", "2026-11-30"} {
		b := batch{day: day}
		for i := range mostKept/2 + 1 {
			b.rows = append(b.rows, row{key: Key{day, strconv.Itoa(i)}, count: Count{1}})
		}
		if err := store.add(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if len(store.days) != 1 || store.rows != mostKept/2+1 || len(store.days["2026-11-30"]) != store.rows {
		t.Errorf("%d days with %d combinations are kept", len(store.days), store.rows)
	}
}

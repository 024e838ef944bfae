package usage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/redistest"
	"github.com/warmlane/warmlane/gateway/usage"
)

func TestBook_AddsUpByEveryDimension(t *testing.T) {
	onEachStore(t, func(t *testing.T, o usage.Options) {
		c := at("2026-11-30T12:00:00Z")
		o.Now = c.Now
		b := open(t, o)
		for _, e := range []usage.Entry{
			{Consumer: "dify", App: "shop", Model: "llama3", Target: "a", Route: "r", Prompt: 100, CachedPrompt: 60, Output: 10, Cost: 5},
			{Consumer: "dify", App: "shop", Model: "llama3", Target: "b", Route: "r", Prompt: 50, Output: 5, Cost: 3, Estimated: true},
			{Consumer: "dify", App: "faq \"x\"\x1f", Model: "qwen", Target: "a", Route: "s", Cached: true},
			{Consumer: "", Model: "llama3", Failed: true},
		} {
			b.Record(&e)
		}
		same(t, "by consumer and app", table(t, b, usage.Query{By: []usage.Dimension{usage.Consumer, usage.App}}), `
  [1 1 0 0 0 0 0 0]
dify faq "x"`+"\x1f"+` [1 0 1 0 0 0 0 0]
dify shop [2 0 0 1 150 60 15 8]`)
		same(t, "by target and model", table(t, b, usage.Query{By: []usage.Dimension{usage.Target, usage.Model}}), `
 llama3 [1 1 0 0 0 0 0 0]
a llama3 [1 0 0 0 100 60 10 5]
a qwen [1 0 1 0 0 0 0 0]
b llama3 [1 0 0 1 50 0 5 3]`)
		same(t, "in all", table(t, b, usage.Query{}), "[4 1 1 1 150 60 15 8]")
		q := usage.Query{By: []usage.Dimension{usage.Route, usage.Day}}
		q.Only[usage.Consumer], q.Only[usage.Target] = []string{"dify", "nobody"}, []string{"a"}
		same(t, "some of it", table(t, b, q), "r 2026-11-30 [1 0 0 0 100 60 10 5]\ns 2026-11-30 [1 0 1 0 0 0 0 0]")
		q = usage.Query{}
		q.Only[usage.Consumer] = []string{""}
		same(t, "of the anonymous", table(t, b, q), "[1 1 0 0 0 0 0 0]")
	})
}

// Shanghai's midnight is at 16:00 UTC.
func TestBook_DaysBeginAtMidnightOfTheZone(t *testing.T) {
	onEachStore(t, func(t *testing.T, o usage.Options) {
		c := at("2026-11-29T15:59:59.999Z")
		o.Now, o.Zone = c.Now, "Asia/Shanghai"
		b := open(t, o)
		days := func() string { return table(t, b, usage.Query{By: []usage.Dimension{usage.Day}}) }
		b.Record(&usage.Entry{Prompt: 1})
		c.Advance(time.Millisecond)
		b.Record(&usage.Entry{Prompt: 2})
		same(t, "around a midnight, not saved before it", days(), "2026-11-29 [1 0 0 0 1 0 0 0]\n2026-11-30 [1 0 0 0 2 0 0 0]")
		c.Advance(24 * time.Hour)
		b.Record(&usage.Entry{Prompt: 4})
		same(t, "the day after", days(), "2026-11-29 [1 0 0 0 1 0 0 0]\n2026-11-30 [1 0 0 0 2 0 0 0]\n2026-12-01 [1 0 0 0 4 0 0 0]")
	})
}

// In 2026 the clocks of Berlin go back on 25 October: that day has 25 hours.
func TestBook_DaysOf25Hours(t *testing.T) {
	c := at("2026-10-24T22:00:00Z")
	b := open(t, usage.Options{Now: c.Now, Usage: config.Usage{Zone: "Europe/Berlin"}})
	for range 50 {
		b.Record(&usage.Entry{})
		c.Advance(time.Hour)
	}
	same(t, "requests an hour apart", table(t, b, usage.Query{By: []usage.Dimension{usage.Day}}),
		"2026-10-25 [25 0 0 0 0 0 0 0]\n2026-10-26 [24 0 0 0 0 0 0 0]\n2026-10-27 [1 0 0 0 0 0 0 0]")
}

func TestBook_OldDaysAreForgotten(t *testing.T) {
	onEachStore(t, func(t *testing.T, o usage.Options) {
		c := at("2026-11-28T12:00:00Z")
		o.Now, o.KeepDays = c.Now, 2
		b := open(t, o)
		for range 3 {
			b.Record(&usage.Entry{})
			if err := b.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.Advance(24 * time.Hour)
		}
		c.Advance(-24 * time.Hour)
		same(t, "two days are kept", table(t, b, usage.Query{By: []usage.Dimension{usage.Day}}), "2026-11-29 [1 0 0 0 0 0 0 0]\n2026-11-30 [1 0 0 0 0 0 0 0]")
	})
}

// Many goroutines, saved meanwhile: nothing is lost or counted twice.
func TestBook_ExactUnderConcurrency(t *testing.T) {
	onEachStore(t, func(t *testing.T, o usage.Options) {
		b := open(t, o)
		var all sync.WaitGroup
		for i := range 8 {
			e := usage.Entry{Consumer: fmt.Sprint("c", i%3), Model: "m", Prompt: 3, Output: 2}
			all.Go(func() {
				for n := range 500 {
					b.Record(&e)
					if n%100 == 0 {
						_ = b.Flush(t.Context())
					}
				}
			})
		}
		all.Wait()
		same(t, "in all", table(t, b, usage.Query{}), "[4000 0 0 0 12000 0 8000 0]")
	})
}

func TestBook_SavesEveryFewSecondsAndAtTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "usage.db")
	synctest.Test(t, func(t *testing.T) {
		b, err := usage.Open(fill(usage.Options{Usage: config.Usage{File: file}}))
		if err != nil {
			t.Fatal(err)
		}
		b.Record(&usage.Entry{Consumer: "saved"})
		time.Sleep(usage.FlushEvery + time.Millisecond) // of a time that is not real
		synctest.Wait()
		b.Record(&usage.Entry{Consumer: "not yet"})
		crashed := copied(t, file)
		b.Close()
		for name, want := range map[string]string{crashed: "saved [1 0 0 0 0 0 0 0]", file: "not yet [1 0 0 0 0 0 0 0]\nsaved [1 0 0 0 0 0 0 0]"} {
			again, err := usage.Open(fill(usage.Options{Usage: config.Usage{File: name}}))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "after a crash, after a stop", table(t, again, usage.Query{By: []usage.Dimension{usage.Consumer}}), want)
			again.Close()
		}
	})
}

// copied is the file as a process that dies now would leave it.
func copied(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "usage.db")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBook_GoesOnFromWhatWasSaved(t *testing.T) {
	for name, o := range map[string]usage.Options{
		"file": {Usage: config.Usage{File: filepath.Join(t.TempDir(), "usage.db")}}, "redis": {Redis: in(redistest.Start(t))},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range int64(3) {
				b, err := usage.Open(fill(o))
				if err != nil {
					t.Fatal(err)
				}
				b.Record(&usage.Entry{Consumer: "a", Cost: 7})
				want := fmt.Sprintf("a [%d 0 0 0 0 0 0 %d]", i+1, 7*(i+1))
				same(t, "after a start", table(t, b, usage.Query{By: []usage.Dimension{usage.Consumer}}), want)
				b.Close()
			}
		})
	}
}

func TestBook_TwoGatewaysAddUp(t *testing.T) {
	server := redistest.Start(t)
	one, two := open(t, usage.Options{Redis: in(server)}), open(t, usage.Options{Redis: in(server)})
	var all sync.WaitGroup
	for _, b := range []*usage.Book{one, two} {
		all.Go(func() {
			for n := range 3000 {
				b.Record(&usage.Entry{Consumer: fmt.Sprint("c", n%700), Model: "m", Prompt: 3, Output: 2, Cost: 1})
				if n%500 == 0 {
					_ = b.Flush(t.Context())
				}
			}
			if err := b.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, b := range []*usage.Book{one, two} {
		same(t, "as each sees it", table(t, b, usage.Query{}), "[6000 0 0 0 18000 0 12000 6000]")
		r, err := b.Report(t.Context(), usage.Query{By: []usage.Dimension{usage.Consumer}})
		if err != nil || len(r.Rows) != 700 {
			t.Errorf("%d rows, %v", len(r.Rows), err)
		}
	}
}

// A Redis that hangs takes what it was sent once it runs again, though nobody waits for its answer any more. The same is sent a second time
// then, and must not count twice.
func TestBook_WhatARedisInTroubleHasTakenIsNotSavedTwice(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, usage.Options{Redis: in(server)})
	b.Record(&usage.Entry{Prompt: 1})
	if err := b.Flush(t.Context()); err != nil { // so that there is a connection
		t.Fatal(err)
	}
	server.Pause()
	b.Record(&usage.Entry{Prompt: 10})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if b.Flush(ctx) == nil {
		t.Error("a Redis that hangs has saved something")
	}
	b.Record(&usage.Entry{Prompt: 100}) // after the batch that is on its way
	server.Continue()
	same(t, "afterwards", table(t, b, usage.Query{}), "[3 0 0 0 111 0 0 0]")
}

// Callers name apps and models. However many they invent, memory and store stay bounded and nothing is lost from the sums.
func TestBook_NamesOfCallersAreBounded(t *testing.T) {
	b := open(t, usage.Options{})
	for i := range 30_000 {
		b.Record(&usage.Entry{Consumer: "a", App: fmt.Sprint("app", i), Model: strings.Repeat("模", 1000)})
	}
	r, err := b.Report(t.Context(), usage.Query{By: []usage.Dimension{usage.App, usage.Model}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) > 20_001 || r.Total[usage.Requests] != 30_000 {
		t.Errorf("%d rows, %d requests", len(r.Rows), r.Total[usage.Requests])
	}
	first, last := r.Rows[0].Key, r.Rows[len(r.Rows)-1].Key
	if first[usage.App] != usage.Other || r.Rows[0].Count[usage.Requests] != 10_000 || len(last[usage.Model]) != 198 || strings.Trim(last[usage.Model], "模") != "" {
		t.Errorf("%v, %v", r.Rows[0], last)
	}
}

func TestOpen_FilesThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "usage.db")
	open(t, usage.Options{Usage: config.Usage{File: file}})
	other := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(other, []byte(strings.Repeat("no counts\n", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "in use", other: "holds no usage", filepath.Join(other, "x"): "not a directory"} {
		if b, err := usage.Open(fill(usage.Options{Usage: config.Usage{File: name}})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				b.Close()
			}
		}
	}
}

package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/warmlane/warmlane/bench/load"
)

// progress shows how far load runs are: as live bars on a terminal, as a line a quarter elsewhere.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil: no terminal
	live []*mpb.Bar
}

func newProgress(out *os.File) *progress {
	p := &progress{out: out}
	if cupwriter.New(out, false).IsTerminal() {
		p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	}
	return p
}

// track begins a run of total requests whose times are to be multiplied by scale, and returns what takes its progress.
func (p *progress) track(name string, total int, scale float64) func(load.Progress) {
	if p.bars == nil {
		return p.lines(name, scale)
	}
	var now atomic.Pointer[load.Progress]
	now.Store(&load.Progress{Total: total, HitRate: math.NaN()})
	bar := p.bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR), decor.CountersNoUnit("%3d/%d", decor.WCSyncWidth)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + sofar(now.Load(), scale) })),
	)
	p.live = append(p.live, bar)
	return func(done load.Progress) {
		now.Store(&done)
		bar.SetCurrent(int64(done.Done))
	}
}

func (p *progress) lines(name string, scale float64) func(load.Progress) {
	quarter := 0
	return func(now load.Progress) {
		if q := 4 * now.Done / now.Total; q > quarter {
			quarter = q
			fmt.Fprintf(p.out, "%-16s %d/%d  %s\n", name, now.Done, now.Total, sofar(&now, scale))
		}
	}
}

// count begins work of total equal pieces and returns what to call after each of them, from any goroutine.
func (p *progress) count(name string, total int) func() {
	var done atomic.Int64
	if p.bars == nil {
		return func() {
			if n := done.Add(1); 10*n/int64(total) > 10*(n-1)/int64(total) {
				_, _ = fmt.Fprintf(p.out, "%s %d/%d\n", name, n, total)
			}
		}
	}
	bar := p.bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(name+" "), decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	p.live = append(p.live, bar)
	return bar.Increment
}

// say returns what tells of a step of unknown number, such as a size that is tried for a policy. It may be called from any goroutine.
func (p *progress) say(what string) func(name string, size int) {
	var mu sync.Mutex
	return func(name string, size int) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(p.out, "%s %s with %d\n", what, name, size)
	}
}

// close ends the display; bars that are not full stay as they are.
func (p *progress) close() {
	if p.bars == nil {
		return
	}
	for _, bar := range p.live {
		bar.Abort(false)
	}
	p.bars.Wait()
}

// sofar is the state of a run in a few words.
func sofar(now *load.Progress, scale float64) string {
	text := fmt.Sprintf("TTFT %4.0f ms", now.TTFT.Seconds()*1000*scale)
	if !math.IsNaN(now.HitRate) {
		text += fmt.Sprintf("  hits %2.0f %%", 100*now.HitRate)
	}
	if now.Errors > 0 {
		text += fmt.Sprintf("  %d failed", now.Errors)
	}
	return text
}

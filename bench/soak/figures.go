package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"
)

// sample is the process at one moment.
type sample struct {
	at         time.Duration
	heap       uint64 // bytes alive
	resident   uint64 // bytes, 0 where the system does not tell
	goroutines int
}

func look() sample {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{heap: m.HeapAlloc, resident: resident(), goroutines: runtime.NumGoroutine()}
}

// resident reads the process's resident memory.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

func (s sample) String() string {
	return fmt.Sprintf("%7s  heap %6.1f MiB  resident %6.1f MiB  goroutines %5d ",
		s.at.Round(time.Second), mib(s.heap), mib(s.resident), s.goroutines)
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }

// watch takes samples until ctx ends.
func watch(ctx context.Context, every time.Duration, tell func(sample)) []sample {
	tick := time.NewTicker(every)
	defer tick.Stop()
	began := time.Now()
	var all []sample
	for {
		select {
		case <-ctx.Done():
			return all
		case <-tick.C:
			s := look()
			s.at = time.Since(began)
			all = append(all, s)
			tell(s)
		}
	}
}

const (
	mostGrowth = 0.25    // of the second quarter's median, by which the last quarter's may exceed it
	heapSpare  = 8 << 20 // bytes that do not count as growth
	crowdSpare = 200     // goroutines: requests that hang for a moment
)

// flat holds the last quarter of a run against the second one.
func flat(all []sample) error {
	if len(all) < 8 {
		return errors.New("too short to tell whether memory grows")
	}
	n := len(all)
	early, late := all[n/4:n/2], all[3*n/4:]
	heap := func(s sample) float64 { return float64(s.heap) }
	crowd := func(s sample) float64 { return float64(s.goroutines) }
	return errors.Join(
		grown("heap bytes", median(early, heap), median(late, heap), heapSpare),
		grown("goroutines", median(early, crowd), median(late, crowd), crowdSpare),
	)
}

func grown(what string, early, late, spare float64) error {
	if late > early*(1+mostGrowth)+spare {
		return fmt.Errorf("%s grew from %.0f in the second quarter to %.0f in the last", what, early, late)
	}
	return nil
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// left waits for the goroutines of the run to end.
func left(before sample) error {
	const spare = 4 // of the HTTP library, which end by themselves some time
	for range 100 {
		if runtime.NumGoroutine() <= before.goroutines+spare {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	var stacks bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	return fmt.Errorf("%d goroutines are left, %d were there before:\n%s", runtime.NumGoroutine(), before.goroutines, &stacks)
}

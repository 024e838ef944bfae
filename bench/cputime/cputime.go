// Package cputime reads how much processor time a process has used (Linux only).
package cputime

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Of is the processor time of a process, user and system, as the scheduler counts it to the nanosecond. (The times in /proc/PID/stat are
// sampled by the clock tick, which work that is paced by a clock meets more or less often than it should.)
func Of(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	if len(threads) == 0 {
		return 0, fmt.Errorf("process %d has no threads to look at", pid)
	}
	var total time.Duration
	for _, file := range threads {
		text, err := os.ReadFile(file) //nolint:gosec // of /proc
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n)
	}
	return total, nil
}

package sweep

import (
	"container/heap"
	"time"
)

// agenda is what will happen outside the engines, earliest first; of equal times in the order in which it was put down.
type agenda struct {
	entries entries
	count   int
}

type entry struct {
	at     time.Duration
	number int
	do     func(now time.Duration)
}

func (a *agenda) add(at time.Duration, do func(now time.Duration)) {
	a.count++
	heap.Push(&a.entries, entry{at, a.count, do})
}

// next is when the first entry is due.
func (a *agenda) next() (at time.Duration, ok bool) {
	if len(a.entries) == 0 {
		return 0, false
	}
	return a.entries[0].at, true
}

func (a *agenda) pop() entry { return heap.Pop(&a.entries).(entry) }

type entries []entry

func (e entries) Len() int { return len(e) }

func (e entries) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].number < e[j].number
}

func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *entries) Push(x any) { *e = append(*e, x.(entry)) }

func (e *entries) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = entry{}
	*e = (*e)[:last]
	return x
}

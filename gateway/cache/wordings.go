package cache

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// wordings keeps vectors in this process, those used last for longest. A partition is small, so all its vectors are compared: the nearest is
// found for certain, and there is no index to build. A product with 1,000 vectors of 1024 numbers takes about 0.1 ms.
type wordings struct {
	most int64 // bytes

	mu    sync.RWMutex // guards all below
	size  int64
	parts map[Key]*partition
	used  *list.List // of *worded, the last used first
}

// partition is the vectors of one, row by row, and what they belong to.
type partition struct {
	dims    int
	vectors []float32
	rows    []*worded
}

// worded is one wording and until when its answer is good.
type worded struct {
	rule   string
	part   Key
	row    int
	answer Key
	until  time.Time
	place  *list.Element
}

// wordedSize is what a wording takes beside its vector, about.
const wordedSize = 320

func newWordings(most int64) *wordings {
	return &wordings{most: most, parts: map[Key]*partition{}, used: list.New()}
}

func sizeOf(dims int) int64 { return int64(dims)*4 + wordedSize }

func (m *wordings) near(_ context.Context, w *Wording, now time.Time) []neighbour {
	var best []neighbour
	m.mu.RLock()
	p := m.parts[w.partition]
	if p == nil || p.dims != len(w.vector) {
		m.mu.RUnlock()
		return nil
	}
	for i, s := range p.compare(w.vector) {
		if similarity := float64(s); similarity >= w.rule.Semantic.Threshold && now.Before(p.rows[i].until) {
			best = keepBest(best, neighbour{p.rows[i].answer, min(similarity, 1)})
		}
	}
	m.mu.RUnlock()
	if len(best) > 0 {
		m.touch(w.partition, best[0].answer)
	}
	return best
}

// compare returns the cosines of v with all rows.
func (p *partition) compare(v []float32) []float32 {
	n := len(p.rows)
	cosines := make([]float32, n)
	blas32.Gemv(blas.NoTrans, 1, blas32.General{Rows: n, Cols: p.dims, Stride: p.dims, Data: p.vectors},
		blas32.Vector{N: p.dims, Inc: 1, Data: v}, 0, blas32.Vector{N: n, Inc: 1, Data: cosines})
	return cosines
}

// keepBest puts n into its place among the best.
func keepBest(best []neighbour, n neighbour) []neighbour {
	i := len(best)
	for i > 0 && best[i-1].similarity < n.similarity {
		i--
	}
	if i >= mostNear {
		return best
	}
	best = append(best, neighbour{})
	copy(best[i+1:], best[i:])
	best[i] = n
	return best[:min(len(best), mostNear)]
}

func (m *wordings) touch(part, answer Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(part, answer); e != nil {
		m.used.MoveToFront(e.place)
	}
}

// find returns the wording with that answer; the mutex is held.
func (m *wordings) find(part, answer Key) *worded {
	if p := m.parts[part]; p != nil {
		for _, e := range p.rows {
			if e.answer == answer {
				return e
			}
		}
	}
	return nil
}

func (m *wordings) add(_ context.Context, w *Wording, now time.Time) {
	dims := len(w.vector)
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(w.partition, w.answer); e != nil {
		m.remove(e)
	}
	if sizeOf(dims) > m.most {
		return
	}
	p := m.parts[w.partition]
	for p != nil && p.dims != dims { // the model is another one under the same name
		m.remove(p.rows[0])
		p = m.parts[w.partition]
	}
	if p != nil && len(p.rows) >= w.rule.Semantic.MaxEntries {
		m.remove(p.first())
		p = m.parts[w.partition]
	}
	if p == nil {
		p = &partition{dims: dims}
		m.parts[w.partition] = p
	}
	e := &worded{rule: w.rule.Name, part: w.partition, row: len(p.rows), answer: w.answer, until: now.Add(time.Duration(w.rule.TTL))}
	e.place = m.used.PushFront(e)
	p.vectors, p.rows = append(p.vectors, w.vector...), append(p.rows, e)
	m.size += sizeOf(dims)
	for m.size > m.most {
		m.remove(m.used.Back().Value.(*worded))
	}
}

// first is the wording whose answer ends first.
func (p *partition) first() *worded {
	first := p.rows[0]
	for _, e := range p.rows {
		if e.until.Before(first.until) {
			first = e
		}
	}
	return first
}

// remove forgets a wording: the last row of its partition takes its place. The mutex is held.
func (m *wordings) remove(e *worded) {
	p := m.parts[e.part]
	last := len(p.rows) - 1
	copy(p.vectors[e.row*p.dims:(e.row+1)*p.dims], p.vectors[last*p.dims:])
	p.rows[e.row] = p.rows[last]
	p.rows[e.row].row = e.row
	p.rows[last] = nil
	p.rows, p.vectors = p.rows[:last], p.vectors[:last*p.dims]
	if cap(p.vectors) > 2*len(p.vectors) {
		p.vectors = slices.Clone(p.vectors)
	}
	if last == 0 {
		delete(m.parts, e.part)
	}
	m.used.Remove(e.place)
	m.size -= sizeOf(p.dims)
}

func (m *wordings) forget(_ context.Context, w *Wording, answer Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(w.partition, answer); e != nil {
		m.remove(e)
	}
}

func (m *wordings) drop(_ context.Context, rule string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at := m.used.Front(); at != nil; {
		next := at.Next()
		if e := at.Value.(*worded); rule == "" || e.rule == rule {
			m.remove(e)
		}
		at = next
	}
	return nil
}

package cache

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// memory keeps answers in this process, those used last for longest.
type memory struct {
	most int64

	mu    sync.Mutex // guards all below
	size  int64
	byKey map[Key]*list.Element
	used  *list.List // of *held, the last used first
}

// held is an answer and until when it is good.
type held struct {
	rule   string
	key    Key
	answer *Answer
	until  time.Time
}

// overhead is what an answer takes beside its bytes, about.
const overhead = 256

func (h *held) size() int64 { return int64(len(h.answer.Body)+len(h.answer.ContentType)) + overhead }

func newMemory(most int64) *memory {
	return &memory{most: most, byKey: map[Key]*list.Element{}, used: list.New()}
}

func (m *memory) get(_ context.Context, _ string, k Key, now time.Time) (*Answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[k]
	if e == nil {
		return nil, false
	}
	h := e.Value.(*held)
	if !now.Before(h.until) {
		m.remove(e)
		return nil, false
	}
	m.used.MoveToFront(e)
	return h.answer, true
}

func (m *memory) put(_ context.Context, rule string, k Key, a *Answer, ttl time.Duration, now time.Time) {
	h := &held{rule: rule, key: k, answer: a, until: now.Add(ttl)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byKey[k]; e != nil {
		m.remove(e)
	}
	if h.size() > m.most {
		return
	}
	m.byKey[k] = m.used.PushFront(h)
	m.size += h.size()
	for m.size > m.most {
		m.remove(m.used.Back())
	}
}

// remove forgets an answer; the mutex is held.
func (m *memory) remove(e *list.Element) {
	h := m.used.Remove(e).(*held)
	delete(m.byKey, h.key)
	m.size -= h.size()
}

func (m *memory) drop(_ context.Context, rule string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for e := m.used.Front(); e != nil; {
		next := e.Next()
		if rule == "" || e.Value.(*held).rule == rule {
			m.remove(e)
			n++
		}
		e = next
	}
	return n, nil
}

func (m *memory) close() {}

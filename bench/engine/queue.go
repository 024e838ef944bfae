package engine

// queue is a double-ended queue of waiting requests (a ring that grows).
type queue struct {
	ring []*Request
	head int
	n    int
}

func (q *queue) len() int { return q.n }

func (q *queue) front() *Request { return q.ring[q.head] }

func (q *queue) at(i int) int { return (q.head + i) & (len(q.ring) - 1) }

func (q *queue) pushBack(r *Request) {
	q.grow()
	q.ring[q.at(q.n)] = r
	q.n++
}

func (q *queue) pushFront(r *Request) {
	q.grow()
	q.head = q.at(len(q.ring) - 1)
	q.ring[q.head] = r
	q.n++
}

func (q *queue) popFront() {
	q.ring[q.head] = nil
	q.head = q.at(1)
	q.n--
}

// remove takes r out from wherever it stands and keeps the order of the others.
func (q *queue) remove(r *Request) {
	for i := range q.n {
		if q.ring[q.at(i)] != r {
			continue
		}
		for ; i < q.n-1; i++ {
			q.ring[q.at(i)] = q.ring[q.at(i+1)]
		}
		q.ring[q.at(q.n-1)] = nil
		q.n--
		return
	}
}

// grow makes room for one more; the ring's length stays a power of two.
func (q *queue) grow() {
	if q.n < len(q.ring) {
		return
	}
	ring := make([]*Request, max(16, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.ring[q.at(i)]
	}
	q.ring, q.head = ring, 0
}

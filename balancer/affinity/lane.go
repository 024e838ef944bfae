package affinity

// node is one holding: a block in one endpoint's order of last use. Node 0 is the head of the ring.
type node struct {
	block, newer, older uint32
}

// lane is what one endpoint holds: a ring from newest to oldest and a table to find a block's node.
type lane struct {
	nodes  []node
	refs   []uint16 // requests in flight over each node, and whether it is proven
	slots  slots
	free   uint32 // linked by older
	n      int
	budget int
	busy   int // nodes with refs > 0
}

func newLane(budget int) *lane {
	return &lane{nodes: make([]node, 1), refs: make([]uint16, 1), budget: budget}
}

func (l *lane) home(block uint32) int { return l.slots.home(block * 0x9e3779b1) }

// find returns the node of a block, 0 if there is none. guess is a node that it may well be.
func (l *lane) find(block, guess uint32) uint32 {
	if l.nodes[guess].block == block {
		return guess
	}
	return l.search(block)
}

func (l *lane) search(block uint32) uint32 {
	if len(l.slots) == 0 {
		return 0
	}
	i := l.home(block)
	for {
		n := l.slots[i]
		if n == 0 || l.nodes[n].block == block {
			return n
		}
		i = l.slots.next(i)
	}
}

// add makes a node for a block that is not there, as the newest.
func (l *lane) add(block uint32) uint32 {
	id := l.free
	if id != 0 {
		l.free = l.nodes[id].older
	} else {
		if len(l.nodes) == cap(l.nodes) {
			l.growNodes()
		}
		id = uint32(len(l.nodes))
		l.nodes = append(l.nodes, node{})
		l.refs = append(l.refs, 0)
	}
	l.nodes[id].block = block
	l.refs[id] = 0
	l.link(id)
	if l.slots.full(l.n) {
		l.growSlots()
	}
	l.slots.put(id, l.home(block))
	l.n++
	return id
}

// most is how many nodes there will be: the budget and, as a chain comes in before what it displaces goes, usual chains.
func (l *lane) most() int { return l.budget + l.budget/8 + 32 }

func (l *lane) growNodes() {
	size := max(64, len(l.nodes)*9/8)
	if most := l.most() + 1; most > len(l.nodes) {
		size = min(size, most)
	}
	l.nodes = append(atLeast[node](size), l.nodes...)
	l.refs = append(atLeast[uint16](cap(l.nodes)), l.refs...)
}

func (l *lane) growSlots() {
	old := l.slots
	l.slots = old.larger(l.most())
	for _, id := range old {
		if id != 0 {
			l.slots.put(id, l.home(l.nodes[id].block))
		}
	}
}

func (l *lane) link(id uint32) {
	newest := l.nodes[0].older
	l.nodes[id].newer, l.nodes[id].older = 0, newest
	l.nodes[newest].newer = id
	l.nodes[0].older = id
}

func (l *lane) unlink(id uint32) {
	n := l.nodes[id]
	l.nodes[n.newer].older = n.older
	l.nodes[n.older].newer = n.newer
}

// touch makes a node the newest.
func (l *lane) touch(id uint32) {
	if l.nodes[0].older != id {
		l.unlink(id)
		l.link(id)
	}
}

func (l *lane) oldest() uint32 { return l.nodes[0].newer }

// remove frees a node.
func (l *lane) remove(id uint32) {
	l.unlink(id)
	if l.inFlight(id) {
		l.busy--
	}
	l.slots.take(id, func(id uint32) int { return l.home(l.nodes[id].block) })
	l.nodes[id] = node{older: l.free}
	l.refs[id] = 0
	l.free = id
	l.n--
}

// proven marks a node whose block the engine is known to have prefilled; the rest of the word counts requests.
const proven = 1 << 15

func (l *lane) inFlight(id uint32) bool { return l.refs[id]&^proven > 0 }

// hold counts one more request in flight over a node.
func (l *lane) hold(id uint32) {
	switch l.refs[id] &^ proven {
	case 0:
		l.busy++
	case proven - 1:
		return
	}
	l.refs[id]++
}

// release counts one less.
func (l *lane) release(id uint32) {
	if !l.inFlight(id) {
		return
	}
	l.refs[id]--
	if !l.inFlight(id) {
		l.busy--
	}
}

// laneBytes is the memory of a lane without its tables.
const laneBytes = 120

func (l *lane) bytes() int { return laneBytes + cap(l.nodes)*12 + cap(l.refs)*2 + cap(l.slots)*4 }

package identity

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	guessesAMinute = 60      // wrong keys that an address may offer before it is refused for the rest of the minute
	guessSlots     = 1 << 12 // addresses that are watched at once; two may share a slot
)

// guesses counts wrong keys by address, in windows of a minute.
type guesses struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots []guess
}

type guess struct {
	tag   uint64
	began time.Time
	n     int
}

// count notes a wrong key and returns how long its address has to wait, 0 when it may go on.
func (g *guesses) count(ip netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.slots == nil {
		g.seed, g.slots = maphash.MakeSeed(), make([]guess, guessSlots)
	}
	tag := maphash.Comparable(g.seed, network(ip))
	slot := &g.slots[tag%guessSlots]
	if age := now.Sub(slot.began); slot.tag != tag || age < 0 || age >= time.Minute {
		*slot = guess{tag: tag, began: now}
	}
	if slot.n++; slot.n > guessesAMinute {
		return time.Minute - now.Sub(slot.began)
	}
	return 0
}

// network is the address, or of IPv6 the network of one customer.
func network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits) // the zero prefix of an unknown address will do
	return prefix
}

package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/warmlane/warmlane/gateway/config"
)

// appendTag appends what tells the buckets of r apart for q, in braces: in a Redis Cluster all buckets with the same values live in
// one slot. A value that the request lacks is the empty one: leaving out the field does not escape the limit.
func (r *rule) appendTag(key []byte, q *Query) []byte {
	key = append(key, '{')
	if len(r.cfg.By) == 0 {
		key = append(key, "all"...)
	}
	for i := range r.cfg.By {
		key = appendValue(key, &r.cfg.By[i], q)
	}
	return append(key, '}')
}

// appendBound appends what tells the bounds of a rule apart.
func (s *shape) appendBound(key []byte, limit string, r *rate, p *period) []byte {
	key = appendPart(key, limit)
	key = appendPart(appendPart(key, s.measure.word()), r.spec)
	if p != nil {
		key = appendPart(key, p.id)
	}
	return key
}

func appendValue(key []byte, by *config.By, q *Query) []byte {
	switch by.Kind {
	case config.ByConsumer:
		return appendPart(key, q.Consumer)
	case config.ByUser:
		return appendPart(key, q.User)
	case config.ByModel:
		return appendPart(key, q.Model)
	case config.ByRoute:
		return appendPart(key, q.Route)
	case config.ByApp:
		return appendPart(key, q.App)
	case config.ByIP:
		return appendAddress(key, q.IP)
	case config.ByHeader:
		if q.Headers == nil {
			return appendPart(key, "")
		}
		return appendPart(key, q.Headers.Peek(by.Name))
	case config.ByQuery:
		if q.Args == nil {
			return appendPart(key, "")
		}
		return appendPart(key, q.Args.Peek(by.Name))
	case config.ByCookie:
		value, _ := config.Cookie(q.Headers, by.Name)
		return appendPart(key, value)
	default:
		panic(fmt.Sprintf("BUG: limit by unknown kind %d", by.Kind))
	}
}

// longest is the length up to which a value stands in a key as it is.
const longest = 64

// appendPart appends one value with its length before it, so that no two lists of values make one key. Long values enter by
// their SHA-256: keys stay short whatever a caller sends.
func appendPart[T string | []byte](key []byte, value T) []byte {
	key = strconv.AppendInt(key, int64(len(value)), 10)
	key = append(key, ':')
	if len(value) <= longest {
		return append(key, value...)
	}
	digest := sha256.Sum256([]byte(value))
	return hex.AppendEncode(key, digest[:])
}

// appendAddress appends a client's address. The addresses of one IPv6 /64 belong to one host and count as one.
func appendAddress(key []byte, ip netip.Addr) []byte {
	ip = ip.Unmap()
	if ip.Is6() {
		if net, err := ip.WithZone("").Prefix(64); err == nil {
			ip = net.Addr()
		}
	}
	var text [48]byte
	return appendPart(key, ip.AppendTo(text[:0]))
}

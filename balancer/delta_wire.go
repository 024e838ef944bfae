package balancer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// The wire form of a delta: the version, the cursors, then the endpoints and the placements, each behind their number.
// Numbers are varints, keys and blocks 8 bytes and speeds 4, little-endian.
const deltaVersion = 1

var errCut = errors.New("delta is cut short")

// MarshalBinary implements [encoding.BinaryMarshaler]. The error is always nil.
func (d *Delta) MarshalBinary() ([]byte, error) {
	b := []byte{deltaVersion}
	for _, c := range []Cursor{d.Since, d.Until} {
		b = appendUvarints(b, c.Run, c.Tick, c.Placed)
	}
	b = binary.AppendUvarint(b, uint64(len(d.Endpoints)))
	for i := range d.Endpoints {
		e := &d.Endpoints[i]
		b = binary.LittleEndian.AppendUint64(b, e.Key)
		b = appendUvarints(b, uint64(e.Started), uint64(e.InFlight), uint64(e.Decoding), uint64(e.Pending),
			uint64(e.Context), uint64(e.Distinct), uint64(max(0, e.FirstAgo)/time.Microsecond))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(e.Step)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(e.PerToken)))
	}
	b = binary.AppendUvarint(b, uint64(len(d.Placements)))
	for _, pl := range d.Placements {
		b = appendUvarints(b, uint64(pl.Endpoint), uint64(pl.Kind), uint64(len(pl.Blocks)))
		for _, block := range pl.Blocks {
			b = binary.LittleEndian.AppendUint64(b, block)
		}
	}
	return b, nil
}

func appendUvarints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler]. The delta keeps nothing of data, and takes at most about ten times
// its size.
func (d *Delta) UnmarshalBinary(data []byte) error {
	if len(data) == 0 {
		return errCut
	}
	if data[0] != deltaVersion {
		return fmt.Errorf("delta of version %d, want %d", data[0], deltaVersion)
	}
	r := wireReader{rest: data[1:]}
	*d = Delta{Since: r.cursor(), Until: r.cursor()}
	d.Endpoints = make([]SharedEndpoint, r.count(23))
	for i := range d.Endpoints {
		d.Endpoints[i] = r.endpoint()
	}
	d.Placements = make([]Placement, r.count(3))
	for i := range d.Placements {
		d.Placements[i] = r.placement(len(d.Endpoints))
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes behind the delta", len(r.rest))
	}
	return r.err
}

// wireReader reads until the first fault; from then on all it returns is zero.
type wireReader struct {
	rest []byte
	err  error
}

func (r *wireReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *wireReader) take(n int) []byte {
	if len(r.rest) < n {
		r.fail(errCut)
		return make([]byte, 8)
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// number reads a varint of at most most.
func (r *wireReader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.rest = r.rest[n:]
	if v > most {
		r.fail(fmt.Errorf("%d in a delta is above %d", v, most))
		return 0
	}
	return v
}

// count reads how many things of at least some bytes follow.
func (r *wireReader) count(bytes int) int {
	n := r.number(math.MaxUint64)
	if n > uint64(len(r.rest)/bytes) {
		r.fail(errCut)
		return 0
	}
	return int(n)
}

func (r *wireReader) cursor() Cursor {
	return Cursor{Run: r.number(math.MaxUint64), Tick: r.number(math.MaxUint64), Placed: r.number(math.MaxUint64)}
}

func (r *wireReader) uint32() uint32 { return uint32(r.number(math.MaxUint32)) }

func (r *wireReader) seconds() float64 {
	v := float64(math.Float32frombits(binary.LittleEndian.Uint32(r.take(4))))
	if !(v >= 0 && v <= longestGap) {
		r.fail(fmt.Errorf("a speed of %v s in a delta", v))
		return 0
	}
	return v
}

func (r *wireReader) endpoint() SharedEndpoint {
	return SharedEndpoint{
		Key:      binary.LittleEndian.Uint64(r.take(8)),
		Started:  int64(r.number(math.MaxInt64)),
		InFlight: r.uint32(), Decoding: r.uint32(), Pending: r.uint32(), Context: r.uint32(), Distinct: r.uint32(),
		FirstAgo: time.Duration(r.uint32()) * time.Microsecond,
		Step:     r.seconds(), PerToken: r.seconds(),
	}
}

func (r *wireReader) placement(endpoints int) Placement {
	at := r.number(math.MaxUint64)
	if at >= uint64(endpoints) {
		r.fail(fmt.Errorf("a placement on endpoint %d of %d in a delta", at, endpoints))
		at = 0
	}
	pl := Placement{Endpoint: int(at), Kind: PlacementKind(r.number(uint64(placementKinds) - 1))}
	pl.Blocks = make([]uint64, r.count(8))
	for i := range pl.Blocks {
		pl.Blocks[i] = binary.LittleEndian.Uint64(r.take(8))
	}
	return pl
}

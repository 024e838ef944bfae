package tokenize

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
)

// Digest returns what identifies the meaning of the JSON object text, without its members of the names in without: the order of members,
// blanks and the spelling of texts do not change it. Of members of one name the last counts. Numbers are told apart by how they are
// written. ok is false when text is no JSON object.
func Digest(text []byte, without ...string) (sum [sha256.Size]byte, ok bool) {
	d := digesters.Get().(*digester)
	defer digesters.Put(d)
	d.s = scanner{text: text, depth: MaxDepth}
	d.without, d.form, d.members = without, d.form[:0], d.members[:0]
	d.s.blanks()
	if ok = d.s.at('{') && d.object(); ok {
		d.s.end()
		ok = d.s.reason == ""
		copy(sum[:], d.form[1:])
	}
	d.s, d.without = scanner{}, nil
	if cap(d.form) > keptForm {
		d.form = nil
	}
	return sum, ok
}

// keptForm bounds what a digester keeps for the next text, in bytes.
const keptForm = 1 << 20

var digesters = sync.Pool{New: func() any { return &digester{hash: sha256.New()} }}

// digester brings a text into one form in one pass. An object is hashed at its end, when its members can be put in order, and stands in
// what is around it as that hash.
type digester struct {
	s       scanner
	without []string // of the outermost object
	hash    hash.Hash
	last    [sha256.Size]byte
	lengths [16]byte // of a member's name and value
	form    []byte
	members []span // of the objects that have not ended
}

// span is a member in the form: from its name to the end of its value.
type span struct{ name, value, end int }

func (d *digester) value() bool {
	start := d.s.pos
	switch {
	case d.s.at('{'):
		return d.object()
	case d.s.at('['):
		return d.array()
	case !d.s.value():
		return false
	}
	raw := d.s.text[start:d.s.pos]
	at := len(d.form)
	d.form = append(d.form, 'v', 0, 0, 0, 0, 0, 0, 0, 0)
	from := len(d.form)
	if raw[0] == '"' {
		d.form[at] = '"'
		d.form = AppendText(d.form, raw)
	} else {
		d.form = append(d.form, raw...)
	}
	binary.BigEndian.PutUint64(d.form[at+1:], uint64(len(d.form)-from))
	return true
}

func (d *digester) array() bool {
	d.form = append(d.form, '[')
	if !d.s.enter() {
		return false
	}
	for !d.s.at(']') {
		if !d.value() || !d.next(']') {
			return false
		}
	}
	d.form = append(d.form, ']')
	return d.s.leave()
}

func (d *digester) object() bool {
	start, first := len(d.form), len(d.members)
	outermost := d.s.depth == MaxDepth
	if !d.s.enter() {
		return false
	}
	for !d.s.at('}') {
		m := span{name: len(d.form)}
		from := d.s.pos
		if !d.s.key() {
			return false
		}
		d.form = append(d.form, keyIn(d.s.text[from:d.s.pos])...)
		m.value = len(d.form)
		if !d.value() {
			return false
		}
		m.end = len(d.form)
		if outermost && slices.Contains(d.without, string(d.form[m.name:m.value])) {
			d.form = d.form[:m.name]
		} else {
			d.members = append(d.members, m)
		}
		if !d.next('}') {
			return false
		}
	}
	sum := d.sum(d.members[first:])
	d.members = d.members[:first]
	d.form = append(append(d.form[:start], '{'), sum...)
	return d.s.leave()
}

// next steps to the next member or element, or to the bracket that closes them.
func (d *digester) next(closing byte) bool {
	d.s.blanks()
	if d.s.at(closing) {
		return true
	}
	if !d.s.at(',') {
		return false
	}
	d.s.pos++
	d.s.blanks()
	return !d.s.at(closing)
}

// sum hashes members in the order of their names, each with its length.
func (d *digester) sum(members []span) []byte {
	slices.SortStableFunc(members, func(a, b span) int { return bytes.Compare(d.name(a), d.name(b)) })
	d.hash.Reset()
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(d.name(m), d.name(members[i+1])) {
			continue
		}
		binary.BigEndian.PutUint64(d.lengths[:], uint64(m.value-m.name))
		binary.BigEndian.PutUint64(d.lengths[8:], uint64(m.end-m.value))
		_, _ = d.hash.Write(d.lengths[:])
		_, _ = d.hash.Write(d.form[m.name:m.end])
	}
	return d.hash.Sum(d.last[:0])
}

func (d *digester) name(m span) []byte { return d.form[m.name:m.value] }

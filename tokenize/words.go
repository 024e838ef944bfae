package tokenize

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// badUTF8 returns the index of the first byte of b that is no UTF-8, -1 if there is none. Two characters of three
// bytes (most of Chinese, Japanese and Korean) are taken in one step, which is several times faster than one by one.
func badUTF8(b []byte) int {
	const (
		shape  = 0xC0C0F0_C0C0F0 // the bits that say "three bytes", of two characters
		three  = 0x8080E0_8080E0
		narrow = 1<<0 | 1<<13 // lead bytes E0 and ED do not take every second byte
	)
	i := 0
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		switch {
		case x&highBits == 0:
			i += 8
			continue
		case x&0x80 == 0:
			i += bits.TrailingZeros64(x&highBits) / 8
			continue
		case x&shape == three && (1<<(x&15)|1<<(x>>24&15))&narrow == 0:
			i += 6
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	for i < len(b) {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// plainRun returns the index of the first byte at or after pos that ends a plain run of string text (a quote, a
// backslash or a control character; len(text) if none) and whether bytes beyond ASCII were met on the way.
//
// It takes eight bytes a step. x^2 moves the quote 0x22 to 0x20 and keeps the control characters below it, so one
// subtraction finds both. A borrow can only spoil bytes above a true hit, and the lowest hit is the one wanted.
func plainRun(text []byte, pos int) (end int, high bool) {
	for ; pos+8 <= len(text); pos += 8 {
		x := binary.LittleEndian.Uint64(text[pos:])
		hit := ((x ^ everyByte*2) - everyByte*0x21) | ((x ^ everyByte*'\\') - everyByte)
		if (hit|x)&highBits == 0 {
			continue
		}
		if hit &= ^x & highBits; hit != 0 {
			i := bits.TrailingZeros64(hit) / 8
			return pos + i, high || x&highBits&(1<<(8*i)-1) != 0
		}
		high = true
	}
	for ; pos < len(text); pos++ {
		c := text[pos]
		if c == '"' || c == '\\' || c < 0x20 {
			break
		}
		high = high || c >= utf8.RuneSelf
	}
	return pos, high
}

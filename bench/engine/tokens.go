package engine

import (
	"strings"
	"unicode/utf8"
)

// pieceBytes is the longest stretch of a word that is one token; longer words are split.
const pieceBytes = 16

// Marks of the chat template. Ids of words lie above them.
const (
	markStart uint32 = 1 + iota
	markEnd
	markNewline
	firstWordID uint32 = 1024
)

// nextToken returns the length of the first token of text: white space and what follows it, up to the next white space
// but at most pieceBytes of it. Text must not be empty.
func nextToken(text string) int {
	i := 0
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	start := i
	for i < len(text) && !isSpace(text[i]) {
		_, size := utf8.DecodeRuneInString(text[i:])
		if i > start && i+size > start+pieceBytes {
			break
		}
		i += size
	}
	return i
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// appendTokens appends the ids of text. The id of a token follows from its bytes alone.
func appendTokens(dst []uint32, text string) []uint32 {
	for text != "" {
		n := nextToken(text)
		dst = append(dst, tokenID(text[:n]))
		text = text[n:]
	}
	return dst
}

func tokenID(piece string) uint32 {
	h := uint32(hashString(0, piece) >> 33)
	return max(h, firstWordID)
}

// CountTokens returns the number of tokens that the engine's tokeniser makes of text: one for each word with the white
// space before it, more for words above 16 bytes, one for white space at the end.
func CountTokens(text string) int {
	n := 0
	for text != "" {
		text = text[nextToken(text):]
		n++
	}
	return n
}

// Text returns words that are exactly n tokens, equal for equal keys.
func Text(key uint64, n int) string {
	var b strings.Builder
	words := newWriter(key)
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words.next())
	}
	return b.String()
}

// templateMessage appends one chat message as the template renders it: start, role, newline, text, end, newline.
func templateMessage(dst []uint32, role, text string) []uint32 {
	dst = append(dst, markStart, tokenID(role), markNewline)
	dst = appendTokens(dst, text)
	return append(dst, markEnd, markNewline)
}

// templateAnswer appends what asks the model to answer: start, assistant, newline.
func templateAnswer(dst []uint32) []uint32 {
	return append(dst, markStart, tokenID("assistant"), markNewline)
}

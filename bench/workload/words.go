package workload

import (
	_ "embed"
	"math"
	"strings"
)

// vocabularySize is the number of words in words.txt.
const vocabularySize = 256

// spellWords is how many words at the start of a text spell its number.
const spellWords = 3

//go:embed words.txt
var wordList string

// vocabulary is the words of words.txt: short, common, lower case, each a single token with most tokenizers.
func vocabulary() []string { return strings.Fields(wordList) }

// distinct is how many texts of n words can be told apart by their spelled number.
func distinct(n int) int {
	return int(math.Pow(vocabularySize, float64(min(n, spellWords))))
}

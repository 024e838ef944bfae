package engine

// CountTokens returns the number of tokens that the engine's tokeniser makes of text.
func CountTokens(text string) int { return 0 }

// Text returns words that are exactly n tokens, equal for equal keys.
func Text(key uint64, n int) string { return "" }

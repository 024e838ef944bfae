package engine

import "math/rand/v2"

// words is the vocabulary of generated text: short, plain, none needs escaping in JSON.
var words = [...]string{
	"able", "about", "above", "across", "after", "again", "all", "almost", "along", "already", "also", "always", "among", "an", "and", "answer",
	"any", "are", "area", "around", "as", "ask", "at", "away", "back", "balance", "base", "be", "because", "been", "before", "begin",
	"behind", "being", "below", "best", "better", "between", "big", "both", "bring", "build", "but", "by", "call", "can", "care", "carry",
	"case", "cause", "centre", "change", "check", "choose", "clear", "close", "cold", "come", "common", "copy", "cost", "could", "count", "cover",
	"cut", "data", "day", "deep", "detail", "did", "do", "does", "done", "door", "down", "draw", "drive", "dry", "during", "each",
	"early", "easy", "edge", "else", "end", "enough", "even", "event", "every", "exact", "example", "fact", "fair", "fall", "far", "fast",
	"few", "field", "figure", "fill", "final", "find", "fine", "first", "fit", "five", "floor", "flow", "follow", "for", "form", "found",
	"four", "free", "from", "full", "gain", "general", "get", "give", "go", "good", "grain", "great", "ground", "group", "grow", "had",
	"half", "hand", "hard", "has", "have", "he", "head", "hear", "heat", "heavy", "help", "her", "here", "high", "hold", "home",
	"hour", "house", "how", "idea", "if", "in", "inside", "into", "is", "it", "just", "keep", "kind", "know", "land", "large",
	"last", "late", "lead", "learn", "least", "leave", "left", "less", "let", "level", "light", "like", "line", "list", "little", "live",
	"load", "local", "long", "look", "low", "made", "main", "make", "many", "map", "mark", "matter", "may", "mean", "measure", "meet",
	"method", "might", "mind", "minute", "model", "moment", "more", "most", "move", "much", "must", "name", "near", "need", "never", "new",
	"next", "night", "no", "north", "not", "note", "now", "number", "of", "off", "often", "old", "on", "once", "one", "only",
	"open", "or", "order", "other", "our", "out", "over", "own", "part", "pass", "path", "people", "place", "plain", "plan", "plant",
	"point", "power", "press", "problem", "proof", "put", "quick", "quiet", "rain", "rate", "reach", "read", "ready", "real", "reason", "rest",
	"result", "right", "river", "road", "room", "round", "rule", "run", "same", "say", "school", "second", "see", "seem", "send", "set",
	"several", "shape", "share", "short", "should", "show", "side", "simple", "since", "size", "slow", "small", "so", "some", "soon", "sort",
	"sound", "south", "space", "stand", "start", "state", "step", "still", "stone", "stop", "story", "strong", "such", "sum", "sure", "table",
	"take", "talk", "tell", "test", "than", "that", "the", "their", "them", "then", "there", "these", "they", "thing", "think", "this",
	"those", "though", "three", "through", "time", "to", "today", "together", "too", "top", "toward", "town", "tree", "true", "try", "turn",
	"two", "under", "unit", "until", "up", "upon", "use", "value", "very", "voice", "walk", "wall", "want", "warm", "was", "watch",
	"water", "way", "we", "well", "went", "were", "west", "what", "when", "where", "which", "while", "white", "who", "whole", "why",
	"wide", "will", "wind", "with", "word", "work", "world", "would", "write", "year", "yes", "yet", "you", "young", "your", "zero",
}

// writer draws an endless text from a key. Each word is one token.
type writer struct{ rng *rand.PCG }

func newWriter(key uint64) writer { return writer{rand.NewPCG(key, 0x5bf03635)} }

func (w writer) next() string { return words[w.draw()] }

func (w writer) draw() uint16 { return uint16(w.rng.Uint64() >> 32 % uint64(len(words))) }

package guard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// load is a text that is looked at as a whole.
func load(s string) *text {
	t := &text{}
	t.load([]byte(s), 0, newFolder())
	return t
}

// found are the pieces of s that f finds.
func found(f finder, s string) []string {
	t := load(s)
	var all []string
	for _, at := range f.find(t, nil) {
		from := t.marks.source(at)
		all = append(all, s[from.start:from.end])
	}
	return all
}

func lexiconOf(whole bool, words ...string) *lexicon {
	var t text
	f := newFolder()
	for i, w := range words {
		t.load([]byte(w), 0, f)
		words[i] = string(t.fold)
	}
	return newLexicon(words, whole)
}

func patternOf(t testing.TB, expr string) *pattern {
	t.Helper()
	p, err := newPattern(expr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLexicon_SeesThroughSpelling(t *testing.T) {
	words := lexiconOf(true, "敏感词", "台湾", "Secret Plan", "straße", "m&m", "c++")
	for in, want := range map[string][]string{
		"这是敏感词。":            {"敏感词"},
		"这是敏\u200b感\u2060词": {"敏\u200b感\u2060词"},
		"臺灣，台灣":             {"臺灣", "台灣"},
		"the SECRET plan":   {"SECRET plan"},
		"ｓｅｃｒｅｔ　ｐｌａｎ!":      {"ｓｅｃｒｅｔ　ｐｌａｎ"},
		"se\u00adcret plan": {"se\u00adcret plan"},
		"the secret\nplan":  {"secret\nplan"},
		"secret\tplan":      {"secret\tplan"},
		"secret  plan":      nil,
		"secret plans":      nil,
		"mysecret plan":     nil,
		"我的secret plan很好":   {"secret plan"},
		"STRAße":            {"STRAße"},
		"M&Ms":              nil,
		"m&m":               {"m&m"},
		"c++17":             {"c++"},
		"𝓼𝓮𝓬𝓻𝓮𝓽 𝐩𝐥𝐚𝐧":                   {"𝓼𝓮𝓬𝓻𝓮𝓽 𝐩𝐥𝐚𝐧"},
		"\ufe0fsecret\ufe0f plan\ufe0f": {"secret\ufe0f plan"},
		"":                              nil,
	} {
		if got := found(words, in); !slices.Equal(got, want) {
			t.Errorf("%q: found %q, want %q", in, got, want)
		}
	}
	parts := lexiconOf(false, "ass", "assess")
	if got := found(parts, "assessment class"); !slices.Equal(got, []string{"assess", "ass"}) {
		// the second letter s of "assess" begins no word; of two words at one place the longer counts
		t.Errorf("found %q", got)
	}
}

// The lexicon against looking for each word at each place.
func TestLexicon_FindsWhatPlainSearchFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alphabet := []rune("ab敏感 é")
		word := rapid.StringOfN(rapid.SampledFrom(alphabet), 1, 4, -1)
		words := rapid.SliceOfN(word, 1, 8).Draw(t, "words")
		whole := rapid.Bool().Draw(t, "whole")
		in := rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 30, -1).Draw(t, "text")
		var want []span
		for i := range in {
			best := 0
			for _, w := range words {
				end := i + len(w)
				if !strings.HasPrefix(in[i:], w) || whole && i > 0 && joined(lastRune([]byte(in[:i])), []rune(w)[0]) {
					continue
				}
				if next, _ := utf8.DecodeRuneInString(in[end:]); whole && end < len(in) && joined(lastRune([]byte(w)), next) {
					continue
				}
				best = max(best, end)
			}
			if best > 0 {
				want = append(want, span{i, best})
			}
		}
		if got := newLexicon(words, whole).find(load(in), nil); !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	})
}

// What a finder calls decided stays so, whatever follows: this is what lets a stream's text go.
func TestFinders_DecidedTextStaysDecided(t *testing.T) {
	words := lexiconOf(true, "敏感词", "secret", "secret plan", "敏")
	finders := map[string]finder{
		"words": words, "parts of words": lexiconOf(false, "ab", "abcab", "敏感词"),
		"digits": patternOf(t, `\b\d{4,6}\b`), "either": patternOf(t, `(?i)ab+c|b{2,}$|敏.词`), "line": patternOf(t, `(?m)^x.*y$`),
		"lazy": patternOf(t, `a.*?b`), "empty": patternOf(t, `a*`),
	}
	for _, name := range detectorNames() {
		finders[name] = newDetector(name)
	}
	pieces := []string{
		"a", "b", "c", "ab", "abc", "x", "y", "\n", " ", ".", "-", "+", "@", "_", "(", ")", "敏", "感", "词", "secret", " plan", "s", "1", "3", "12", "0086", "86",
		"13812345678", "138 1234", "110101199003070", "71X", "4111 1111 1111 1111", "622202", "bob", "@example.com", "sk-", "abcdefghij0123456789", "AKIA",
		"ABCDEFGH12345678", "ｓ", "\u200b", "㎏", "é",
	}
	for name, f := range finders {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				in := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 14).Draw(t, "pieces"), "")
				all := load(in)
				cut := rapid.IntRange(0, len(all.plain)).Draw(t, "cut")
				for cut < len(all.plain) && !utf8.RuneStart(all.plain[cut]) {
					cut++
				}
				part := &text{plain: all.plain[:cut], fold: all.fold[:cut]}
				open := f.open(part)
				if got, want := before(f.find(part, nil), open), before(f.find(all, nil), open); !slices.Equal(got, want) {
					t.Fatalf("%q of %q is decided up to %d, with %v found; in the end it is %v", part.plain, all.plain, open, got, want)
				}
			})
		})
	}
}

func before(all []span, open int) (some []span) {
	for _, s := range all {
		if s.start < open {
			some = append(some, s)
		}
	}
	return some
}

// What cannot become a match is not held back.
func TestFinders_CleanTextIsOpenNowhere(t *testing.T) {
	for _, c := range []struct {
		f    finder
		in   string
		open string // what is held back
	}{
		{lexiconOf(true, "敏感词", "secret"), "你好，世界", ""},
		{lexiconOf(true, "敏感词", "secret"), "你好，敏", "敏"},
		{lexiconOf(true, "敏感词", "secret"), "this is a se", "se"},
		{lexiconOf(true, "敏感词", "secret"), "this is a house", ""},
		{lexiconOf(true, "敏感词"), "敏感词", "敏感词"}, // decided, but at no cost: it is found
		{patternOf(t, `\d{4}`), "call 12", "12"},
		{patternOf(t, `\d{4}`), "call 1234", "234"},
		{patternOf(t, `\d{4}`), "call me", ""},
		{newDetector("phone"), "call me", ""},
		{newDetector("phone"), "call 138", "138"},
		{newDetector("phone"), "in 2024, we", ""},
		{newDetector("email"), "write to bob", "bob"},
		{newDetector("email"), "write to bob ", ""},
		{newDetector("email"), "写信", ""},
		{newDetector("api_key"), "the sk", "sk"},
		{newDetector("api_key"), "the sky", ""},
	} {
		t.Run(c.in, func(t *testing.T) {
			x := load(c.in)
			if got := string(x.plain[c.f.open(x):]); got != c.open {
				t.Errorf("%q holds %q back, want %q", c.in, got, c.open)
			}
		})
	}
}

func TestText_FindsItsWayBack(t *testing.T) {
	for _, in := range []string{"abc", "ＡＢＣ　ｄ", "e\u0301te\u0301", "㎏㎏", "敏\u200b感", "ﬁne", "한국", "\u1112\u1161\u11ab", "ok\u0301\u0302 ", "\ufdfa", "Ⅷ x"} {
		x := load(in)
		if len(x.plain) != len(x.fold) || len(in) > 0 && len(x.plain) == 0 {
			t.Errorf("%q: %q and %q", in, x.plain, x.fold)
		}
		if at := x.marks.source(span{0, len(x.plain)}); at.start != 0 || at.end != len(in) {
			t.Errorf("%q: the whole of it comes from %v", in, at)
		}
	}
}

// Whatever the text, each place of it comes from a place of its source, in order, between characters.
func FuzzText(f *testing.F) {
	for _, in := range []string{"", "abc", "ＡＢＣ", "e\u0301", "\xff\xfe", "敏\u200b感", "a\u0300\u0301\u0302", "\u3164x", "\U000e0041"} {
		f.Add(in, 0)
	}
	fold := newFolder()
	f.Fuzz(func(t *testing.T, in string, said int) {
		if said < 0 || said > len(in) {
			return
		}
		var x text
		x.load([]byte(in), said, fold)
		last := 0
		for i := range x.plain {
			at := x.marks.source(span{i, i + 1})
			if at.start < 0 || at.end > len(in) || at.end <= at.start || at.start < last && i == 0 {
				t.Fatalf("%q: byte %d of %q comes from %v", in, i, x.plain, at)
			}
			if i >= x.from != (at.start >= said) && utf8.ValidString(in) && utf8.RuneStart(x.plain[i]) {
				t.Fatalf("%q: byte %d, from %d, comes from %v, said %d", in, i, x.from, at, said)
			}
			last = at.start
		}
		if len(x.fold) != len(x.plain) {
			t.Fatalf("%q: %q is folded to %q", in, x.plain, x.fold)
		}
	})
}

// thousands of words, three in four Chinese, and texts like those that people write: characters by their usual frequency.
func thousands(n int) []string {
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	var words []string
	for len(words) < n {
		w := chinese(r, 2+r.IntN(5))
		if r.IntN(4) == 0 {
			w = latin(r, 4+r.IntN(6))
		}
		if !seen[w] {
			seen[w] = true
			words = append(words, w)
		}
	}
	return words
}

func chinese(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteRune(rune(0x4e00 + int(3500*r.Float64()*r.Float64())))
	}
	return b.String()
}

func latin(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("etaoinshrdlcumwfgypbvkjxqz"[int(26*r.Float64()*r.Float64())])
	}
	return b.String()
}

func prose(size int, write func(*rand.Rand) string) string {
	r := rand.New(rand.NewPCG(2, 2))
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(write(r))
	}
	return b.String()
}

func samples() map[string]string {
	return map[string]string{
		"chinese":    prose(32<<10, func(r *rand.Rand) string { return chinese(r, 10) + "，" }),
		"english":    prose(32<<10, func(r *rand.Rand) string { return latin(r, 1+r.IntN(9)) + " " }),
		"full-width": prose(32<<10, func(*rand.Rand) string { return "ｗｏｒｄ　" }),
		"numbers":    prose(32<<10, func(r *rand.Rand) string { return fmt.Sprint(r.IntN(1e9), ", ") }),
	}
}

// BenchmarkWords looks for 100,000 words in 32 KiB, normalising included.
func BenchmarkWords(b *testing.B) {
	for _, whole := range []bool{true, false} {
		words := newLexicon(thousands(100_000), whole)
		for name, in := range samples() {
			b.Run(fmt.Sprintf("%s/whole=%v", name, whole), func(b *testing.B) {
				var t text
				var out []span
				fold := newFolder()
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					t.load([]byte(in), 0, fold)
					out = words.find(&t, out[:0])
				}
				b.ReportMetric(float64(len(out)), "found")
			})
		}
	}
}

func BenchmarkDetectors(b *testing.B) {
	for _, name := range detectorNames() {
		f := newDetector(name)
		for sample, in := range samples() {
			b.Run(name+"/"+sample, func(b *testing.B) {
				t := load(in)
				var out []span
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					out = f.find(t, out[:0])
				}
			})
		}
	}
}

func BenchmarkLexicon_Build(b *testing.B) {
	words := thousands(100_000)
	b.ReportAllocs()
	for b.Loop() {
		newLexicon(words, true)
	}
}

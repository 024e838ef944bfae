package guard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDetectors(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"phone", "请打13812345678。", []string{"13812345678"}},
		{"phone", "138-1234-5678 or 138 1234 5678", []string{"138-1234-5678", "138 1234 5678"}},
		{"phone", "+86 138 1234 5678, 0086-13912345678, 8613712345678", []string{"+86 138 1234 5678", "0086-13912345678", "8613712345678"}},
		{"phone", "+1 (415) 555-2671 and +442071838750", []string{"+1 (415) 555-2671", "+442071838750"}},
		{"phone", "１３８１２３４５６７８", []string{"１３８１２３４５６７８"}},
		{"phone", "13812345678 4 times", []string{"13812345678"}},
		{"phone", "a13812345678 138123456789 12812345678 0.13812345678 13812345678.5", nil},
		{"phone", "+1234 +0123456789 +12345678901234567", nil},
		{"email", "Bob <bob.smith+x@mail.example.com>, a@b.cn。", []string{"bob.smith+x@mail.example.com", "a@b.cn"}},
		{"email", "联系bob@example.com吧", []string{"bob@example.com"}},
		{"email", "ｂｏｂ＠ｅｘａｍｐｌｅ．ｃｏｍ", []string{"ｂｏｂ＠ｅｘａｍｐｌｅ．ｃｏｍ"}},
		{"email", "see bob@example.com.", []string{"bob@example.com"}},
		{"email", "bob@localhost @you a@b a@b.c a@1.2 x@.com .@b.com bob.@example.com", nil},
		{"id_card", "身份证11010519491231002X，", []string{"11010519491231002X"}},
		{"id_card", "440524188001010014", []string{"440524188001010014"}},
		{"id_card", "110105194912310021 11010519491331002X 99010519491231002X x11010519491231002X 11010519491231002X1", nil},
		{"bank_card", "4111 1111 1111 1111, 5555-5555-5555-4444; 378282246310005", []string{"4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005"}},
		{"bank_card", "6222021234567890129", nil},
		{"bank_card", "卡号6222021234567890128 ok", []string{"6222021234567890128"}},
		{"bank_card", "4111111111111112 41111111111111111111111 1111 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", nil},
		{"api_key", "key sk-proj-Ab12Cd34Ef56Gh78Ij90 end", []string{"sk-proj-Ab12Cd34Ef56Gh78Ij90"}},
		{"api_key", "AKIAIOSFODNN7EXAMPLE", []string{"AKIAIOSFODNN7EXAMPLE"}},
		{"api_key", "ghp_0123456789abcdefghijABCDEFGHIJ012345", []string{"ghp_0123456789abcdefghijABCDEFGHIJ012345"}},
		{"api_key", "task-force-of-many-people-1 sk-this-is-a-long-word-with-dashes AKIAIOSFODNN7EXAMPLES sk-short1", nil},
	} {
		if got := found(newDetector(c.name), c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: in %q found %q, want %q", c.name, c.in, got, c.want)
		}
	}
}

// What detectors find in texts of which none is meant: the price of each form, in the README's table.
func TestDetectors_FalseAlarms(t *testing.T) {
	const n = 100_000
	r := rand.New(rand.NewPCG(3, 3))
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = '0' + byte(r.IntN(10))
		}
		return string(b)
	}
	kinds := []struct {
		name string
		make func() string
		most map[string]int // found in n texts, at most
	}{
		{"11 digits", func() string { return digits(11) }, map[string]int{"phone": 7500}},
		{"13 digits", func() string { return digits(13) }, map[string]int{"bank_card": 1200, "phone": 100}},
		{"16 digits", func() string { return digits(16) }, map[string]int{"bank_card": 2600}},
		{"18 digits", func() string { return digits(18) }, map[string]int{"id_card": 60, "bank_card": 300}},
		{"19 digits", func() string { return digits(19) }, map[string]int{"bank_card": 1300}},
		{"milliseconds since 1970", func() string { return fmt.Sprint(1_600_000_000_000 + r.IntN(200_000_000_000)) }, nil},
		{"dates and times", func() string {
			return fmt.Sprintf("20%02d-%02d-%02d %02d:%02d:%02d.%03d", r.IntN(30), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000))
		}, nil},
		{"compact times", func() string {
			return fmt.Sprintf("20%02d%02d%02d%02d%02d%02d", r.IntN(30), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
		}, nil},
		{"UUIDs", func() string {
			return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<16), r.IntN(1<<16), r.Uint64()>>16)
		}, map[string]int{"phone": 40, "bank_card": 20}},
		{"addresses and versions", func() string {
			return fmt.Sprintf("%d.%d.%d.%d v%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(20), r.IntN(99), r.IntN(99))
		}, nil},
		{"amounts", func() string { return fmt.Sprintf("%d.%02d", r.IntN(1e12), r.IntN(100)) }, nil},
		{"English", func() string { return latin(r, 6) + " " + latin(r, 4) + "-" + latin(r, 12) }, nil},
		{"Chinese", func() string { return chinese(r, 20) }, nil},
	}
	finders := map[string]finder{}
	for _, name := range detectorNames() {
		finders[name] = newDetector(name)
	}
	for _, k := range kinds {
		counts := map[string]int{}
		for range n {
			x := k.make()
			for name, f := range finders {
				counts[name] += len(foundIn(f, x))
			}
		}
		t.Logf("%-24s phone %5.2f %%  email %5.2f %%  id_card %5.2f %%  bank_card %5.2f %%  api_key %5.2f %%", k.name,
			percent(counts["phone"], n), percent(counts["email"], n), percent(counts["id_card"], n), percent(counts["bank_card"], n), percent(counts["api_key"], n))
		for name, count := range counts {
			if count > k.most[name] {
				t.Errorf("%s: %d of %d are taken for a %s, want at most %d", k.name, count, n, name, k.most[name])
			}
		}
	}
}

func foundIn(f finder, s string) []span { return f.find(&text{plain: []byte(s)}, nil) }

func percent(n, of int) float64 { return 100 * float64(n) / float64(of) }

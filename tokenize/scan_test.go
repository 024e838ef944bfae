package tokenize

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValidate_NamesFaultAndPlace(t *testing.T) {
	for _, c := range []struct {
		text   string
		offset int
		reason string
	}{
		{``, 0, `the JSON text ends where a value is expected`},
		{`{"a":1,}`, 7, `'}' where a member name in quotes is expected`},
		{`{"a" 1}`, 5, `'1' where ":" is expected`},
		{`{"a":1 "b"}`, 7, `'"' where "," or "}" is expected`},
		{`[1,2`, 4, `the JSON text ends where "," or "]" is expected`},
		{`[1,]`, 3, `']' where a value is expected`},
		{`"a`, 2, `the JSON text ends inside a string`},
		{"\"abcdefgh\nz\"", 9, `control character 0x0a inside a string`},
		{`"\x"`, 1, `an unknown escape inside a string`},
		{`"\u12g4"`, 1, `a \u escape without four hexadecimal digits`},
		{"\"abc\xffdef\"", 4, `bytes that are not UTF-8 inside a string`},
		{`01`, 1, `'1' where the end of the JSON text is expected`},
		{`-`, 1, `the JSON text ends where a digit is expected`},
		{`1.e3`, 2, `'e' where a digit is expected`},
		{`tru`, 0, `a word that is not true, false or null`},
		{`{} {}`, 3, `'{' where the end of the JSON text is expected`},
		{"\ufeff{}", 0, `'ï' where a value is expected`},
		{`[[[[[1]]]]]`, 4, `the JSON text is nested too deeply`},
	} {
		var fault *SyntaxError
		if err := Validate([]byte(c.text), 4); !errors.As(err, &fault) {
			t.Errorf("%q: accepted", c.text)
		} else if fault.Offset != c.offset || fault.Reason != c.reason {
			t.Errorf("%q: %v, want %s at byte %d", c.text, fault, c.reason, c.offset)
		}
	}
}

func TestValidate_DepthIsBounded(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := Validate(deep(512), MaxDepth); err != nil {
		t.Error(err)
	}
	for _, n := range []int{513, 10_000_000} {
		if Validate(deep(n), MaxDepth) == nil {
			t.Errorf("depth %d was accepted", n)
		}
	}
}

func TestPlainRun_AnyPlaceAnyByte(t *testing.T) {
	for n := range 40 {
		for c := range 256 {
			for place := range n {
				text := bytes.Repeat([]byte{'x'}, n)
				text[place] = byte(c)
				want := n
				if c == '"' || c == '\\' || c < 0x20 {
					want = place
				}
				if end, high := plainRun(text, 0); end != want || high != (c >= 0x80) {
					t.Fatalf("byte %#x at %d of %d: end %d, high %v", c, place, n, end, high)
				}
			}
		}
	}
}

func TestWalk_MembersAndElements(t *testing.T) {
	text := ` { "a" : 1, "b\u0063" :[ {"x":"}"} , "]" ] , "a": null } `
	w := Walk([]byte(text), MaxDepth)
	var got []string
	for w.Next() {
		got = append(got, string(w.Key)+"="+string(w.Value))
		if text[w.Offset:w.Offset+len(w.Value)] != string(w.Value) {
			t.Errorf("offset %d is not that of %s", w.Offset, w.Value)
		}
	}
	if want := `a=1|bc=[ {"x":"}"} , "]" ]|a=null`; strings.Join(got, "|") != want || w.Err() != nil {
		t.Errorf("got %q, %v", got, w.Err())
	}
	for _, bad := range []string{`{"a":1`, `{"a":1}x`, `{"a":1,}`, `[1 2]`, `1`, ``, `[`} {
		w := Walk([]byte(bad), MaxDepth)
		for w.Next() {
		}
		if w.Err() == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if string(Find([]byte(text), "a")) != "null" || Find([]byte(text), "z") != nil {
		t.Error("Find does not take the last of several")
	}
}

func TestText_Decodes(t *testing.T) {
	for raw, want := range map[string]string{
		`"plain"`:                           "plain",
		`"\"\\\/\b\f\n\r\t"`:                "\"\\/\b\f\n\r\t",
		`"\u00e9\u4F60"`:                    "é你",
		`"a\ud83d\ude00b"`:                  "a😀b",
		`"\ud83d"`:                          "\ufffd",
		`"\ude00x"`:                         "\ufffdx",
		`"\ud83d\ud83d\ude00"`:              "\ufffd😀",
		`"\ud83d\n"`:                        "\ufffd\n",
		`12`:                                "",
		`"` + strings.Repeat("é", 99) + `"`: strings.Repeat("é", 99),
	} {
		if got := StringOf([]byte(raw)); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
		if raw[0] == '"' && (!TextIs([]byte(raw), want) || TextIs([]byte(raw), want+"x")) {
			t.Errorf("%s: TextIs does not know it", raw)
		}
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,"x\u00e9\n",true,null]}`, `"\ud83d\ude00"`, `[[]]`, `"é"`, ` 0 `, `{"":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text) && utf8.Valid(text)
		err := Validate(text, 10_000)
		if (err == nil) != want {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, want)
		}
		w := Walk(text, 10_000)
		for w.Next() {
		}
		if want && w.Kind() != Invalid && bytes.ContainsAny(text[:1], "{[") && w.Err() != nil {
			t.Fatalf("%q: Walk: %v", text, w.Err())
		}
		var s string
		if want && json.Unmarshal(text, &s) == nil && KindOf(bytes.TrimSpace(text)) == String {
			if got := StringOf(bytes.Trim(text, " \t\r\n")); got != s {
				t.Fatalf("%q decodes to %q, want %q", text, got, s)
			}
		}
		trusted := WalkTrusted(text)
		for trusted.Next() {
			_ = StringOf(trusted.Value)
		}
	})
}

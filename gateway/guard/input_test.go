package guard

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warmlane/warmlane/gateway/config"
)

// ruleOf is a rule with the defaults of a configuration.
func ruleOf(action string, detect ...string) config.GuardRule {
	return config.GuardRule{
		Name: "r", Check: []string{"input", "output"}, WholeWords: true, Detect: detect, Action: action, Refuse: "error", Message: "No.", LookBack: 256,
	}
}

func wordsOf(t testing.TB, action string, words ...string) config.GuardRule {
	t.Helper()
	path := filepath.Join(t.TempDir(), "words.txt")
	if err := os.WriteFile(path, []byte("# words\n\n"+strings.Join(words, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := ruleOf(action)
	r.Name, r.Words = "words", []string{path}
	return r
}

func guardOf(t testing.TB, rules ...config.GuardRule) *Guard {
	t.Helper()
	g, err := New(rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *Guard) all() *Session { return g.For(&config.Subject{Model: "m"}) }

func TestInput_AllThatReachesTheModelAndNothingElse(t *testing.T) {
	g := guardOf(t, ruleOf("mask", "email"))
	for in, want := range map[string]string{
		`{"model":"a@b.cn","user":"a@b.cn","stop":["a@b.cn"],"messages":[{"role":"user","name":"a@b.cn","content":"a@b.cn"}]}`:                    `{"model":"a@b.cn","user":"a@b.cn","stop":["a@b.cn"],"messages":[{"role":"user","name":"a@b.cn","content":"[EMAIL]"}]}`,
		`{"messages" : [ {"content":[{"type":"text","text":"to a@b.cn!"},{"type":"image_url","image_url":{"url":"http://a@b.cn/"}}]}], "x":1.50}`: `{"messages" : [ {"content":[{"type":"text","text":"to [EMAIL]!"},{"type":"image_url","image_url":{"url":"http://a@b.cn/"}}]}], "x":1.50}`,
		`{"prompt":["a@b.cn","x"],"suffix":"\u0061@b.cn"}`: `{"prompt":["[EMAIL]","x"],"suffix":"[EMAIL]"}`,
		`{"input":[{"type":"message","content":[{"type":"input_text","text":"a@b.cn"}]},{"type":"function_call_output","call_id":"c","output":"a@b.cn"}],"instructions":"a@b.cn"}`: `{"input":[{"type":"message","content":[{"type":"input_text","text":"[EMAIL]"}]},{"type":"function_call_output","call_id":"c","output":"[EMAIL]"}],"instructions":"[EMAIL]"}`,
		`{"input":"a@b.cn"}`: `{"input":"[EMAIL]"}`,
		`{"system":[{"type":"text","text":"a@b.cn"}],"messages":[{"content":[{"type":"tool_use","id":"a@b.cn","name":"f","input":{"q":{"to":["a@b.cn"]}}},{"type":"tool_result","tool_use_id":"i","content":[{"type":"text","text":"a@b.cn"}]}]}]}`: `{"system":[{"type":"text","text":"[EMAIL]"}],"messages":[{"content":[{"type":"tool_use","id":"a@b.cn","name":"f","input":{"q":{"to":["[EMAIL]"]}}},{"type":"tool_result","tool_use_id":"i","content":[{"type":"text","text":"[EMAIL]"}]}]}]}`,
		`{"messages":[{"content":[{"type":"document","source":{"type":"text","data":"a@b.cn"}},{"type":"image","source":{"type":"base64","data":"a@b.cn"}}]}]}`:                                                                                     `{"messages":[{"content":[{"type":"document","source":{"type":"text","data":"[EMAIL]"}},{"type":"image","source":{"type":"base64","data":"a@b.cn"}}]}]}`,
		`{"tools":[{"type":"function","function":{"name":"f","description":"mail a@b.cn","parameters":{"properties":{"to":{"description":"a@b.cn","default":"a@b.cn"}}}}}]}`:                                                                        `{"tools":[{"type":"function","function":{"name":"f","description":"mail [EMAIL]","parameters":{"properties":{"to":{"description":"[EMAIL]","default":"a@b.cn"}}}}}]}`,
		`{"query":"a@b.cn","documents":["a@b.cn",{"text":"a@b.cn"}]}`:           `{"query":"[EMAIL]","documents":["[EMAIL]",{"text":"[EMAIL]"}]}`,
		`{"messages":[{"content":"a@b.cn"}],"messages":[{"content":"a@b.cn"}]}`: `{"messages":[{"content":"[EMAIL]"}],"messages":[{"content":"[EMAIL]"}]}`,
		// What a tool is called with, and what a template is given, has whatever names it likes.
		`{"messages":[{"content":[{"type":"tool_use","id":"a@b.cn","name":"f","input":{"name":"a@b.cn","url":["a@b.cn"],"data":{"id":"a@b.cn"}}}]}]}`: `{"messages":[{"content":[{"type":"tool_use","id":"a@b.cn","name":"f","input":{"name":"[EMAIL]","url":["[EMAIL]"],"data":{"id":"[EMAIL]"}}}]}]}`,
		`{"messages":[{"tool_calls":[{"function":{"name":"f","arguments":{"name":"a@b.cn"}}}]}]}`:                                                     `{"messages":[{"tool_calls":[{"function":{"name":"f","arguments":{"name":"[EMAIL]"}}}]}]}`,
		`{"prompt":{"id":"p","variables":{"name":"a@b.cn"}},"chat_template_kwargs":{"name":"a@b.cn"}}`:                                                `{"prompt":{"id":"p","variables":{"name":"[EMAIL]"}},"chat_template_kwargs":{"name":"[EMAIL]"}}`,
		`{"response_format":{"json_schema":{"name":"a","schema":{"description":"a@b.cn"}}},"text":{"format":{"description":"a@b.cn"}}}`:               `{"response_format":{"json_schema":{"name":"a","schema":{"description":"[EMAIL]"}}},"text":{"format":{"description":"[EMAIL]"}}}`,
		// Arguments are JSON within a string, often with escapes of their own.
		`{"messages":[{"tool_calls":[{"function":{"name":"f","arguments":"{\"to\": \"a\\u0040b.cn\", \"n\": 1}"}}]}]}`: `{"messages":[{"tool_calls":[{"function":{"name":"f","arguments":"{\"to\": \"[EMAIL]\", \"n\": 1}"}}]}]}`,
		`{"messages":[{"tool_calls":[{"function":{"arguments":"to a@b.cn"}}]}]}`:                                       `{"messages":[{"tool_calls":[{"function":{"arguments":"to [EMAIL]"}}]}]}`,
		`{"messages":[{"tool_calls":[{"function":{"arguments":" \"a@b.cn\" "}}]}]}`:                                    `{"messages":[{"tool_calls":[{"function":{"arguments":" \"[EMAIL]\" "}}]}]}`,
	} {
		got, refusal := g.all().Input([]byte(in))
		if refusal != nil || string(got) != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", in, got, want)
		}
	}
}

// TestInput_WhatIsNoTextIsRefused: token ids and embeddings reach the model past every rule.
func TestInput_WhatIsNoTextIsRefused(t *testing.T) {
	for _, body := range []string{
		`{"prompt":[1,2]}`, `{"prompt":[[1,2],[3]]}`, `{"prompt":["x",[1,2]]}`, `{"pr\u006fmpt": [ [ 1 ] ]}`, `{"input":[[1]]}`, `{"input":[1]}`,
		`{"prompt":"x","prompt_embeds":"AAAA"}`, `{"prompt":null,"prompt_embeds":["AAAA"]}`,
	} {
		for action, want := range map[string]bool{"deny": true, "mask": true, "restore": true, "log": false} {
			s := guardOf(t, ruleOf(action, "email")).all()
			_, refusal := s.Input([]byte(body))
			if (refusal != nil) != want || want && len(s.Notes()) != 1 {
				t.Errorf("%s of %s: %v, notes %v", action, body, refusal, s.Notes())
			}
		}
	}
	for _, body := range []string{`{"prompt":[]}`, `{"prompt":["x"],"prompt_embeds":null}`, `{"input":[{"content":"x"}]}`, `{"messages":[],"x":[1]}`} {
		if _, refusal := guardOf(t, ruleOf("deny", "email")).all().Input([]byte(body)); refusal != nil {
			t.Errorf("%s is refused: %s", body, refusal.Message)
		}
	}
}

func TestInput_ActionsAndWhatTheyLeaveBehind(t *testing.T) {
	deny, mask, note := wordsOf(t, "deny", "敏感词"), ruleOf("mask", "phone"), ruleOf("log", "email")
	deny.Name, mask.Name, note.Name = "deny", "mask", "note"
	var told []string
	g, err := New([]config.GuardRule{deny, mask, note}, func(rule, side, action string, n int) { told = append(told, rule+" "+side+" "+action) })
	if err != nil {
		t.Fatal(err)
	}
	s := g.all()
	body := []byte(`{"prompt":"a@b.cn 13812345678"}`)
	got, refusal := s.Input(body)
	if string(got) != `{"prompt":"a@b.cn [PHONE]"}` || refusal != nil {
		t.Errorf("%s %v", got, refusal)
	}
	if n := s.Notes(); len(n) != 2 || n[0] != (Note{"note", "input", "log", 1}) || n[1] != (Note{"mask", "input", "mask", 1}) {
		t.Errorf("notes %v", n)
	}
	if want := "note input log,mask input mask"; strings.Join(told, ",") != want {
		t.Errorf("told %v, want %s", told, want)
	}
	if _, refusal := g.all().Input([]byte(`{"prompt":"敏\u200b感詞"}`)); refusal == nil || refusal.Message != "No." || refusal.Answer || !refusal.Failure().Final {
		t.Errorf("refusal %+v", refusal)
	}
	clean := []byte(`{"prompt":"nothing"}`)
	if got, _ := g.all().Input(clean); &got[0] != &clean[0] {
		t.Error("a clean body was copied")
	}
}

func TestInput_PlaceholdersAreStableAndNobodyElses(t *testing.T) {
	rule := ruleOf("restore", "phone", "email")
	rule.Regex = []string{`P-\d+`}
	g := guardOf(t, rule)
	one, _ := g.all().Input([]byte(`{"messages":[{"content":"13812345678, a@b.cn"}]}`))
	two, _ := g.all().Input([]byte(`{"messages":[{"content":"13812345678, a@b.cn"},{"content":"P-7 13812345678"}]}`))
	if string(one) != `{"messages":[{"content":"[PHONE_1], [EMAIL_2]"}]}` || string(two) != `{"messages":[{"content":"[PHONE_1], [EMAIL_2]"},{"content":"[TEXT_3] [PHONE_1]"}]}` {
		t.Errorf("%s\n%s", one, two)
	}
	if got, _ := g.all().Input([]byte(`{"prompt":"[PHONE_1] 13812345678"}`)); string(got) != `{"prompt":"[PHONE_1] [PHONE_2]"}` {
		t.Errorf("%s", got)
	}
}

func TestGuard_RulesForOthersCostNothing(t *testing.T) {
	rule := ruleOf("deny", "email")
	rule.Match.Models = []string{"other"}
	g := guardOf(t, rule)
	body := []byte(`{"prompt":"a@b.cn"}`)
	if n := testing.AllocsPerRun(100, func() {
		if got, refusal := g.all().Input(body); refusal != nil || len(got) != len(body) {
			t.Error("a rule for others was applied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var none *Guard
	if s := none.For(&config.Subject{}); s != nil || s.Notes() != nil {
		t.Error("no rules are a session")
	}
}

func TestNew_WordsAreBounded(t *testing.T) {
	long := wordsOf(t, "deny", strings.Repeat("x", 300))
	if _, err := New([]config.GuardRule{long}, nil); err == nil || !strings.Contains(err.Error(), "look_back") {
		t.Errorf("got %v", err)
	}
	if _, err := New([]config.GuardRule{wordsOf(t, "deny", strings.Repeat("x", 3000))}, nil); err == nil {
		t.Error("a word of 3000 bytes is taken")
	}
}

// Masking never breaks JSON and never changes a byte outside of what was found.
func TestInput_MaskingKeepsAllElse(t *testing.T) {
	rule := ruleOf("mask", detectorNames()...)
	rule.Mask = "■"
	words := wordsOf(t, "mask", "敏感词", "secret")
	words.Mask = "■"
	g := guardOf(t, rule, words)
	secrets := []string{"13812345678", "a@b.cn", "敏感词", "SECRET", "ｓｅｃｒｅｔ", "敏\u200b感詞", "11010519491231002X"}
	filler := []string{" ", "x ", " \"", " \\", "\n", " é", " 你好 ", " \U0001f600 ", "{\"a\":1} ", " \u2028", "\t", " [", " ]"}
	rapid.Check(t, func(t *rapid.T) {
		var plain, masked strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			f := rapid.SampledFrom(filler).Draw(t, "filler")
			plain.WriteString(f)
			masked.WriteString(f)
			if rapid.Bool().Draw(t, "secret") {
				plain.WriteString(" " + rapid.SampledFrom(secrets).Draw(t, "which") + " ")
				masked.WriteString(" ■ ")
			}
		}
		quote := func(s string) string {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(rapid.Bool().Draw(t, "html"))
			if err := enc.Encode(s); err != nil {
				t.Fatal(err)
			}
			return strings.TrimSuffix(b.String(), "\n")
		}
		if rapid.Bool().Draw(t, "ascii") {
			plainQuote := quote
			quote = func(s string) string { return asciiOnly(plainQuote(s)) }
		}
		nested, _ := json.Marshal(map[string]string{"q": plain.String()})
		nestedMasked, _ := json.Marshal(map[string]string{"q": masked.String()})
		form := "{\"seed\": 1e2,\"messages\":[{\"content\":%s , \"extra\":{\"k\":%s}},{\"tool_calls\":[{\"function\":{\"arguments\":%s}}]}],\"z\":\"13812345678\"}"
		fill := func(a, b, c string) string {
			return strings.Replace(strings.Replace(strings.Replace(form, "%s", a, 1), "%s", b, 1), "%s", c, 1)
		}
		in := fill(quote(plain.String()), quote(plain.String()), quote(string(nested)))
		got, refusal := g.all().Input([]byte(in))
		if refusal != nil || !json.Valid(got) {
			t.Fatalf("%s\nbecomes %s", in, got)
		}
		type body struct {
			Messages []struct {
				Content   string
				Extra     struct{ K string }
				ToolCalls []struct{ Function struct{ Arguments string } } `json:"tool_calls"`
			}
		}
		var b body
		if err := json.Unmarshal(got, &b); err != nil {
			t.Fatal(err)
		}
		if b.Messages[0].Content != masked.String() || b.Messages[0].Extra.K != masked.String() || b.Messages[1].ToolCalls[0].Function.Arguments != string(nestedMasked) {
			t.Fatalf("%s\nbecomes %s\nwant text %q", in, got, masked.String())
		}
		if !bytes.HasPrefix(got, []byte(`{"seed": 1e2,"messages":[{"content":`)) || !bytes.HasSuffix(got, []byte(`}}]}],"z":"13812345678"}`)) {
			t.Fatalf("%s\nbecomes %s", in, got)
		}
	})
}

// asciiOnly writes everything else as escapes, as Python does.
func asciiOnly(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		if r > 0xffff {
			r -= 0x10000
			b.WriteString(escaped(0xd800+r>>10) + escaped(0xdc00+r&0x3ff))
		} else {
			b.WriteString(escaped(r))
		}
	}
	return b.String()
}

func escaped(r rune) string {
	const digits = "0123456789abcdef"
	return `\u` + string([]byte{digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15]})
}

// No body makes the walk panic, and what comes out is JSON again.
func FuzzInput(f *testing.F) {
	for _, in := range []string{
		`{"messages":[{"role":"user","content":"13812345678 \ud83d \u0031"}]}`, `{"prompt":["a@b.cn"]}`, `{"tools":[{"description":"敏感词"}]}`,
		`{"messages":[{"tool_calls":[{"function":{"arguments":"{\"a\":\"\\ud83d\\ude00 a@b.cn\"}"}}]}]}`, `{"input":1,"system":{},"messages":"x"}`,
	} {
		f.Add([]byte(in))
	}
	g := guardOf(f, ruleOf("mask", "phone", "bank_card"), ruleOf("restore", "email"), wordsOf(f, "mask", "敏感词", "a"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) || len(bytes.TrimLeft(body, " \t\r\n")) == 0 || bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
			return
		}
		got, refusal := g.all().Input(body)
		if refusal != nil || !json.Valid(got) {
			t.Fatalf("%s becomes %s", body, got)
		}
		again, _ := g.all().Input(got)
		if !bytes.Equal(again, got) {
			t.Fatalf("%s becomes %s, that %s", body, got, again)
		}
	})
}

func BenchmarkInput(b *testing.B) {
	all := ruleOf("mask", detectorNames()...)
	body := func(text string) []byte {
		q, _ := json.Marshal(text)
		return []byte(`{"model":"m","messages":[{"role":"user","content":` + string(q) + `}]}`)
	}
	other := ruleOf("mask", "email")
	other.Match.Models = []string{"other"}
	for name, g := range map[string]*Guard{
		"none matches": guardOf(b, other), "words": guardOf(b, wordsOf(b, "mask", thousands(100_000)...)), "detectors": guardOf(b, all),
	} {
		for sample, text := range samples() {
			in := body(text)
			b.Run(name+"/"+sample, func(b *testing.B) {
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					g.all().Input(in)
				}
			})
		}
	}
}

package tokenize

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var long = strings.Repeat("The quick brown fox jumps over the lazy dog. ", 30)

func build(t *testing.T, s Source) Prompt {
	t.Helper()
	for _, raw := range [][]byte{s.Messages, s.Input, s.Prompt, s.Tools, s.System, s.Instructions} {
		if raw != nil && !json.Valid(raw) {
			t.Fatalf("the test's own JSON is wrong: %s", raw)
		}
	}
	var b Builder
	p := b.Build(&s, nil)
	p.Blocks = slices.Clone(p.Blocks)
	return p
}

func chat(messages string) Source { return Source{Form: Chat, Model: "m", Messages: []byte(messages)} }

func shared(a, b []uint64) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func TestBuild_SpellingDoesNotMatter(t *testing.T) {
	base := chat(`[{"role":"user","content":"` + long + `é\n\"x\"/"}]`)
	for name, other := range map[string]string{
		"escapes":   `[{"role":"user","content":"` + long + `\u00e9\u000a\u0022x\"\/"}]`,
		"blanks":    "\n[ { \"role\" :\t\"user\" , \"content\" : \"" + long + `é\n\"x\"/"} ] `,
		"key order": `[{"content":"` + long + `é\n\"x\"/","role":"user"}]`,
		"key names": `[{"r\u006fle":"us\u0065r","content":"` + long + `é\n\"x\"/"}]`,
		"one part":  `[{"role":"user","content":[{"type":"text","text":"` + long + `é\n\"x\"/"}]}]`,
		"two parts": `[{"role":"user","content":[{"text":"` + long + `é","type":"text"},{"type":"text","text":"\n\"x\"/"}]}]`,
	} {
		a, b := build(t, base), build(t, chat(other))
		if !slices.Equal(a.Blocks, b.Blocks) || a.Bytes != b.Bytes || len(a.Blocks) < 5 {
			t.Errorf("%s: the prompts differ", name)
		}
	}
}

func TestBuild_ChangesMatterFromTheirPlaceOn(t *testing.T) {
	two := func(first, second string) Prompt {
		return build(t, chat(`[{"role":"user","content":"`+first+`"},{"role":"assistant","content":"`+second+`"}]`))
	}
	base := two(long, long)
	if n := shared(base.Blocks, two("X"+long[1:], long).Blocks); n != 0 {
		t.Errorf("%d blocks are shared after a change at the start", n)
	}
	if n := shared(base.Blocks, two(long, long[:700]+"X"+long[701:]).Blocks); n != (len(long)+700)/BlockBytes {
		t.Errorf("%d blocks are shared before a late change", n)
	}
	if a, b := build(t, chat(`[{"role":"user","content":"`+long+`"}]`)), build(t, chat(`[{"role":"system","content":"`+long+`"}]`)); shared(a.Blocks, b.Blocks) != 0 {
		t.Error("the role does not matter")
	}
}

func TestBuild_SeedSeparates(t *testing.T) {
	base := chat(`[{"role":"user","content":"` + long + `"}]`)
	plain := build(t, base)
	for name, change := range map[string]func(*Source){
		"model":         func(s *Source) { s.Model = "adapter" },
		"salt":          func(s *Source) { s.Salt = []byte(`"tenant"`) },
		"template args": func(s *Source) { s.TemplateArgs = []byte(`{"enable_thinking":false}`) },
		"documents":     func(s *Source) { s.Documents = []byte(`[{"text":"d"}]`) },
		"tools":         func(s *Source) { s.Tools = []byte(`[{"type":"function"}]`) },
		"system":        func(s *Source) { s.System = []byte(`"be brief"`) },
	} {
		s := base
		change(&s)
		if shared(plain.Blocks, build(t, s).Blocks) != 0 {
			t.Errorf("%s does not matter", name)
		}
	}
	s := base
	s.Salt, s.TemplateArgs, s.Tools = []byte("null"), []byte("null"), []byte("null")
	if !slices.Equal(plain.Blocks, build(t, s).Blocks) {
		t.Error("null is not absent")
	}
}

func TestBuild_ToolsReadWithoutBlanksInOrder(t *testing.T) {
	tools := func(raw string) Prompt {
		s := chat(`[]`)
		s.Tools = []byte(raw)
		return build(t, s)
	}
	a := tools(`[{"name":"f","description":"` + long + `"}]`)
	if b := tools(`[ { "name" : "\u0066" , "description" : "` + long + `" } ]`); !slices.Equal(a.Blocks, b.Blocks) {
		t.Error("blanks or escapes matter")
	}
	if b := tools(`[{"description":"` + long + `","name":"f"}]`); slices.Equal(a.Blocks, b.Blocks) {
		t.Error("engines render members in the order given, the prompt does not")
	}
}

func TestBuild_MediaEnterByHash(t *testing.T) {
	image := func(data, order string) Prompt {
		part := `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + data + `","detail":"low"}}`
		if order == "turned" {
			part = `{"image_url":{"detail":"low","url":"data:image\/png;base64,` + data + `"},"type":"image_url"}`
		}
		return build(t, chat(`[{"role":"user","content":[`+part+`,{"type":"text","text":"`+long+`"}]}]`))
	}
	data := strings.Repeat("QUJD", 100_000)
	a := image(data, "")
	if a.Bytes > 5000 {
		t.Errorf("an image of 400 KB counts %d bytes", a.Bytes)
	}
	if !slices.Equal(a.Blocks, image(data, "turned").Blocks) {
		t.Error("the spelling of an image part matters")
	}
	if shared(a.Blocks, image(data[:len(data)-4]+"QUJE", "").Blocks) != 0 {
		t.Error("another image reads alike")
	}
}

func TestBuild_FormsOfOneConversationReadAlike(t *testing.T) {
	a := build(t, chat(`[{"role":"system","content":"`+long+`"},{"role":"user","content":"`+long+`"}]`))
	b := build(t, Source{
		Form: Messages, Model: "m", System: []byte(`[{"type":"text","text":"` + long + `","cache_control":{"type":"ephemeral"}}]`),
		Messages: []byte(`[{"role":"user","content":[{"type":"text","text":"` + long + `"}]}]`),
	})
	c := build(t, Source{Form: Responses, Model: "m", Instructions: []byte(`"` + long + `"`), Input: []byte(`"` + long + `"`)})
	d := build(t, Source{
		Form: Responses, Model: "m", Instructions: []byte(`"` + long + `"`),
		Input: []byte(`[{"type":"message","role":"user","content":[{"type":"input_text","text":"` + long + `"}]}]`),
	})
	for i, p := range []Prompt{b, c, d} {
		if !slices.Equal(a.Blocks, p.Blocks) {
			t.Errorf("form %d reads differently", i)
		}
	}
}

func TestBuild_CompletionsAndPlain(t *testing.T) {
	one := build(t, Source{Form: Completion, Prompt: []byte(`"` + long + `"`)})
	if one.Bytes != len(long) || len(one.Blocks) != len(long)/BlockBytes {
		t.Errorf("a prompt of %d bytes counts %d", len(long), one.Bytes)
	}
	list := build(t, Source{Form: Completion, Prompt: []byte(`["` + long + `","` + long + `"]`)})
	if shared(one.Blocks, list.Blocks) != len(one.Blocks) {
		t.Error("the first of several prompts reads differently from a single one")
	}
	ids := build(t, Source{Form: Completion, Prompt: []byte("[" + strings.TrimSuffix(strings.Repeat("9707, ", 128), ", ") + "]")})
	if ids.Tokens != 128 || len(ids.Blocks) != 2 {
		t.Errorf("128 token ids count %d tokens in %d blocks", ids.Tokens, len(ids.Blocks))
	}
	if plain := build(t, Source{Form: Plain, Input: []byte(`["a","b"]`), Prompt: []byte(`"q"`)}); plain.Bytes != 5 {
		t.Errorf("plain counts %d bytes", plain.Bytes)
	}
}

func TestPrompt_TokensIn(t *testing.T) {
	p := Prompt{Bytes: 1000, Tokens: 250}
	for blocks, want := range map[int]int{-1: 0, 0: 0, 1: 64, 3: 192, 4: 250, 99: 250} {
		if got := p.TokensIn(blocks); got != want {
			t.Errorf("%d blocks hold %d tokens, want %d", blocks, got, want)
		}
	}
}

// nextTurn returns a full chain of a conversation whose second message is the assistant's.
func nextTurn(t *testing.T, s Source, messages string) []uint64 {
	t.Helper()
	s.Messages = []byte(messages)
	return build(t, s).Blocks
}

func TestAnswer_TextExtendsToTheNextTurn(t *testing.T) {
	user := `{"role":"user","content":"` + long + `"}`
	s := chat("[" + user + "]")
	var b Builder
	p := b.Build(&s, nil)
	for i := 0; i < len(long); i += 7 {
		b.AnswerText([]byte(long[i:min(i+7, len(long))]))
	}
	got := append(slices.Clone(p.Blocks), b.AnswerBlocks()...)
	next := nextTurn(t, s, "["+user+`,{"role":"assistant","content":"`+long+`"},{"role":"user","content":"`+long+`"}]`)
	if len(b.AnswerBlocks()) < 4 || shared(got, next) != len(got) {
		t.Errorf("%d of %d blocks are in the next turn", shared(got, next), len(got))
	}
}

func TestAnswer_ToolCallsExtendToTheNextTurn(t *testing.T) {
	user := `{"role":"user","content":"` + long + `"}`
	args := fmt.Sprintf(`{"city": "Z\u00fcrich \ud83d\ude00", "text": %q, "n": [1, 2]}`, long)
	compact := fmt.Sprintf(`{"city":"Zürich 😀","text":%q,"n":[1,2]}`, long)
	quoted, _ := json.Marshal(args)
	for name, c := range map[string]struct {
		form Form
		next string
	}{
		"chat":      {Chat, `{"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"arguments":` + string(quoted) + `,"name":"f"}}],"content":"Let me see."}`},
		"messages":  {Messages, `{"role":"assistant","content":[{"type":"text","text":"Let me see."},{"type":"tool_use","id":"x","name":"f","input":` + compact + `}]}`},
		"responses": {Responses, `{"type":"reasoning","summary":[]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Let me see."}]},{"type":"function_call","call_id":"x","name":"f","arguments":` + string(quoted) + `}`},
	} {
		for _, step := range []int{1, 5, 4096} {
			s := Source{Form: c.form, Model: "m", Messages: []byte("[" + user + "]"), Input: []byte("[" + user + "]")}
			var b Builder
			p := b.Build(&s, nil)
			b.AnswerText([]byte("Let me see."))
			tool := []byte("f")
			for i := 0; i < len(args); i += step {
				b.AnswerTool(tool, []byte(args[i:min(i+step, len(args))]))
				tool = nil
			}
			got := append(slices.Clone(p.Blocks), b.AnswerBlocks()...)
			s.Messages = []byte("[" + user + "," + c.next + `,{"role":"user","content":"` + long + `"}]`)
			s.Input = s.Messages
			next := build(t, s).Blocks
			if len(b.AnswerBlocks()) < 4 || shared(got, next) != len(got) {
				t.Errorf("%s by %d: %d of %d blocks are in the next turn", name, step, shared(got, next), len(got))
			}
		}
	}
}

func TestAnswer_OnlyFullBlocksAndNoReasoning(t *testing.T) {
	user := `{"role":"user","content":"` + long + `"}`
	s := chat("[" + user + "]")
	var b Builder
	p := b.Build(&s, nil)
	b.AnswerText([]byte("short"))
	if n := len(b.AnswerBlocks()); n != 0 {
		t.Errorf("%d blocks of a short answer", n)
	}
	b.AnswerText([]byte(long))
	if got, want := len(b.AnswerBlocks()), (p.Bytes+len("\x1eassistant\x1fshort")+len(long))/BlockBytes-len(p.Blocks); got != want {
		t.Errorf("%d full blocks, want %d", got, want)
	}
	plain := nextTurn(t, s, "["+user+`,{"role":"assistant","content":"`+long+`"}]`)
	thought := nextTurn(t, s, "["+user+`,{"role":"assistant","reasoning_content":"hm","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"`+long+`"}]}]`)
	if !slices.Equal(plain, thought) {
		t.Error("reasoning of an earlier turn is part of the prompt")
	}
}

func TestBuilder_CloneSharesNothing(t *testing.T) {
	s := chat(`[{"role":"user","content":"` + long + `"}]`)
	var b Builder
	p := b.Build(&s, nil)
	before := slices.Clone(p.Blocks)
	c := b.Clone()
	b.AnswerText([]byte(strings.Repeat("a", 2000)))
	c.AnswerText([]byte(strings.Repeat("b", 2000)))
	if shared(b.AnswerBlocks(), c.AnswerBlocks()) != 0 || len(c.AnswerBlocks()) == 0 {
		t.Error("the answers of two clones mix")
	}
	if !slices.Equal(before, p.Blocks) {
		t.Error("answers change the prompt")
	}
}

func TestBuild_OddShapesDoNotPanic(t *testing.T) {
	odd := []string{
		`null`, `1`, `"x"`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `[{"role":1,"content":2,"tool_calls":[1,{"function":3}]}]`,
		`[{"type":"function_call"},{"type":1},{"type":"x"}]`, `[{"role":"user","content":[1,{"type":"tool_use"},{"type":"tool_result"}]}]`, `[-1.5e3,[1],"x"]`,
	}
	for form := Plain; form <= Messages; form++ {
		for _, o := range odd {
			raw := []byte(o)
			build(t, Source{Form: form, Salt: raw, Messages: raw, System: raw, Instructions: raw, Tools: raw, Prompt: raw, Input: raw, TemplateArgs: raw, Documents: raw})
		}
	}
}

func FuzzSpelling(f *testing.F) {
	f.Add(`{"a": "x\ud83d\ude00\n", "b":[1, 2]}`, 3)
	f.Add(`"\ud83d\u12`, 1)
	f.Fuzz(func(t *testing.T, text string, step int) {
		write := func(step int) chain {
			var c chain
			var s spelling
			for p := []byte(text); len(p) > 0; p = p[min(step, len(p)):] {
				s.write(&c, p[:min(step, len(p))])
			}
			s.flush(&c)
			return c
		}
		a, b := write(len(text)+1), write(max(1, step%64))
		if a.total != b.total || !slices.Equal(a.tail[:a.n], b.tail[:b.n]) || !slices.Equal(a.blocks, b.blocks) {
			t.Fatalf("%q: cut by %d it reads differently", text, step)
		}
	})
}

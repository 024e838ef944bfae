package api

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPieces_Event(t *testing.T) {
	for _, c := range []struct {
		f          Family
		name, data string
		want       string // kind part index text, one after the other
		ended      []int
		all        bool
	}{
		{f: Chat, data: `{"choices":[{"index":1,"delta":{"role":"assistant","content":"a","reasoning":"r","refusal":null}},{"delta":{"tool_calls":[{"index":2,"function":{"arguments":"{"}}]},"finish_reason":"stop"}]}`, want: `0 1 0 "a"|2 1 0 "r"|4 0 2 "{"`, ended: []int{0}},
		{f: Chat, data: `{"choices":[{"logprobs":{"content":[]},"delta":{"function_call":{"arguments":"x"}},"finish_reason":""}]}`, want: `null|5 0 0 "x"`},
		{f: Completions, data: `{"choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":"length"}]}`, want: `0 0 0 "a"`, ended: []int{0}},
		{f: Messages, data: `{"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"t"}}`, want: `1 1 0 "t"`},
		{f: Messages, name: "content_block_delta", data: `{"index":2,"delta":{"partial_json":"{}"}}`, want: `4 2 0 "{}"`},
		{f: Messages, data: `{"type":"content_block_stop","index":2}`, ended: []int{2}},
		{f: Messages, data: `{"type":"message_stop"}`, all: true},
		{f: Responses, data: `{"type":"response.output_text.delta","output_index":1,"content_index":2,"delta":"d","logprobs":[{}]}`, want: `0 1 2 "d"|[]`},
		{f: Responses, data: `{"type":"response.output_item.done","output_index":1,"item":{"id":"text","type":"text","content":[{"text":"t","logprobs":[]}],"arguments":"{}"}}`, want: `0 0 0 "t" whole|4 0 0 "{}" whole`, ended: []int{1}},
		{f: Responses, data: `{"type":"response.completed","response":{"instructions":"i","tools":[{"text":"x"}],"text":{"format":{"type":"text"}},"output":[]}}`, all: true},
		{f: Transcriptions, data: `{"type":"transcript.text.done","text":"t"}`, want: `0 0 0 "t" whole`, ended: []int{0}, all: true},
		{f: Embeddings, data: `{"text":"t"}`},
	} {
		var p Pieces
		p.Event(c.f, c.name, []byte(c.data))
		if got := spelled(&p, c.data); got != c.want || len(p.Ended) != len(c.ended) || p.AllEnded != c.all {
			t.Errorf("%s: %s, ended %v, all %v; want %s", c.data, got, p.Ended, p.AllEnded, c.want)
		}
	}
}

func spelled(p *Pieces, data string) string {
	var all []string
	for _, x := range p.List {
		text := x.Erase
		if text == "" {
			text = string(rune('0'+x.Kind)) + " " + string(rune('0'+x.Part)) + " " + string(rune('0'+x.Index)) + " " + data[x.Start:x.End]
		}
		if x.Whole {
			text += " whole"
		}
		all = append(all, text)
	}
	return strings.Join(all, "|")
}

// Whatever the event, pieces are JSON values within it, in order, and those that are texts are strings.
func FuzzPieces(f *testing.F) {
	for family := range families {
		f.Add(uint8(family), []byte(`{"type":"response.output_text.done","index":1,"choices":[{"delta":{"content":"a","tool_calls":[{"function":{"arguments":"b"}}]},"text":"c"}],"delta":{"text":"d"},"text":"e"}`))
	}
	f.Fuzz(func(t *testing.T, family uint8, data []byte) {
		if !json.Valid(data) || data[0] != '{' {
			return
		}
		var p Pieces
		for _, read := range []func(){
			func() { p.Event(Family(family%uint8(families)), "content_block_delta", data) }, func() { p.Answer(Family(family%uint8(families)), data) },
		} {
			read()
			last := 0
			for _, x := range p.List {
				if x.Start < last || x.End > len(data) || !json.Valid(data[x.Start:x.End]) || x.Erase == "" && data[x.Start] != '"' {
					t.Fatalf("%s: %+v", data, p.List)
				}
				last = x.End
			}
		}
	})
}

func TestEventData(t *testing.T) {
	for raw, want := range map[string]string{
		"data: {}\n\n": "|{}|6", "event: x\ndata:{}\r\n\r\n": "x|{}|14", "data: {\ndata: }\n\n": "|{\n}|-1", ": comment\n\n": "||-1", "data:\n\n": "||5",
	} {
		name, data, at := EventData([]byte(raw))
		got := name + "|" + string(data) + "|" + inWords(at)
		if got != want {
			t.Errorf("%q: %s, want %s", raw, got, want)
		}
	}
}

func inWords(n int) string { b, _ := json.Marshal(n); return string(b) }

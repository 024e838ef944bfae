package api

import (
	"fmt"
	"strings"
	"testing"
)

type heard struct{ text, tools strings.Builder }

func (h *heard) Text(p []byte)       { h.text.Write(p) }
func (h *heard) Tool(name, a []byte) { h.tools.Write(name); h.tools.Write(a) }

// Events that are read by comparing shapes say the same as events that are read one by one.
func TestStream_RepeatedShapesSayTheSame(t *testing.T) {
	event := func(choice int, delta, finish string) string {
		return fmt.Sprintf(`data: {"id":"c","created":1,"choices":[{"index":%d,"delta":%s,"finish_reason":%s}]}`+"\n\n", choice, delta, finish)
	}
	text := func(s string) string { return event(0, `{"content":"`+s+`"}`, "null") }
	stream := []string{
		event(0, `{"role":"assistant","content":""}`, "null"), text("a"), text(" b"), text(""), text(`\n`), text(`say \"hi\"`), text("c"), text("\u6f22"),
		text(`x","finish_reason":"stop`), event(1, `{"content":"other"}`, "null"), event(1, `{"content":"other"}`, "null"), text("d"),
		event(0, `{"reasoning":"hm"}`, "null"), event(0, `{"reasoning":"hm"}`, "null"), text("e"),
		event(0, `{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}`, "null"), text("f"), text(`\u00e9`), text("g"),
		"data: {\"id\":\"c\",\ndata: \"choices\":[{\"index\":0,\"delta\":{\"content\":\"two lines\"}}]}\n\n", text("h"),
		event(0, `{"content":"end"}`, `"stop"`), event(1, `{}`, `"stop"`), "data: [DONE]\n\n",
	}
	for _, together := range []bool{true, false} {
		var one, all heard
		apart, whole := NewStream(Chat, 2, false), NewStream(Chat, 2, false)
		tokens := 0
		for _, e := range stream {
			apart.shape = shape{}
			apart.Feed([]byte(e), &one)
			if !together {
				whole.Feed([]byte(e), &all)
				tokens += whole.LastTokens
			}
		}
		if together {
			whole.Feed([]byte(strings.Join(stream, "")), &all)
			tokens = whole.LastTokens
		}
		if one.text.String() != all.text.String() || one.tools.String() != all.tools.String() {
			t.Errorf("said %q %q, one by one %q %q", all.text.String(), all.tools.String(), one.text.String(), one.tools.String())
		}
		if apart.Events != whole.Events || tokens != whole.Events || !whole.Complete || whole.Reasoned != apart.Reasoned {
			t.Errorf("%d events, %d tokens, complete %v; one by one %d", whole.Events, tokens, whole.Complete, apart.Events)
		}
	}
}

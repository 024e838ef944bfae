package api

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/failure"
)

// recorder is a Sink that keeps what it gets.
type recorder struct{ text, tools strings.Builder }

func (r *recorder) Text(p []byte) { r.text.Write(p) }

func (r *recorder) Tool(name, args []byte) {
	if len(name) > 0 {
		r.tools.WriteString("|" + string(name) + ":")
	}
	r.tools.Write(args)
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// feed sends in through s, cut into pieces of step bytes, and returns what the client gets.
func feed(s *Stream, in []byte, step int, sink Sink) []byte {
	var out []byte
	for len(in) > 0 {
		n := min(step, len(in))
		out = append(out, s.Feed(in[:n:n], sink)...)
		in = in[n:]
	}
	return out
}

func TestStream_RealEngines(t *testing.T) {
	for _, c := range []struct {
		file     string
		family   Family
		n        int
		text     string
		events   int
		complete bool
		usage    Usage
	}{
		{"vllm-chat.sse", Chat, 1, ".YES fabulous.YES fabulous.YES fabulous", 5, true, NoUsage},
		{"vllm-chat-usage.sse", Chat, 1, ".YES fabulous.YES fabulous.YES fabulous", 6, true, Usage{10, 0, 6}},
		{"vllm-chat-continuous.sse", Chat, 1, ".YES fabulous.YES fabulous.YES fabulous", 1, true, Usage{10, -1, 6}},
		{"vllm-chat-n2.sse", Chat, 2, "(sockfd-success", 4, true, NoUsage},
		{"vllm-chat-n2.sse", Chat, 3, "(sockfd-success", 4, false, NoUsage},
		{"vllm-completions-usage.sse", Completions, 1, "uyện timeuyện time", 4, true, Usage{4, -1, 4}},
		{"vllm-messages.sse", Messages, 1, "ι Plato", 2, true, Usage{9, -1, 2}},
		{"vllm-responses.sse", Responses, 1, "imirrepository", 2, true, Usage{9, 0, 2}},
		{"llamacpp-chat.sse", Chat, 1, "I'm glad you're here", 6, true, Usage{-1, 31, -1}},
		{"llamacpp-chat-usage.sse", Chat, 1, "I'm glad you're here", 6, true, Usage{32, 31, 6}},
		{"llamacpp-chat-n2.sse", Chat, 2, "By.", 4, true, Usage{-1, 31, -1}},
		{"llamacpp-messages.sse", Messages, 1, "Hey there", 2, true, Usage{31, 30, 2}},
		{"llamacpp-responses.sse", Responses, 1, "hey there", 2, true, Usage{31, 30, 2}},
	} {
		in := golden(t, c.file)
		var sink recorder
		s := NewStream(c.family, c.n, false)
		out := feed(s, in, 1<<20, &sink)
		if c.complete && !bytes.Equal(out, in) {
			t.Errorf("%s: the bytes changed", c.file)
		}
		if sink.text.String() != c.text || s.Events != c.events || s.Complete != c.complete || !s.Terminated || s.Err != nil || s.Usage != c.usage || s.ResponseID == "" {
			t.Errorf("%s, n=%d: text %q, events %d, complete %v, terminated %v, err %v, usage %+v, id %q",
				c.file, c.n, sink.text.String(), s.Events, s.Complete, s.Terminated, s.Err, s.Usage, s.ResponseID)
		}
	}
}

func TestStream_TokensByRunningUsage(t *testing.T) {
	s := NewStream(Chat, 1, false)
	total := 0
	for ev := range bytes.SplitAfterSeq(golden(t, "vllm-chat-continuous.sse"), []byte("\n\n")) {
		s.Feed(ev, nil)
		total += s.LastTokens
	}
	if total != 6 || s.Events != 1 {
		t.Errorf("%d tokens in %d events, want 6 in 1", total, s.Events)
	}
}

func TestStream_UsageChunkIsTakenOut(t *testing.T) {
	for _, file := range []string{"vllm-chat-usage.sse", "llamacpp-chat-usage.sse", "vllm-completions-usage.sse", "vllm-chat-continuous.sse"} {
		in := golden(t, file)
		var want []byte
		for ev := range bytes.SplitAfterSeq(in, []byte("\n\n")) {
			if !bytes.Contains(ev, []byte(`"choices":[],`)) {
				want = append(want, ev...)
			}
		}
		for _, step := range []int{1, 3, 100, 1 << 20} {
			s := NewStream(Chat, 1, true)
			if out := feed(s, in, step, nil); !bytes.Equal(out, want) || bytes.Equal(in, want) {
				t.Errorf("%s by %d: %s", file, step, out)
			}
			if s.Usage.Output <= 0 || !s.Complete {
				t.Errorf("%s: usage %+v", file, s.Usage)
			}
		}
	}
}

func TestStream_OtherChunksWithoutChoicesPass(t *testing.T) {
	for _, ev := range []string{
		`data: {"choices":[],"prompt_filter_results":[]}`,
		`data: {"choices":[],"usage":null}`,
		`data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1}}`,
		`data: {"usage":{"prompt_tokens":1}}`,
	} {
		s := NewStream(Chat, 1, true)
		in := []byte(ev + "\n\n")
		if out := feed(s, in, 1<<20, nil); !bytes.Equal(out, in) {
			t.Errorf("%s was taken out", ev)
		}
	}
}

func TestStream_FinishReasonInTextFoolsNobody(t *testing.T) {
	in := `data: {"choices":[{"index":0,"delta":{"content":"\"finish_reason\":\"stop\"}]} data: [DONE]\n\ndata: [DONE]"},"finish_reason":null}]}` + "\n\n"
	s := NewStream(Chat, 1, false)
	if out := s.Feed([]byte(in), nil); string(out) != in || s.Complete || s.Terminated || s.Events != 1 {
		t.Errorf("complete %v, terminated %v, out %q", s.Complete, s.Terminated, out)
	}
}

func TestStream_EmptyFinishReasonIsNone(t *testing.T) {
	s := NewStream(Chat, 1, false)
	s.Feed([]byte(`data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":""}]}`+"\n\n"), nil)
	if s.Complete {
		t.Error(`finish_reason "" completes a stream`)
	}
}

func TestStream_DoneDoesNotMakeACutStreamLookComplete(t *testing.T) {
	text := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n"
	for _, done := range []string{"data: [DONE]\n\n", "data: [DONE]\r\n\r\n"} {
		for _, step := range []int{1, 7, 1 << 20} {
			s := NewStream(Chat, 1, false)
			out := feed(s, []byte(text+done), step, nil)
			if !s.Terminated || s.Complete || string(out) != text {
				t.Errorf("%q by %d: terminated %v, complete %v, the client got %q", done, step, s.Terminated, s.Complete, out)
			}
		}
	}
}

func TestStream_NothingAfterTheLastEvent(t *testing.T) {
	in := golden(t, "vllm-chat.sse")
	for _, step := range []int{1, 64, 1 << 20} {
		s := NewStream(Chat, 1, false)
		if out := feed(s, append(bytes.Clone(in), "data: junk\n\n"...), step, nil); !bytes.Equal(out, in) {
			t.Errorf("by %d: %q", step, out[len(in):])
		}
	}
}

func TestStream_ErrorsInEveryForm(t *testing.T) {
	for _, c := range []struct {
		family Family
		in     string
		want   StreamError
	}{
		{Chat, string(golden(t, "vllm-refused.sse")), StreamError{"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.", "Service Unavailable", 503}},
		{Chat, `data: {"error":{"object":"error","message":"The request queue is full.","type":"abort","code":"503"}}`, StreamError{"The request queue is full.", "abort", 503}},
		{Chat, `data: {"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}`, StreamError{"m", "BadRequestError", 400}},
		{Chat, `data: {"error":"Unauthorized"}`, StreamError{"Unauthorized", "", 0}},
		{Chat, `data: {"error":{"message":"m"},"choices":[]}`, StreamError{"m", "", 0}},
		{Completions, "event: error\ndata : x\ndata:  { \"error\" : { \"message\" : \"m\\u0021\" } } ", StreamError{"m!", "", 0}},
		{Chat, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}`, StreamError{"The inference engine gave up this answer.", "abort", 500}},
		{Messages, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", StreamError{"Overloaded", "overloaded_error", 503}},
		{Messages, `data: {"error":{"message":"m","code":500}}`, StreamError{"m", "", 500}},
		{Responses, "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\",\"param\":null}", StreamError{"m", "server_error", 0}},
		{Responses, `data: {"type":"response.failed","response":{"id":"r","error":{"code":"server_error","message":"m"}}}`, StreamError{"m", "", 0}},
		{Embeddings, `data: {"error":{"message":"m"}}`, StreamError{"m", "", 0}},
	} {
		in := strings.TrimRight(c.in, "\n") + "\n\n"
		s := NewStream(c.family, 1, true)
		out := s.Feed([]byte(in), nil)
		if s.Err == nil || *s.Err != c.want || !s.FirstEvent || string(out) != in {
			t.Errorf("%s: %+v, passed on %v", c.in, s.Err, string(out) == in)
		}
	}
}

func TestStream_OutputOfEveryKind(t *testing.T) {
	chat := func(delta string) string {
		return `data: {"choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}]}` + "\n\n"
	}
	in := chat(`{"role":"assistant","content":""}`) + chat(`{"content":null}`) + chat(`{"reasoning_content":"hm"}`) + chat(`{"reasoning":"hm"}`) +
		chat(`{"content":"caf\u00e9\n"}`) + chat(`{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}`) +
		chat(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}`) + chat(`{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`) +
		`data: {"choices":[{"index":1,"delta":{"content":"other"}}]}` + "\n\n"
	var sink recorder
	s := NewStream(Chat, 1, false)
	s.Feed([]byte(in), &sink)
	if s.Events != 7 || s.LastTokens != 7 || !s.Reasoned || sink.text.String() != "café\n" || sink.tools.String() != `|f:{"a":1}` {
		t.Errorf("events %d, reasoned %v, text %q, tools %q", s.Events, s.Reasoned, sink.text.String(), sink.tools.String())
	}
}

func TestStream_ToolsOfMessagesAndResponses(t *testing.T) {
	for family, in := range map[Family]string{
		Messages: `data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}` + "\n\n" +
			`data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\": "}}` + "\n\n" +
			`data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}` + "\n\n",
		Responses: `data: {"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}` + "\n\n" +
			`data: {"type":"response.function_call_arguments.delta","delta":"{\"a\": "}` + "\n\n" +
			`data: {"type":"response.function_call_arguments.delta","delta":"1}"}` + "\n\n",
	} {
		var sink recorder
		s := NewStream(family, 1, false)
		s.Feed([]byte(in), &sink)
		if sink.tools.String() != `|f:{"a": 1}` {
			t.Errorf("%v: %q", family, sink.tools.String())
		}
	}
}

func TestStream_FramingOfEveryKind(t *testing.T) {
	finish := `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	for _, in := range []string{
		"\ufeffdata: " + finish + "\n\n",
		"data: " + finish + "\r\n\r\n",
		"data: " + finish + "\r\r",
		"data: " + finish + "\r\n\n",
		"data: " + finish + "\n\r\n",
		": comment\n\n:\n\ndata: " + finish + "\n\n",
		"event: x\nid: 1\nretry: 5\ndata:" + finish + "\n\n",
		"data: {\"choices\":[{\"index\":0,\ndata:\"delta\":{},\ndata: \"finish_reason\":\"stop\"}]}\n\n",
		"data: " + finish + "\nevent: late\n\n",
	} {
		for _, step := range []int{1, 2, 1 << 20} {
			s := NewStream(Chat, 1, false)
			if out := feed(s, []byte(in), step, nil); !s.Complete || string(out) != in {
				t.Errorf("%q by %d: complete %v, out %q", in, step, s.Complete, out)
			}
		}
	}
}

func TestStream_CommentsAndPingsAreNoFirstEvent(t *testing.T) {
	s := NewStream(Messages, 1, false)
	s.Feed([]byte(": waiting\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n"), nil)
	if s.FirstEvent {
		t.Error("a ping counts as the first event")
	}
	s.Feed([]byte("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n"), nil)
	if !s.FirstEvent {
		t.Error("message_start does not count as the first event")
	}
}

func TestStream_HoldsOnlyWhatItMust(t *testing.T) {
	first := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n"
	part := "data: {\"choices\":[{\"index\":0,"
	s := NewStream(Chat, 1, false)
	if out := s.Feed([]byte(part), nil); len(out) > 0 {
		t.Error("a part goes out before the first event is whole")
	}
	s = NewStream(Chat, 1, false)
	if out := s.Feed([]byte(first+part), nil); string(out) != first+part || !s.Partial {
		t.Errorf("a part is held back for nothing: %q", out)
	}
	s = NewStream(Chat, 1, true)
	if out := s.Feed([]byte(first+part), nil); string(out) != first || s.Partial {
		t.Errorf("a part that may be the usage chunk goes out: %q", out)
	}
	long := strings.Repeat("x", maxHeld+1)
	if out := s.Feed([]byte(long), nil); string(out) != part+long {
		t.Errorf("%d bytes go out of a part longer than what may be held", len(out))
	}
}

func TestStream_HugeEventsPassAndEndByTheirLines(t *testing.T) {
	s := NewStream(Chat, 1, true)
	piece := bytes.Repeat([]byte("x"), 1<<20)
	got := len(s.Feed([]byte("data: {\"a\":\""), nil))
	for range 20 {
		got += len(s.Feed(piece, nil))
		if cap(s.tail) > 4*maxEvent {
			t.Fatalf("%d bytes are kept", cap(s.tail))
		}
	}
	last := "\"}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	got += len(s.Feed([]byte(last), nil))
	if want := len(`data: {"a":"`) + (20 << 20) + len(last); !s.Complete || got != want {
		t.Errorf("complete %v, %d bytes passed of %d", s.Complete, got, want)
	}
}

func TestStream_ManyChoices(t *testing.T) {
	const n = 200
	s := NewStream(Completions, n, false)
	for i := range n {
		if s.Complete {
			t.Fatalf("complete after %d of %d choices", i, n)
		}
		for range 2 {
			s.Feed([]byte(`data: {"choices":[{"index":`+strconv.Itoa(i)+`,"text":"","finish_reason":"stop"}]}`+"\n\n"), nil)
		}
		s.Feed([]byte(`data: {"choices":[{"index":999999,"text":"","finish_reason":"stop"}]}`+"\n\n"), nil)
		s.Feed([]byte(`data: {"choices":[{"index":-1,"text":"","finish_reason":"stop"}]}`+"\n\n"), nil)
	}
	if !s.Complete {
		t.Error("not complete")
	}
}

func TestStream_Transcriptions(t *testing.T) {
	for _, in := range []string{
		"data: {\"object\":\"transcription.chunk\",\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
		"data: {\"type\":\"transcript.text.delta\",\"delta\":\"hi\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"hi\"}\n\n",
	} {
		s := NewStream(Transcriptions, 1, false)
		if out := s.Feed([]byte(in), nil); string(out) != in || !s.Complete || s.Events != 1 {
			t.Errorf("%q: complete %v, events %d", in, s.Complete, s.Events)
		}
	}
}

func TestErrorEvent_IsReadAsAnErrorByItsFamily(t *testing.T) {
	e := failure.New(failure.StreamCut, "The \"engine\" broke off.\n")
	for _, f := range []Family{Chat, Completions, Messages, Responses} {
		s := NewStream(f, 1, true)
		ev := ErrorEvent(f, e)
		if out := s.Feed(ev, nil); !bytes.Equal(out, ev) || s.Err == nil || s.Err.Message != e.Message {
			t.Errorf("%v: %s is read as %+v", f, ev, s.Err)
		}
		if bytes.Contains(ev, []byte("choices")) {
			t.Errorf("%v: the error event has choices", f)
		}
		if f == Messages && s.Err != nil && s.Err.Type != "api_error" {
			t.Errorf("Anthropic's SDK reads the type %q", s.Err.Type)
		}
	}
}

func FuzzSSE(f *testing.F) {
	names, err := filepath.Glob("testdata/*.sse")
	if err != nil {
		f.Fatal(err)
	}
	for i, name := range names {
		f.Add(golden(f, filepath.Base(name)), uint8(i), uint16(7*i+1))
	}
	f.Add([]byte("data: [DO\r\rdata: x\r\n\r\n:c\n\ndata: {\"choices\":[],\"usage\":{}}\r\r\n\n"), uint8(1), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, kind uint8, step uint16) {
		if len(in) > maxHeld {
			return
		}
		family := []Family{Chat, Completions, Messages, Responses, Transcriptions, Embeddings}[kind%6]
		drop := kind >= 128
		run := func(step int) (*Stream, []byte, string) {
			var sink recorder
			s := NewStream(family, 1, drop)
			out := feed(s, in, step, &sink)
			return s, out, sink.text.String() + "\x00" + sink.tools.String()
		}
		a, whole, said := run(len(in) + 1)
		b, cut, saidCut := run(max(1, int(step)))
		if said != saidCut || a.Events != b.Events || a.Complete != b.Complete || a.Terminated != b.Terminated ||
			a.FirstEvent != b.FirstEvent || a.Usage != b.Usage || (a.Err == nil) != (b.Err == nil) {
			t.Fatalf("cut by %d the stream reads differently:\n%+v\n%+v", step, a, b)
		}
		withheld := a.Terminated && !a.Complete && a.Err == nil
		if !bytes.Equal(whole, cut) && !withheld {
			t.Fatalf("cut by %d the client gets\n%q\nnot\n%q", step, cut, whole)
		}
		if !drop && !a.Terminated && !bytes.HasPrefix(in, whole) {
			t.Fatalf("bytes changed: %q", whole)
		}
		if !drop && !a.Terminated && a.FirstEvent && !a.holdsTail() && !bytes.Equal(in, whole) {
			t.Fatalf("bytes are missing: %q", whole)
		}
	})
}

// holdsTail says whether a part of an event is held back.
func (s *Stream) holdsTail() bool { return len(s.tail) > s.passed }

func BenchmarkStream_Event(b *testing.B) {
	ev := []byte(`data: {"id":"chatcmpl-a93af41a016cb838","object":"chat.completion.chunk","created":1795534229,"model":"tiny","choices":[{"index":0,"delta":{"content":".YES fabulous"},"logprobs":null,"finish_reason":null,"token_ids":null}]}` + "\n\n")
	for _, drop := range []bool{false, true} {
		name := "pass"
		if drop {
			name = "drop usage"
		}
		b.Run(name, func(b *testing.B) {
			s := NewStream(Chat, 1, drop)
			var sink discard
			b.ReportAllocs()
			b.SetBytes(int64(len(ev)))
			for b.Loop() {
				s.Feed(ev, &sink)
			}
		})
	}
}

type discard struct{ n int }

func (d *discard) Text(p []byte)          { d.n += len(p) }
func (d *discard) Tool(name, args []byte) { d.n += len(args) }

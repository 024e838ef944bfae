package load

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func collect(from io.Reader) (all []string, err error) {
	e := newEvents(from)
	for {
		data, err := e.next(func() {})
		if err != nil {
			return all, err
		}
		all = append(all, string(data))
	}
}

func TestEvents_AreFoundWhateverTheFraming(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, row := range map[string]struct {
		in  string
		out []string
	}{
		"plain":                 {"data: a\n\ndata: b\n\n", []string{"a", "b"}},
		"CRLF":                  {"data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		"no blank":              {"data:a\n\n", []string{"a"}},
		"only one blank goes":   {"data:  a\n\n", []string{" a"}},
		"comments, fields":      {": ping\n\nevent: x\nid: 1\ndata: a\nretry: 3\n\n", []string{"a"}},
		"two data lines":        {"data: a\ndata: b\n\n", []string{"a\nb"}},
		"empty data":            {"data:\n\n", []string{""}},
		"no event":              {"\n\n\n", nil},
		"unfinished is dropped": {"data: a\n\ndata: b", []string{"a"}},
		"without empty line":    {"data: a\n\ndata: b\n", []string{"a"}},
		"longer than a buffer":  {"data: " + long + "\n\ndata: b\n\n", []string{long, "b"}},
	} {
		for _, reader := range []io.Reader{
			strings.NewReader(row.in), iotest.OneByteReader(strings.NewReader(row.in)), iotest.DataErrReader(strings.NewReader(row.in)),
		} {
			got, err := collect(reader)
			if !slices.Equal(got, row.out) || !errors.Is(err, io.EOF) {
				t.Errorf("%s: got %.60q, %v; want %.60q", name, got, err, row.out)
			}
		}
	}
}

func TestEvents_AnEndlessEventEndsWithAnError(t *testing.T) {
	for name, unit := range map[string]string{"one line": "data: " + strings.Repeat("x", 1000), "many lines": "data: " + strings.Repeat("x", 1000) + "\n"} {
		_, err := collect(&endless{text: unit})
		if !errors.Is(err, errEventTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endless repeats its text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

func FuzzEvents(f *testing.F) {
	for _, seed := range []string{"data: a\n\ndata: b\n\n", ": c\r\ndata:\r\n\r\n", "data: a\ndata: b\n\nevent: x\n\n", "data: [DONE]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := collect(bytes.NewReader(in))
		if !errors.Is(err, io.EOF) {
			t.Fatalf("error %v", err)
		}
		bytewise, _ := collect(iotest.OneByteReader(bytes.NewReader(in)))
		if !slices.Equal(whole, bytewise) {
			t.Errorf("at once %q, byte by byte %q", whole, bytewise)
		}
		a := &answer{}
		_ = a.read(bytes.NewReader(in), func() {}) // must not panic
	})
}

// BenchmarkAnswer is the client's own cost of an event of vLLM's size.
func BenchmarkAnswer(b *testing.B) {
	const event = `data: {"id":"chatcmpl-a93af41a016cb838","object":"chat.completion.chunk","created":1795534229,"model":"tiny","choices":[{"index":0,"delta":{"content":" fabulous"},"logprobs":null,"finish_reason":null,"token_ids":null}]}` + "\n\n"
	stream := []byte(strings.Repeat(event, 1000))
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	for n := 0; n < b.N; n += 1000 {
		a := &answer{}
		if err := a.read(bytes.NewReader(stream), func() {}); err != nil || a.tokens != 1000 {
			b.Fatal(a.tokens, err)
		}
	}
}

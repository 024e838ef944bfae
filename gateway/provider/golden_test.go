package provider

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

var update = flag.Bool("update", false, "write the golden files anew")

// kindsUnderTest frame the events of a stream as the kind's service does.
var kindsUnderTest = map[string]func(event []byte) []byte{
	"anthropic": func(event []byte) []byte {
		var e struct{ Type string }
		_ = json.Unmarshal(event, &e)
		return []byte("event: " + e.Type + "\ndata: " + string(event) + "\n\n")
	},
	"gemini": func(event []byte) []byte {
		if bytes.HasPrefix(event, []byte(`{"error"`)) { // errors come bare, over several lines
			return append(bytes.ReplaceAll(event, []byte(", "), []byte(",\n\n  ")), '\n')
		}
		return []byte("data: " + string(event) + "\r\n\r\n")
	},
	"bedrock": func(event []byte) []byte {
		var e struct {
			Event, Exception, Error string
			Payload                 json.RawMessage
		}
		_ = json.Unmarshal(event, &e)
		m := eventstream.Message{Payload: e.Payload}
		switch {
		case e.Event != "":
			m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.EventMessageType))
			m.Headers.Set(eventstreamapi.EventTypeHeader, eventstream.StringValue(e.Event))
		case e.Exception != "":
			m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.ExceptionMessageType))
			m.Headers.Set(eventstreamapi.ExceptionTypeHeader, eventstream.StringValue(e.Exception))
		default:
			m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.ErrorMessageType))
			m.Headers.Set(eventstreamapi.ErrorCodeHeader, eventstream.StringValue(e.Error))
			m.Headers.Set(eventstreamapi.ErrorMessageHeader, eventstream.StringValue("words"))
		}
		m.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue("application/json"))
		var frame bytes.Buffer
		_ = eventstream.NewEncoder().Encode(&frame, m)
		return frame.Bytes()
	},
}

func translator(t testing.TB, kind string) Translator {
	t.Helper()
	tr, ok := Translation(kind, Options{Region: "eu-west-1"})
	if !ok {
		t.Fatalf("no kind %s", kind)
	}
	return tr
}

// asked is the Query of a body.
func asked(t testing.TB, path string, body []byte) *Query {
	t.Helper()
	ep, ok := api.Find([]byte(path))
	if !ok {
		t.Fatal(path)
	}
	v, fail := api.Read(ep, nil, body)
	if fail != nil {
		t.Fatal(fail)
	}
	return &Query{Family: ep.Family, Body: body, Model: v.Model, Stream: v.Stream, ID: "req-1", Now: time.Unix(1764460800, 0)}
}

// goldens calls run with the name and content of each in-file of a sort, and compares what it returns with the out-file.
func goldens(t *testing.T, sort string, run func(t *testing.T, kind, path string, in []byte) []byte) {
	for kind := range kindsUnderTest {
		files, err := filepath.Glob(filepath.Join("testdata", kind, sort+"_*.in.json*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no %s: %v", kind, sort, err)
		}
		for _, file := range files {
			name := strings.TrimPrefix(file, "testdata/")
			t.Run(name, func(t *testing.T) {
				in, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				path := "/v1/chat/completions"
				if strings.Contains(name, "_embed") {
					path = "/v1/embeddings"
				}
				got := run(t, kind, path, in)
				out := strings.Replace(file, ".in.", ".out.", 1)
				if *update {
					if err := os.WriteFile(out, got, 0o600); err != nil {
						t.Fatal(err)
					}
					return
				}
				want, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// told is a failure as a golden file shows it.
func told(f *failure.Error, key KeyFate) any {
	return map[string]any{
		"kind": f.Kind.String(), "status": f.HTTPStatus(), "retry_after_s": f.RetryAfter.Seconds(),
		"key":  [...]string{"fine", "limited", "refused"}[key],
		"body": json.RawMessage(api.ErrorBody(api.Chat, f)),
	}
}

func TestRequest(t *testing.T) {
	goldens(t, "request", func(t *testing.T, kind, path string, in []byte) []byte {
		call, fail := translator(t, kind).Request(asked(t, path, in))
		if fail != nil {
			return indented(t, told(fail, KeyFine))
		}
		return indented(t, map[string]any{
			"call": call.Method + " " + strings.TrimSuffix(call.Path+"?"+call.Query, "?"),
			"head": strings.Split(strings.TrimSpace(string(call.Header)), "\r\n"), "body": json.RawMessage(call.Body),
		})
	})
}

// reply is the Reply to a plain request.
func reply(t testing.TB, kind, path string) Reply {
	t.Helper()
	body := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	if path == "/v1/embeddings" {
		body = `{"model":"m","input":"hi"}`
	}
	call, fail := translator(t, kind).Request(asked(t, path, []byte(body)))
	if fail != nil {
		t.Fatal(fail)
	}
	return call.Reply
}

func TestAnswer(t *testing.T) {
	goldens(t, "answer", func(t *testing.T, kind, path string, in []byte) []byte {
		out, fail := reply(t, kind, path).Answer(in)
		if fail != nil {
			return indented(t, told(fail, KeyFine))
		}
		family := api.Chat
		if path == "/v1/embeddings" {
			family = api.Embeddings
		}
		if answer, ok := api.Inspect(family, out, nil); !ok || answer.Err != nil {
			t.Errorf("the gateway does not understand it: %+v", answer)
		}
		return indented(t, json.RawMessage(out))
	})
}

func TestFailure(t *testing.T) {
	goldens(t, "failure", func(t *testing.T, kind, path string, in []byte) []byte {
		var out bytes.Buffer
		for line := range bytes.Lines(in) {
			var w struct {
				Status int
				Header map[string]string
				Body   json.RawMessage
			}
			if err := json.Unmarshal(line, &w); err != nil {
				t.Fatal(err)
			}
			header := func(name string) []byte { return []byte(w.Header[name]) }
			fail, key := reply(t, kind, path).Failure(w.Status, header, w.Body)
			out.Write(encode(told(fail, key)))
			out.WriteByte('\n')
		}
		return out.Bytes()
	})
}

// framed is a stream as the service sends it, from one event a line.
func framed(kind string, lines []byte) []byte {
	var wire []byte
	for line := range bytes.Lines(lines) {
		wire = append(wire, kindsUnderTest[kind](bytes.TrimSpace(line))...)
	}
	return wire
}

func TestStream(t *testing.T) {
	goldens(t, "stream", func(t *testing.T, kind, path string, in []byte) []byte {
		wire := framed(kind, in)
		whole := bytes.Clone(reply(t, kind, path).Decoder().Feed(wire))
		var pieces []byte
		d := reply(t, kind, path).Decoder()
		for i := range wire {
			pieces = append(pieces, d.Feed(wire[i:i+1])...)
		}
		if !bytes.Equal(whole, pieces) {
			t.Errorf("byte by byte the stream becomes\n%s\nat once\n%s", pieces, whole)
		}
		s := api.NewStream(api.Chat, 1, false)
		s.Feed(whole, nil)
		verdict := struct {
			Complete, Terminated bool
			Usage                api.Usage
			Err                  *api.StreamError
		}{s.Complete, s.Terminated, s.Usage, s.Err}
		var out bytes.Buffer
		for event := range bytes.SplitSeq(bytes.TrimSuffix(whole, []byte("\n\n")), []byte("\n\n")) {
			out.Write(append(bytes.TrimPrefix(event, []byte("data: ")), '\n'))
		}
		out.Write(append(encode(verdict), '\n'))
		return out.Bytes()
	})
}

package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway/failure"
	"github.com/warmlane/warmlane/tokenize"
)

const jsonType = "application/json"

func endpointOf(t testing.TB, path string) Endpoint {
	t.Helper()
	ep, ok := Find([]byte(path))
	if !ok {
		t.Fatalf("no endpoint for %s", path)
	}
	return ep
}

func read(t *testing.T, path, body string) *View {
	t.Helper()
	v, fail := Read(endpointOf(t, path), []byte(jsonType), []byte(body))
	if fail != nil {
		t.Fatalf("%s: %v", body, fail)
	}
	return v
}

func TestRead_Chat(t *testing.T) {
	v := read(t, "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}],"mod\u0065l":"org\/m","stream":true,
		"stream_options":{"include_usage":true,"continuous_usage_stats":true},"n":3,"max_tokens":7,"max_completion_tokens":9.0,"user":"u","priority":-2,
		"session_id":"s","tools":[{}],"chat_template_kwargs":{"a":1},"documents":[],"cache_salt":"x","unknown":{"model":"no"}}`)
	s := v.Source
	v.Source = tokenize.Source{}
	want := View{
		Family: Chat, Model: "org/m", Stream: true, HasStreamOptions: true, IncludeUsage: true, ContinuousUsage: true, N: 3,
		MaxTokens: 9, User: "u", Session: "s", Priority: -2, MessageCount: 2, models: v.models, bounds: v.bounds, options: v.options, open: 1,
	}
	if !reflect.DeepEqual(*v, want) {
		t.Errorf("got %+v", *v)
	}
	if s.Form != tokenize.Chat || s.Model != "org/m" || string(s.Salt) != `"x"` || string(s.Tools) != "[{}]" || string(s.TemplateArgs) != `{"a":1}` ||
		string(s.Documents) != "[]" || !bytes.HasPrefix(s.Messages, []byte(`[{"role"`)) {
		t.Errorf("source %+v", s)
	}
}

func TestRead_OtherFamilies(t *testing.T) {
	for _, c := range []struct {
		path, body string
		check      func(*View) bool
	}{
		{"/v1/completions", `{"model":"m","prompt":["a","b"],"n":2}`, func(v *View) bool { return v.N == 4 && v.Source.Form == tokenize.Completion }},
		{"/v1/completions", `{"model":"m","prompt":[1,2,3],"n":2}`, func(v *View) bool { return v.N == 2 }},
		{"/v1/completions", `{"model":"m","prompt":[[1],[2],[3]]}`, func(v *View) bool { return v.N == 3 }},
		{"/v1/completions", `{"model":"m","prompt":[]}`, func(v *View) bool { return v.N == 1 }},
		{"/v1/completions", `{"model":"m","prompt":"p","max_tokens":-1}`, func(v *View) bool { return v.MaxTokens == 0 && string(v.Source.Prompt) == `"p"` }},
		{
			"/v1/responses", `{"model":"m","input":"hi","instructions":"be","max_output_tokens":5,"previous_response_id":"resp_1","background":true,"conversation":{"id":"c"}}`,
			func(v *View) bool {
				return v.MaxTokens == 5 && v.PreviousResponse == "resp_1" && v.Background && v.Session == "c" && v.MessageCount == 1 && string(v.Source.Instructions) == `"be"`
			},
		},
		{
			"/v1/messages", `{"model":"m","max_tokens":4,"system":"s","messages":[{}],"metadata":{"user_id":"u"},"stream":true}`,
			func(v *View) bool {
				return v.User == "u" && v.Stream && v.Source.Form == tokenize.Messages && string(v.Source.System) == `"s"`
			},
		},
		{"/v1/messages/count_tokens", `{"model":"m","messages":[]}`, func(v *View) bool { return v.Source.Form == tokenize.Messages }},
		{"/v1/embeddings", `{"model":"m","input":["a"],"encoding_format":"base64"}`, func(v *View) bool { return string(v.Source.Input) == `["a"]` }},
		{"/v2/rerank", `{"model":"m","query":"q","documents":["a"]}`, func(v *View) bool { return string(v.Source.Prompt) == `"q"` && string(v.Source.Input) == `["a"]` }},
		{"/v1/score", `{"model":"m","text_1":"q","text_2":["a"]}`, func(v *View) bool { return string(v.Source.Prompt) == `"q"` && string(v.Source.Input) == `["a"]` }},
		{"/tokenize", `{"model":"m","messages":[{}]}`, func(v *View) bool { return v.Source.Messages != nil }},
		{"/detokenize", `{"model":"m","tokens":[1]}`, func(v *View) bool { return string(v.Source.Input) == "[1]" }},
		{"/v1/audio/speech", `{"model":"m","input":"x","stream_format":"sse"}`, func(v *View) bool { return v.Stream && string(v.Source.Input) == `"x"` }},
		{
			"/v1/chat/completions", `{"model":"a","model":"b","stream":true,"stream":null,"messages":[],"n":null,"user":null,"stream_options":null}`,
			func(v *View) bool {
				return v.Model == "b" && !v.Stream && v.N == 1 && v.HasStreamOptions && !v.IncludeUsage
			},
		},
	} {
		if v := read(t, c.path, c.body); !c.check(v) {
			t.Errorf("%s %s: %+v", c.path, c.body, v)
		}
	}
}

func TestRead_FaultsAreNamed(t *testing.T) {
	chat := func(member string) string { return `{"model":"m","messages":[],` + member + `}` }
	for _, c := range []struct{ body, param, message string }{
		{``, "", "The request has no body."},
		{" \n", "", "The request has no body."},
		{`[]`, "", "The request body must be a JSON object, not an array."},
		{`"x"`, "", "The request body must be a JSON object, not a string."},
		{`nul`, "", "not valid JSON: a word that is not true, false or null at byte 0"},
		{`{"model":"m",}`, "", `not valid JSON: '}' where a member name in quotes is expected at byte 13`},
		{`{"model":"m"`, "", "at byte 12"},
		{"{\"model\":\"a\xff\"}", "", "not UTF-8: bytes that are not UTF-8 inside a string at byte 11"},
		{"\ufeff{}", "", "byte order mark"},
		{chat(`"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600)), "", "nested too deeply"},
		{`{"messages":[]}`, "model", "model is missing"},
		{`{"model":null,"messages":[]}`, "model", "model is missing"},
		{`{"model":"","messages":[]}`, "model", "model is empty"},
		{`{"model":1,"messages":[]}`, "model", "model must be a string, not a number."},
		{`{"model":["m"],"messages":[]}`, "model", "model must be a string, not an array."},
		{`{"model":"m"}`, "messages", "messages is missing."},
		{`{"model":"m","messages":"hi"}`, "messages", "messages must be an array, not a string."},
		{`{"model":"m","messages":[{},1]}`, "messages[1]", "messages[1] must be an object, not a number."},
		{chat(`"stream":"true"`), "stream", "stream must be true or false, not a string."},
		{chat(`"stream":1`), "stream", "stream must be true or false, not a number."},
		{chat(`"stream_options":true`), "stream_options", "stream_options must be an object, not a boolean."},
		{chat(`"stream_options":{"include_usage":"yes"}`), "stream_options.include_usage", "must be true or false, not a string."},
		{chat(`"n":"2"`), "n", "n must be a whole number, not a string."},
		{chat(`"n":1.5`), "n", "n must be a whole number, not 1.5."},
		{chat(`"n":1e999`), "n", "n must be a whole number, not 1e999."},
		{chat(`"n":0`), "n", "n must be at least 1, not 0."},
		{chat(`"n":20000`), "n", "n must be at most 16384."},
		{chat(`"max_tokens":"5"`), "max_tokens", "max_tokens must be a whole number, not a string."},
		{chat(`"max_completion_tokens":{}`), "max_completion_tokens", "must be a whole number, not an object."},
		{chat(`"priority":true`), "priority", "priority must be a whole number, not a boolean."},
		{chat(`"user":7`), "user", "user must be a string, not a number."},
		{chat(`"tools":{}`), "tools", "tools must be an array, not an object."},
	} {
		_, fail := Read(endpointOf(t, "/v1/chat/completions"), []byte(jsonType), []byte(c.body))
		if fail == nil {
			t.Errorf("%s: accepted", c.body)
			continue
		}
		if fail.HTTPStatus() != 400 || fail.Param != c.param || !strings.Contains(fail.Message, c.message) {
			t.Errorf("%.80s: %d %q about %q, want %q about %q", c.body, fail.HTTPStatus(), fail.Message, fail.Param, c.message, c.param)
		}
		if body := ErrorBody(Chat, fail); !json.Valid(body) {
			t.Errorf("the error body is no JSON: %s", body)
		}
	}
}

func TestRead_ContentTypes(t *testing.T) {
	ep := endpointOf(t, "/v1/chat/completions")
	body := []byte(`{"model":"m","messages":[]}`)
	for kind, ok := range map[string]bool{
		"": true, "application/json": true, "application/json; charset=utf-8": true, "Application/JSON": true, "application/vnd.x+json": true,
		"text/plain": false, "application/x-www-form-urlencoded": false, "multipart/form-data; boundary=x": false,
	} {
		_, fail := Read(ep, []byte(kind), body)
		if (fail == nil) != ok {
			t.Errorf("%q: %v", kind, fail)
		}
		if fail != nil && fail.Kind != failure.BadMediaType {
			t.Errorf("%q: %v", kind, fail.Kind)
		}
	}
	if _, fail := Read(endpointOf(t, "/v1/responses/resp_1"), nil, nil); fail != nil {
		t.Errorf("a GET needs a body: %v", fail)
	}
}

// decode reads an object and leaves its numbers as they are written.
func decode(body []byte) (object map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err = d.Decode(&object)
	return object, err
}

// wantSpliced is what a splice has to give, by encoding/json: the model, and include_usage in stream_options.
func wantSpliced(body []byte, model string, usage bool) map[string]any {
	want, err := decode(body)
	if err != nil {
		return nil
	}
	want["model"] = model
	if usage {
		options := map[string]any{}
		if old, ok := want["stream_options"].(map[string]any); ok {
			maps.Copy(options, old)
		}
		options["include_usage"] = true
		want["stream_options"] = options
	}
	return want
}

func TestSplice_ChangesNothingElse(t *testing.T) {
	for _, body := range []string{
		`{"model":"m","messages":[],"stream":true}`,
		"{ \n \"stream\" : true , \"model\" : \"m\" , \"messages\" : [ ] , \"x\" : 1.50e+3 }\n",
		`{"stream_options":null,"model":"m","messages":[],"stream":true}`,
		`{"stream_options":{},"model":"m","messages":[],"stream":true}`,
		`{"stream_options":{ },"model":"m","messages":[],"stream":true}`,
		`{"stream_options":{"include_usage":false},"model":"m","messages":[],"stream":true}`,
		`{"stream_options":{"include_usage":null,"continuous_usage_stats":true},"model":"m","messages":[],"stream":true}`,
		`{"stream_options":{"continuous_usage_stats":true},"model":"m","messages":[],"stream":true}`,
		`{"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}`,
		`{"model":"a","stream_options":{"a":1},"model":"b","messages":[],"stream":true,"stream_options":{"b":2},"model":"m"}`,
		`{"mod\u0065l":"m\u0020","messages":[{"role":"user","content":"\"model\":\"x\""}],"stream":true,"str\u0065am_options":{"includ\u0065_usage":false}}`,
	} {
		v := read(t, "/v1/chat/completions", body)
		got := bytes.Join(v.Splice([]byte(body), `new "model"`, true), nil)
		if have, err := decode(got); err != nil {
			t.Errorf("%s gives %s: %v", body, got, err)
		} else if want := wantSpliced([]byte(body), `new "model"`, true); !reflect.DeepEqual(have, want) {
			t.Errorf("%s gives %s", body, got)
		}
	}
}

func TestSplice_LeavesWhatIsRight(t *testing.T) {
	body := []byte(`{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}`)
	v := read(t, "/v1/chat/completions", string(body))
	for _, model := range []string{"m", ""} {
		if pieces := v.Splice(body, model, true); len(pieces) != 1 || &pieces[0][0] != &body[0] {
			t.Error("an unchanged body is copied")
		}
	}
	body = []byte(`{"model":"m","input":"x","stream":true}`)
	if pieces := read(t, "/v1/responses", string(body)).Splice(body, "m", true); len(pieces) != 1 {
		t.Error("include_usage is spliced into a responses request")
	}
	body = []byte(`{"model":"m","messages":[]}`)
	if pieces := read(t, "/v1/chat/completions", string(body)).Splice(body, "m", true); len(pieces) != 1 {
		t.Error("include_usage is spliced into a request that does not stream")
	}
	body = []byte(`{"model":"a","messages":[],"model":"m"}`)
	if got := bytes.Join(read(t, "/v1/chat/completions", string(body)).Splice(body, "m", false), nil); bytes.Contains(got, []byte(`"a"`)) {
		t.Errorf("an engine that takes the first of two models gets another one: %s", got)
	}
}

func form(fields ...string) []byte {
	var b strings.Builder
	for i := 0; i+1 < len(fields); i += 2 {
		b.WriteString("--XX\r\nContent-Disposition: form-data; name=\"" + fields[i] + "\"\r\n\r\n" + fields[i+1] + "\r\n")
	}
	b.WriteString("--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n\r\n--X\x00\xff\r\n--XX--\r\n")
	return []byte(b.String())
}

const formType = "multipart/form-data; boundary=XX"

func TestRead_Form(t *testing.T) {
	ep := endpointOf(t, "/v1/audio/transcriptions")
	body := form("language", "en", "model", "whisper", "stream", "true", "user", "u")
	v, fail := Read(ep, []byte(formType), body)
	if fail != nil {
		t.Fatal(fail)
	}
	if v.Model != "whisper" || !v.Stream || v.User != "u" || v.Source.Model != "whisper" {
		t.Errorf("%+v", v)
	}
	if pieces := v.Splice(body, "whisper", true); len(pieces) != 1 || &pieces[0][0] != &body[0] {
		t.Error("an unchanged form is copied")
	}
	if got := bytes.Join(v.Splice(body, "w2", true), nil); !bytes.Equal(got, form("language", "en", "model", "w2", "stream", "true", "user", "u")) {
		t.Errorf("%q", got)
	}
}

func TestRead_FormFaults(t *testing.T) {
	ep := endpointOf(t, "/v1/audio/translations")
	good := form("model", "m")
	for _, c := range []struct {
		kind string
		body []byte
		want string
	}{
		{formType, nil, "no body"},
		{"application/json", good, "multipart/form-data"},
		{"multipart/form-data", good, "boundary"},
		{formType, []byte("x"), "does not start with its boundary"},
		{formType, form(), "model is missing"},
		{formType, form("model", ""), "model is missing"},
		{formType, form("model", "m", "stream", "maybe"), "stream must be true or false."},
		{formType, form("model", strings.Repeat("m", 2000)), "longer than 1024 bytes"},
		{formType, good[:len(good)-8], "without its closing boundary"},
		{formType, []byte("--XX\r\nContent-Disposition: x"), "no end of its header"},
		{formType, []byte("--XXjunk\r\n\r\n\r\n--XX--"), "without its closing boundary"},
		{formType, bytes.Repeat([]byte("--XX\r\n\r\n\r\n"), 1002), "more than 1000 parts"},
	} {
		_, fail := Read(ep, []byte(c.kind), c.body)
		if fail == nil || fail.HTTPStatus()/100 != 4 || !strings.Contains(fail.Message, c.want) {
			t.Errorf("%q, %.60q: %v, want %q", c.kind, c.body, fail, c.want)
		}
	}
}

func FuzzView(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":false,"x":1},"n":2}`), uint8(0), "new")
	f.Add([]byte(`{"model":"a","stream_options":null,"prompt":["x",[1]],"stream":true,"model":"b"}`), uint8(1), "b")
	f.Add([]byte(`{"model":"m","input":[{"type":"message"}],"instructions":"x"}`), uint8(2), "é\"")
	f.Add(form("model", "m", "stream", "1"), uint8(4), "w")
	f.Fuzz(func(t *testing.T, body []byte, kind uint8, model string) {
		paths := []string{"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/audio/translations", "/v1/embeddings", "/v1/score", "/tokenize"}
		ep := endpointOf(t, paths[int(kind)%len(paths)])
		contentType := jsonType
		if ep.Multipart {
			contentType = formType
		}
		v, fail := Read(ep, []byte(contentType), body)
		if fail != nil {
			if fail.HTTPStatus()/100 != 4 || fail.Message == "" || !json.Valid(ErrorBody(Chat, fail)) {
				t.Fatalf("%q: %v", body, fail)
			}
			return
		}
		var builder tokenize.Builder
		builder.Build(&v.Source, nil)
		model = strings.ToValidUTF8(model, "")
		if ep.Multipart || model == "" {
			v.Splice(body, model, true)
			return
		}
		usage := v.Stream && (ep.Family == Chat || ep.Family == Completions)
		want := wantSpliced(body, model, usage)
		if want == nil || !json.Valid(body) {
			t.Fatalf("%q was accepted", body)
		}
		got := bytes.Join(v.Splice(bytes.Clone(body), model, true), nil)
		have, err := decode(got)
		if err != nil || !json.Valid(got) {
			t.Fatalf("%q gives %q: %v", body, got, err)
		}
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("%q gives %q", body, got)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	ep := endpointOf(b, "/v1/chat/completions")
	for name, size := range map[string]int{"1KB": 1 << 10, "32KB": 32 << 10, "512KB": 512 << 10} {
		text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", size/45)
		body := []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"` + text + `"}]}`)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var builder tokenize.Builder
			for b.Loop() {
				v, fail := Read(ep, []byte(jsonType), body)
				if fail != nil {
					b.Fatal(fail)
				}
				builder.Build(&v.Source, nil)
				v.Splice(body, "m", true)
			}
		})
	}
}

func TestSplice_BoundsTheAnswer(t *testing.T) {
	f := func(path, body, want string) {
		t.Helper()
		v := read(t, path, body)
		v.Bound(64)
		if got := string(bytes.Join(v.Splice([]byte(body), "m", false), nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f("/v1/chat/completions", `{"model":"m","messages":[]}`, `{"max_tokens":64,"model":"m","messages":[]}`)
	f("/v1/chat/completions", `{"model":"m","max_tokens":null,"messages":[]}`, `{"model":"m","max_tokens":64,"messages":[]}`)
	f("/v1/chat/completions", `{"model":"m","max_tokens":-1,"messages":[]}`, `{"model":"m","max_tokens":64,"messages":[]}`)
	f("/v1/chat/completions", `{"model":"m","max_completion_tokens":9,"messages":[]}`, `{"model":"m","max_completion_tokens":9,"messages":[]}`)
	f("/v1/responses", `{"model":"m","input":"x"}`, `{"max_output_tokens":64,"model":"m","input":"x"}`)
}

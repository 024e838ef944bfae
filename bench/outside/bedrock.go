package outside

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Bedrock simulates Converse and ConverseStream: botocore 1.44.8, data/bedrock-runtime/2023-09-30. Requests have to be signed.
type Bedrock struct{ KeyID, Secret, Region string }

type bedrockRequest struct {
	Messages        []bedrockMessage `json:"messages"`
	System          []bedrockBlock   `json:"system"`
	InferenceConfig struct {
		MaxTokens     *int     `json:"maxTokens"`
		Temperature   *float64 `json:"temperature"`
		TopP          *float64 `json:"topP"`
		StopSequences []string `json:"stopSequences"`
	} `json:"inferenceConfig"`
	ToolConfig *struct {
		Tools []struct {
			ToolSpec struct {
				Name        string `json:"name"`
				Description string `json:"description"`
				InputSchema struct {
					JSON map[string]any `json:"json"`
				} `json:"inputSchema"`
				Strict bool `json:"strict"`
			} `json:"toolSpec"`
		} `json:"tools"`
		ToolChoice map[string]struct {
			Name string `json:"name"`
		} `json:"toolChoice"`
	} `json:"toolConfig"`
	OutputConfig *struct {
		TextFormat json.RawMessage `json:"textFormat"`
		Effort     string          `json:"effort"`
	} `json:"outputConfig"`
}

type bedrockMessage struct {
	Role    string         `json:"role"`
	Content []bedrockBlock `json:"content"`
}

type bedrockBlock struct {
	Text  *string `json:"text"`
	Image *struct {
		Format string `json:"format"`
		Source struct {
			Bytes []byte `json:"bytes"`
		} `json:"source"`
	} `json:"image"`
	ToolUse *struct {
		ID    string         `json:"toolUseId"`
		Name  string         `json:"name"`
		Input map[string]any `json:"input"`
	} `json:"toolUse"`
	ToolResult *struct {
		ID      string         `json:"toolUseId"`
		Content []bedrockBlock `json:"content"`
		Status  string         `json:"status"`
	} `json:"toolResult"`
}

var bedrockTypes = map[int]string{
	400: "ValidationException", 403: "InvalidSignatureException", 404: "ResourceNotFoundException", 429: "ThrottlingException",
	500: "InternalServerException", 503: "ServiceUnavailableException",
}

// ServeHTTP answers POST /model/NAME/converse and /model/NAME/converse-stream.
func (b *Bedrock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, message string) {
		w.Header().Set("X-Amzn-ErrorType", bedrockTypes[status]+":http://internal.amazon.com/coral/com.amazon.bedrock/")
		reply(w, status, object{"message": message})
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	var q bedrockRequest
	switch err := strictly(r, &q); {
	case r.Method != http.MethodPost || len(parts) != 3 || parts[0] != "model" || parts[2] != "converse" && parts[2] != "converse-stream":
		refuse(404, "Not found")
		return
	case !b.signed(r, body):
		refuse(403, "The request signature we calculated does not match the signature you provided.")
		return
	case err != nil:
		refuse(400, err.Error())
		return
	}
	last, err := q.check()
	if err != nil {
		refuse(400, err.Error())
		return
	}
	tool := ""
	if q.ToolConfig != nil && len(q.ToolConfig.Tools) > 0 {
		tool = q.ToolConfig.Tools[0].ToolSpec.Name
	}
	s := script("bedrock", last, tool)
	switch {
	case s.Status != 0:
		refuse(s.Status, "as asked for")
	case parts[2] == "converse-stream":
		bedrockStream(w, s)
	default:
		reply(w, 200, bedrockAnswer(s))
	}
}

// signed signs the request again, with the headers that were signed and at the time that it tells, and compares.
func (b *Bedrock) signed(r *http.Request, body []byte) bool {
	got := r.Header.Get("Authorization")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	_, rest, ok := strings.Cut(got, "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	if err != nil || !ok {
		return false
	}
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
	u := *r.URL
	u.Scheme, u.Host = "https", r.Host
	again.URL = &u
	for name := range strings.SplitSeq(names, ";") {
		if v := r.Header.Get(name); v != "" {
			again.Header.Set(name, v)
		}
	}
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: b.KeyID, SecretAccessKey: b.Secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(sum[:]), "bedrock", b.Region, at); err != nil {
		return false
	}
	return again.Header.Get("Authorization") == got
}

var toolUseID = regexp.MustCompile(`^[a-zA-Z0-9_.:-]{1,64}$`)

// check finds what is wrong with a request, and its last text.
func (q *bedrockRequest) check() (last string, err error) {
	var roles []string
	var pairs paired
	for _, m := range q.Messages {
		roles = append(roles, m.Role)
		var calls, results []string
		for _, block := range m.Content {
			switch {
			case block.Text != nil:
				last = *block.Text
			case block.Image != nil:
				if len(block.Image.Source.Bytes) == 0 || block.Image.Format == "" {
					return "", errors.New("an image without bytes or format")
				}
			case block.ToolUse != nil:
				if !toolUseID.MatchString(block.ToolUse.ID) || block.ToolUse.Input == nil {
					return "", errors.New("toolUse needs an id of 64 plain characters and an input")
				}
				calls = append(calls, block.ToolUse.ID)
			case block.ToolResult != nil:
				results = append(results, block.ToolResult.ID)
			default:
				return "", errors.New("an empty block")
			}
		}
		if (len(calls) > 0 || len(results) > 0) && q.ToolConfig == nil {
			return "", errors.New("the toolConfig field must be defined when using toolUse and toolResult content blocks")
		}
		if err := pairs.results(results...); err != nil {
			return "", err
		}
		pairs.calls(calls...)
	}
	return last, alternate(roles, "user")
}

func bedrockUsage() object {
	return object{
		"inputTokens": FreshTokens, "cacheReadInputTokens": CachedTokens, "cacheWriteInputTokens": 0, "outputTokens": OutputTokens,
		"totalTokens": FreshTokens + CachedTokens + OutputTokens,
	}
}

func bedrockAnswer(s *Script) object {
	var content []any
	if s.Thought != "" {
		content = append(content, object{"reasoningContent": object{"reasoningText": object{"text": s.Thought, "signature": "c2ln"}}})
	}
	if text := strings.Join(s.Words, ""); text != "" {
		content = append(content, object{"text": text})
	}
	stop := "end_turn"
	for i, c := range s.Calls {
		stop = "tool_use"
		content = append(content, object{"toolUse": object{"toolUseId": fmt.Sprintf("tooluse_%d", i), "name": c.Name, "input": json.RawMessage(c.Args)}})
	}
	return object{
		"output": object{"message": object{"role": "assistant", "content": content}}, "stopReason": stop, "usage": bedrockUsage(),
		"metrics": object{"latencyMs": 1},
	}
}

func bedrockStream(w http.ResponseWriter, s *Script) {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	frame := func(kind, header, name string, payload object) {
		text, err := json.Marshal(payload)
		if err != nil {
			panic(err)
		}
		m := eventstream.Message{Payload: text}
		m.Headers.Set(header, eventstream.StringValue(name))
		m.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue("application/json"))
		m.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(kind))
		if err := eventstream.NewEncoder().Encode(w, m); err != nil {
			panic(http.ErrAbortHandler)
		}
		sse{w}.flush()
	}
	send := func(name string, payload object) {
		frame(eventstreamapi.EventMessageType, eventstreamapi.EventTypeHeader, name, payload)
	}
	index := 0
	delta := func(d object) { send("contentBlockDelta", object{"contentBlockIndex": index, "delta": d}) }
	stop := func() {
		send("contentBlockStop", object{"contentBlockIndex": index})
		index++
	}
	send("messageStart", object{"role": "assistant"})
	if s.Thought != "" {
		delta(object{"reasoningContent": object{"text": s.Thought}})
		stop()
	}
	for i, word := range s.Words {
		if (s.Break || s.Cut) && i == 2 {
			break
		}
		delta(object{"text": word})
	}
	switch {
	case s.Break:
		frame(eventstreamapi.ExceptionMessageType, eventstreamapi.ExceptionTypeHeader, "serviceUnavailableException", object{"message": "Overloaded"})
		return
	case s.Cut:
		panic(http.ErrAbortHandler)
	case len(s.Words) > 0:
		stop()
	}
	reason := "end_turn"
	for i, c := range s.Calls {
		reason = "tool_use"
		send("contentBlockStart", object{"contentBlockIndex": index, "start": object{"toolUse": object{"toolUseId": fmt.Sprintf("tooluse_%d", i), "name": c.Name}}})
		for _, half := range halves(c.Args) {
			delta(object{"toolUse": object{"input": half}})
		}
		stop()
	}
	send("messageStop", object{"stopReason": reason})
	send("metadata", object{"usage": bedrockUsage(), "metrics": object{"latencyMs": 1}})
}

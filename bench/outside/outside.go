// Package outside simulates the outside services whose protocols are not OpenAI's: Anthropic, Gemini and Bedrock, as far as
// chat and Gemini's embeddings go. Each is an http.Handler that takes no field which the service does not have, checks the credential,
// and answers by what the last text of the conversation says (see Script). It shares no code with the gateway's translations:
// shapes are written down here a second time, from the official SDKs, which talk to it in bench/clients/providers.py.
package outside

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Script is what an answer consists of.
type Script struct {
	Thought string
	Words   []string
	Calls   []Call
	Break   bool // an error in mid-stream
	Cut     bool // the connection ends in mid-stream
	Status  int  // a refusal in place of an answer
}

// Call is a call of a tool.
type Call struct{ Name, Args string }

// Usage is the same for all answers.
const (
	FreshTokens   = 20 // of the prompt, not from the cache
	CachedTokens  = 100
	OutputTokens  = 12
	ThoughtTokens = 5 // of the output
)

// script reads the last text: "think" thinks first, "call" calls the first tool twice, "break" and "cut" end a stream in its middle,
// "status N" is refused with that status. What is said is "Hello from KIND."
func script(kind, last, tool string) *Script {
	s := &Script{Words: []string{"Hello", " from", " " + kind, "."}}
	word, rest, _ := strings.Cut(last, " ")
	switch word {
	case "think":
		s.Thought = "Let me think."
	case "call":
		if tool != "" {
			s.Words = nil
			s.Calls = []Call{{tool, `{"town":"Bonn"}`}, {tool, `{"town":"Rome"}`}}
		}
	case "break":
		s.Break = true
	case "cut":
		s.Cut = true
	case "status":
		s.Status, _ = strconv.Atoi(rest)
	}
	return s
}

// strictly reads a body into v, without fields that v lacks.
func strictly(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something after the body")
	}
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// object is a piece of JSON.
type object = map[string]any

// sse writes the events of a stream, each at once.
type sse struct{ http.ResponseWriter }

func (s sse) send(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	if name != "" {
		fmt.Fprintf(s, "event: %s\n", name)
	}
	fmt.Fprintf(s, "data: %s\n\n", text)
	s.flush()
}

func (s sse) flush() {
	if f, ok := s.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// halves cuts a text in two, as arguments come in a stream.
func halves(text string) [2]string { return [2]string{text[:len(text)/2], text[len(text)/2:]} }

// alternate checks that the sides take turns, beginning with the first.
func alternate(roles []string, first string) error {
	for i, role := range roles {
		if (role == first) != (i%2 == 0) {
			return fmt.Errorf("roles must alternate and begin with %q: %v", first, roles)
		}
	}
	if len(roles) == 0 {
		return errors.New("no messages")
	}
	return nil
}

// paired checks that each call has its result in the next message, and each result its call.
type paired struct{ open map[string]bool }

func (p *paired) calls(ids ...string) {
	p.open = map[string]bool{}
	for _, id := range ids {
		p.open[id] = true
	}
}

func (p *paired) results(ids ...string) error {
	for _, id := range ids {
		if !p.open[id] {
			return fmt.Errorf("unexpected result of call %q", id)
		}
		delete(p.open, id)
	}
	if len(p.open) > 0 {
		return fmt.Errorf("calls without a result: %v", p.open)
	}
	return nil
}

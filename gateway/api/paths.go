package api

import (
	"bytes"
	"strings"
)

// Family is the API that a path belongs to. It decides how a body is read and how a stream ends.
type Family uint8

// The families. Models, ModelByID and Health are answered by the gateway itself.
const (
	Unknown Family = iota
	Chat
	Completions
	Responses
	ResponseByID
	Messages
	CountTokens
	Embeddings
	Rerank
	Score
	Classify
	Pooling
	Tokenize
	Detokenize
	Transcriptions
	Translations
	Speech
	Models
	ModelByID
	Health
	families // how many there are
)

var familyNames = [families]string{
	Unknown: "unknown", Chat: "chat", Completions: "completions", Responses: "responses", ResponseByID: "response_by_id",
	Messages: "messages", CountTokens: "count_tokens", Embeddings: "embeddings", Rerank: "rerank", Score: "score",
	Classify: "classify", Pooling: "pooling", Tokenize: "tokenize", Detokenize: "detokenize",
	Transcriptions: "transcriptions", Translations: "translations", Speech: "speech",
	Models: "models", ModelByID: "model_by_id", Health: "health",
}

// String returns the name of f as metrics and logs write it.
func (f Family) String() string {
	if f >= families {
		return familyNames[Unknown]
	}
	return familyNames[f]
}

// Endpoint is what a path means.
type Endpoint struct {
	// Family is the API that the path belongs to.
	Family Family
	// Path is the path to ask the engine for, without base path and query.
	Path string
	// Method is the one method that the path takes.
	Method string
	// Multipart says that the body is a form (audio uploads), not JSON.
	Multipart bool
	// CanStream says that the answer may be a stream of events.
	CanStream bool
	// Own says that the gateway answers itself.
	Own bool
	// ID is the response or model id in the path, "" elsewhere.
	ID string
	// Cancel marks POST /v1/responses/{id}/cancel.
	Cancel bool
}

const (
	get  = "GET"
	post = "POST"

	responsesPrefix = "/v1/responses/"
	modelsPrefix    = "/v1/models/"
	cancelSuffix    = "/cancel"
)

// lookup returns the endpoint of an exact path.
func lookup(path string) (Endpoint, bool) {
	switch path {
	case "/v1/chat/completions":
		return Endpoint{Family: Chat, Path: "/v1/chat/completions", Method: post, CanStream: true}, true
	case "/v1/completions":
		return Endpoint{Family: Completions, Path: "/v1/completions", Method: post, CanStream: true}, true
	case "/v1/responses":
		return Endpoint{Family: Responses, Path: "/v1/responses", Method: post, CanStream: true}, true
	case "/v1/messages":
		return Endpoint{Family: Messages, Path: "/v1/messages", Method: post, CanStream: true}, true
	case "/v1/messages/count_tokens":
		return Endpoint{Family: CountTokens, Path: "/v1/messages/count_tokens", Method: post}, true
	case "/v1/embeddings":
		return Endpoint{Family: Embeddings, Path: "/v1/embeddings", Method: post}, true
	case "/rerank":
		return Endpoint{Family: Rerank, Path: "/rerank", Method: post}, true
	case "/v1/rerank":
		return Endpoint{Family: Rerank, Path: "/v1/rerank", Method: post}, true
	case "/v2/rerank":
		return Endpoint{Family: Rerank, Path: "/v2/rerank", Method: post}, true
	case "/score":
		return Endpoint{Family: Score, Path: "/score", Method: post}, true
	case "/v1/score":
		return Endpoint{Family: Score, Path: "/v1/score", Method: post}, true
	case "/classify":
		return Endpoint{Family: Classify, Path: "/classify", Method: post}, true
	case "/v1/classify":
		return Endpoint{Family: Classify, Path: "/v1/classify", Method: post}, true
	case "/pooling":
		return Endpoint{Family: Pooling, Path: "/pooling", Method: post}, true
	case "/tokenize":
		return Endpoint{Family: Tokenize, Path: "/tokenize", Method: post}, true
	case "/detokenize":
		return Endpoint{Family: Detokenize, Path: "/detokenize", Method: post}, true
	case "/v1/audio/transcriptions":
		return Endpoint{Family: Transcriptions, Path: "/v1/audio/transcriptions", Method: post, Multipart: true, CanStream: true}, true
	case "/v1/audio/translations":
		return Endpoint{Family: Translations, Path: "/v1/audio/translations", Method: post, Multipart: true, CanStream: true}, true
	case "/v1/audio/speech":
		return Endpoint{Family: Speech, Path: "/v1/audio/speech", Method: post, CanStream: true}, true
	case "/v1/models":
		return Endpoint{Family: Models, Path: "/v1/models", Method: get, Own: true}, true
	case "/health":
		return Endpoint{Family: Health, Path: "/health", Method: get, Own: true}, true
	}
	return Endpoint{}, false
}

// Find returns the endpoint of a path, whatever the method of the request; [Endpoint.Method] is the one it takes.
// GET endpoints take HEAD as well; see [Endpoint.Takes].
func Find(path []byte) (Endpoint, bool) {
	if ep, ok := lookup(string(path)); ok {
		return ep, true
	}
	switch {
	case bytes.HasPrefix(path, []byte(responsesPrefix)):
		return byResponseID(string(path))
	case bytes.HasPrefix(path, []byte(modelsPrefix)):
		// A model id may hold slashes: organisation/name.
		if id := string(path[len(modelsPrefix):]); id != "" {
			return Endpoint{Family: ModelByID, Path: string(path), Method: get, Own: true, ID: id}, true
		}
	}
	return Endpoint{}, false
}

func byResponseID(path string) (Endpoint, bool) {
	id := path[len(responsesPrefix):]
	ep := Endpoint{Family: ResponseByID, Path: path, Method: get, CanStream: true}
	if cut, ok := strings.CutSuffix(id, cancelSuffix); ok {
		id, ep.Method, ep.Cancel, ep.CanStream = cut, post, true, false
	}
	if !cleanID(id) {
		return Endpoint{}, false
	}
	ep.ID = id
	return ep, true
}

// cleanID says whether id is one plain path segment: it goes into the path that an engine is asked for.
func cleanID(id string) bool {
	if id == "" || id == "." || id == ".." || len(id) > 256 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// Takes says whether the endpoint answers to method.
func (ep *Endpoint) Takes(method []byte) bool {
	return string(method) == ep.Method || ep.Method == get && ep.Own && string(method) == "HEAD"
}

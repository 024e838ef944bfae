package api

import "github.com/warmlane/warmlane/gateway/failure"

// ErrorBody returns e as an OpenAI error object, the body of an answer with e's status.
func ErrorBody(e *failure.Error) []byte { return nil }

// ErrorEvent returns e as the last event of a stream of family f that has already begun.
func ErrorEvent(f Family, e *failure.Error) []byte { return nil }

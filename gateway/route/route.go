// Package route turns the routes of the configuration into ordered targets.
//
// A Table is immutable and safe for concurrent use. Find costs no allocation on a match and, for a model named without globs, no more than
// a map look-up and the conditions of the routes that name it.
package route

import (
	"github.com/warmlane/warmlane/gateway/config"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Target is where a request may be sent: a pool or a provider, the other name is "".
type Target struct {
	Pool     string
	Provider string
	Model    string // name to send; "" = the caller's, untouched
}

// Route is an ordered list of targets.
type Route struct {
	Name       string // from the file; the model's name for a model that needs no route
	Targets    []Target
	FallbackOn []config.FailedBy
}

// Query is what is known about a request when it is routed.
type Query struct {
	Model    string
	Path     string
	Consumer string
	Headers  config.Headers
}

// Table finds routes.
type Table struct{}

// New compiles the routes of a valid configuration.
func New(cfg *config.Config) *Table { return &Table{} }

// Find returns the route for q. The failure is ModelNotFound, with the nearest names in its message.
func (t *Table) Find(q Query) (*Route, *failure.Error) { return nil, nil }

// Models returns the public model names in the order of the configuration: pools, their served and further models,
// the models of providers, and models that routes name without a glob.
func (t *Table) Models() []Model { return nil }

// Model is one public model name.
type Model struct {
	Name string
	Pool string // pool that serves it first, "" if only a provider does
}

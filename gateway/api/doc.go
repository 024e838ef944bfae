// Package api is the wire: which paths exist, what a request body says, how a stream of events is cut, read and
// ended, and how errors look in each API family.
//
// It guarantees that bytes pass: a request body is edited only by splices into the original bytes, a stream only
// by leaving whole events out. Bodies and events are read in one scan without building a tree, and nothing that a
// client or an engine sends makes it panic.
package api

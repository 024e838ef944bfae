// Package console is the admin listener: /healthz, /readyz, /metrics, and the admin API under /admin/v1/, where every room
// registers its handlers.
//
// The admin API speaks JSON and has one form of error, OpenAI's. Who may call it: a caller with the configured token from
// anywhere; without a token only programs on this host, and no web page that a browser there shows (see guard.go).
// Health and metrics are for everybody who reaches the listener. None of it is on the way of requests.
package console

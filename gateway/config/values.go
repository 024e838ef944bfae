package config

import "time"

// Duration is a Go duration that reads and prints as one, such as 1m30s.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Size is a number of bytes, such as 64MiB.
type Size int64

// Rate is a number of things in a unit of time, such as 100/min.
type Rate struct {
	N   int64
	Per time.Duration // a second, a minute or an hour
}

// Secret is a text that never prints: String, Format, MarshalJSON, MarshalText and LogValue hide it.
type Secret struct{ text string }

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.text == "" }

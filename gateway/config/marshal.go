package config

import "encoding"

// The values of the file are marshalled as the file writes them.
var (
	_ encoding.TextMarshaler = Duration(0)
	_ encoding.TextMarshaler = Size(0)
	_ encoding.TextMarshaler = Rate{}
	_ encoding.TextMarshaler = Spend{}
	_ encoding.TextMarshaler = Auth{}
	_ encoding.TextMarshaler = By{}
	_ encoding.TextMarshaler = FailedBy(0)
	_ encoding.TextMarshaler = Secret{}
)

// MarshalText returns d as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalText returns s as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText returns r as String does.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText returns s as String does.
func (s Spend) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText returns a as String does.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalText returns b as String does.
func (b By) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// MarshalText returns f as String does.
func (f FailedBy) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

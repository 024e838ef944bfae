package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret is a text that never prints: every way to format, log or marshal it shows stars. Two secrets are equal by ==
// when their texts are.
type Secret struct{ text string }

const (
	hidden       = "***"
	digestPrefix = "sha256:"
)

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.text == "" }

// Digest returns the SHA-256 of the secret; a secret written as sha256:HEX stands for the key with this digest.
func (s Secret) Digest() ([sha256.Size]byte, error) {
	text, ok := strings.CutPrefix(s.text, digestPrefix)
	if !ok {
		return sha256.Sum256([]byte(s.text)), nil
	}
	var sum [sha256.Size]byte
	if len(text) != hex.EncodedLen(len(sum)) {
		return sum, fmt.Errorf("sha256: needs %d hexadecimal digits", hex.EncodedLen(len(sum)))
	}
	if _, err := hex.Decode(sum[:], []byte(text)); err != nil {
		return sum, fmt.Errorf("sha256: needs %d hexadecimal digits", hex.EncodedLen(len(sum)))
	}
	return sum, nil
}

// String returns stars, or nothing for no secret.
func (s Secret) String() string {
	if s.Empty() {
		return ""
	}
	return hidden
}

// Format writes stars for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns stars; it serves JSON, YAML and XML alike.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns stars.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s *Secret) parse(text string) *complaint {
	if strings.TrimSpace(text) != text {
		return &complaint{"begins or ends with blanks", "remove them"}
	}
	s.text = text
	return nil
}

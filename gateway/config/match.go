package config

import (
	"slices"
	"strings"
	"unsafe"
)

// Headers is what Match needs to know about the headers of a request; *fasthttp.RequestHeader is one.
type Headers interface {
	// Peek returns the value of the header, nil if it is missing.
	Peek(name string) []byte
}

// Subject is what a Match looks at.
type Subject struct {
	Model    string
	Path     string
	Consumer string
	Headers  Headers // nil = no headers
}

// Covers reports whether s fulfils every condition of m. It does not allocate.
func (m *Match) Covers(s *Subject) bool {
	if len(m.Models) > 0 && !AnyGlob(m.Models, s.Model) {
		return false
	}
	if len(m.Consumers) > 0 && !slices.Contains(m.Consumers, s.Consumer) {
		return false
	}
	if m.Path != "" && !Glob(m.Path, s.Path) {
		return false
	}
	for name, glob := range m.Headers {
		if s.Headers == nil {
			return false
		}
		value := s.Headers.Peek(name)
		if value == nil || !Fits(glob, textOf(value)) {
			return false
		}
	}
	for name, pattern := range m.Cookies {
		value, ok := Cookie(s.Headers, name)
		if !ok || !Fits(pattern, value) {
			return false
		}
	}
	return true
}

// Empty reports whether m has no condition and so covers everything.
func (m *Match) Empty() bool {
	return len(m.Models) == 0 && len(m.Consumers) == 0 && m.Path == "" && len(m.Headers) == 0 && len(m.Cookies) == 0
}

// String returns the conditions in the words of the file, "" for none.
func (m *Match) String() string {
	var parts []string
	if len(m.Models) > 0 {
		parts = append(parts, "models "+strings.Join(m.Models, ","))
	}
	if len(m.Consumers) > 0 {
		parts = append(parts, "consumers "+strings.Join(m.Consumers, ","))
	}
	if m.Path != "" {
		parts = append(parts, "path "+m.Path)
	}
	for _, name := range sortedKeys(m.Headers) {
		parts = append(parts, "header "+name+"="+m.Headers[name])
	}
	for _, name := range sortedKeys(m.Cookies) {
		parts = append(parts, "cookie "+name+"="+m.Cookies[name])
	}
	return strings.Join(parts, ", ")
}

// AnyGlob reports whether one of the patterns matches text.
func AnyGlob(patterns []string, text string) bool {
	for _, p := range patterns {
		if Glob(p, text) {
			return true
		}
	}
	return false
}

// Glob reports whether text matches pattern, in which * stands for any text and ? for one byte. It does not allocate, and costs at
// most the product of the two lengths.
func Glob(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0 // the last *, and where in text it was last given up
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// IsGlob reports whether pattern stands for more than itself.
func IsGlob(pattern string) bool { return strings.ContainsAny(pattern, "*?") }

// textOf views bytes as a string without copying; the string must not outlive the bytes.
func textOf(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only, and shorter lived than b
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

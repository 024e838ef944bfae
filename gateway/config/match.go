package config

import (
	"net/netip"
	"slices"
	"strings"
	"unsafe"
)

// Headers is what Match needs to know about the headers of a request, or the parameters of its query; *fasthttp.RequestHeader and
// *fasthttp.Args are such.
type Headers interface {
	// Peek returns the value of that name, nil if it is missing.
	Peek(name string) []byte
}

// Subject is what a Match looks at. What is not known is empty.
type Subject struct {
	Model    string // that the caller asks for, without the app
	Path     string
	Consumer string
	User     string // on whose behalf the consumer calls
	App      string // the calling application
	Route    string // "" before it is found
	IP       netip.Addr
	Headers  Headers // nil = none
	Args     Headers // parameters of the query; nil = none
}

// Covers reports whether s fulfils every condition of m. It does not allocate.
func (m *Match) Covers(s *Subject) bool {
	for _, c := range [...]struct {
		patterns []string
		value    string
	}{{m.Models, s.Model}, {m.Consumers, s.Consumer}, {m.Users, s.User}, {m.Apps, s.App}, {m.Routes, s.Route}} {
		if len(c.patterns) > 0 && !anyFits(c.patterns, c.value) {
			return false
		}
	}
	if m.Path != "" && !Fits(m.Path, s.Path) || len(m.IPs) > 0 && !inAny(m.IPs, s.IP) {
		return false
	}
	for name, pattern := range m.Cookies {
		value, ok := Cookie(s.Headers, name)
		if !ok || !Fits(pattern, value) {
			return false
		}
	}
	return allFit(m.Headers, s.Headers) && allFit(m.Query, s.Args)
}

// allFit reports whether values has each name, with a value that fits.
func allFit(patterns map[string]string, values Headers) bool {
	for name, pattern := range patterns {
		if values == nil {
			return false
		}
		value := values.Peek(name)
		if value == nil || !Fits(pattern, textOf(value)) {
			return false
		}
	}
	return true
}

func anyFits(patterns []string, text string) bool {
	for _, p := range patterns {
		if Fits(p, text) {
			return true
		}
	}
	return false
}

func inAny(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap()
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// Empty reports whether m has no condition and so covers everything.
func (m *Match) Empty() bool {
	return len(m.lists()) == 0 && m.Path == "" && len(m.Headers) == 0 && len(m.Query) == 0 && len(m.Cookies) == 0
}

// lists returns the lists of m that have entries, each in the words of the file.
func (m *Match) lists() []string {
	var parts []string
	for _, list := range []struct {
		name    string
		entries []string
	}{{"models", m.Models}, {"consumers", m.Consumers}, {"users", m.Users}, {"apps", m.Apps}, {"routes", m.Routes}} {
		if len(list.entries) > 0 {
			parts = append(parts, list.name+" "+strings.Join(list.entries, ","))
		}
	}
	if len(m.IPs) > 0 {
		networks := make([]string, len(m.IPs))
		for i, n := range m.IPs {
			networks[i] = n.String()
		}
		parts = append(parts, "ips "+strings.Join(networks, ","))
	}
	return parts
}

// String returns the conditions in the words of the file, "" for none.
func (m *Match) String() string {
	parts := m.lists()
	if m.Path != "" {
		parts = append(parts, "path "+m.Path)
	}
	for _, kind := range []struct {
		name     string
		patterns map[string]string
	}{{"header", m.Headers}, {"query", m.Query}, {"cookie", m.Cookies}} {
		for _, name := range sortedKeys(kind.patterns) {
			parts = append(parts, kind.name+" "+name+"="+kind.patterns[name])
		}
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

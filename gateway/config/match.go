package config

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
func (m *Match) Covers(s *Subject) bool { return false }

// Glob reports whether text matches pattern, in which * stands for any text and ? for one character. It does not allocate.
func Glob(pattern, text string) bool { return false }

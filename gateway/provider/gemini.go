package provider

import (
	"strings"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// gemini is Google's Gemini API (not Vertex AI). Its shapes are those of google-genai 3.6.1 (PyPI): models.py, the converters named
// *_to_mldev and *_from_mldev, types.py and errors.py; header, base URL and version of _api_client.py.
type gemini struct{}

func newGemini(Options) Translator { return gemini{} }

// Takes is part of Translator.
func (gemini) Takes(f api.Family) bool { return f == api.Chat || f == api.Embeddings }

// BaseURL is part of Translator.
func (gemini) BaseURL() string { return "https://generativelanguage.googleapis.com" }

// Authorize is part of Translator.
func (gemini) Authorize(_ *Call, _, key string, _ time.Time) ([]byte, error) {
	return keyHeader("x-goog-api-key", key, "")
}

// Request is part of Translator.
func (g gemini) Request(q *Query) (*Call, *failure.Error) {
	if q.Family == api.Embeddings {
		return geminiEmbed(q)
	}
	return geminiChat(q)
}

const jsonHeader = "Content-Type: application/json\r\n"

// geminiModel is a model's name as a path below the version.
func geminiModel(name string) string {
	for _, collection := range []string{"models/", "tunedModels/"} {
		if id, ok := strings.CutPrefix(name, collection); ok {
			return collection + escape(id)
		}
	}
	return "models/" + escape(name)
}

// escape makes a path segment of a name: everything but letters, digits, '-', '_', '.' and '~' is written as %XX, so that
// a name never leaves its segment.
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if letter || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '~' || c == '.' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// thinksByLevel says whether a model takes a level of thinking rather than a budget of tokens, and wants its thought signatures
// back: Gemini 3 and later.
func thinksByLevel(model string) bool {
	_, rest, ok := strings.Cut(model, "gemini-")
	return !ok || rest == "" || rest[0] != '1' && rest[0] != '2'
}

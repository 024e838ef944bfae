package provider

import (
	"errors"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
)

// anthropic is Anthropic's Messages API. Its shapes are those of anthropic 2.14.0 (PyPI): types/message_create_params.py, message.py,
// raw_message_stream_event.py, shared/error_type.py; headers and base URL of _client.py.
type anthropic struct{}

func newAnthropic(Options) Translator { return anthropic{} }

// Takes is part of Translator.
func (anthropic) Takes(f api.Family) bool { return f == api.Chat }

// BaseURL is part of Translator.
func (anthropic) BaseURL() string { return "https://api.anthropic.com" }

// Authorize is part of Translator. The SDK sends Authorization: Bearer since 2.0; the API's own pages, and services that imitate it,
// have this header.
func (anthropic) Authorize(_ *Call, _, key string, _ time.Time) ([]byte, error) {
	return keyHeader("x-api-key", key, "")
}

// keyHeader is a header line with a key.
func keyHeader(name, key, scheme string) ([]byte, error) {
	for i := range len(key) {
		if key[i] < ' ' || key[i] >= 0x7f {
			return nil, errors.New("the key has characters that no header can carry")
		}
	}
	return []byte(name + ": " + scheme + key + "\r\n"), nil
}

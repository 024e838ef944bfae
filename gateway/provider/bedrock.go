package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/warmlane/warmlane/gateway/api"
)

// bedrock is the Converse API of AWS Bedrock, which is one protocol for all models there. Its shapes are those of botocore 1.44.8
// (PyPI): data/bedrock-runtime/2023-09-30/service-2.json.gz, operations Converse and ConverseStream. Embeddings are not translated: they have no
// protocol of their own there, but one for each family of models, some with members that OpenAI's request lacks.
type bedrock struct {
	Options
	signer *v4.Signer // remembers the day's derived keys by access key id
}

func newBedrock(o Options) Translator { return &bedrock{o, v4.NewSigner()} }

// Takes is part of Translator.
func (*bedrock) Takes(f api.Family) bool { return f == api.Chat }

// BaseURL is part of Translator.
func (b *bedrock) BaseURL() string {
	if b.Region == "" {
		return ""
	}
	return "https://bedrock-runtime." + b.Region + ".amazonaws.com"
}

// Authorize is part of Translator. A key with colons is ACCESS_KEY_ID:SECRET_ACCESS_KEY or ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN
// and signs the call (Signature Version 4, service bedrock); one without is a Bedrock API key.
func (b *bedrock) Authorize(c *Call, host, key string, now time.Time) ([]byte, error) {
	id, secret, signs := strings.Cut(key, ":")
	if !signs {
		return keyHeader("Authorization", key, "Bearer ")
	}
	region := b.Region
	if region == "" {
		return nil, errors.New("a signature needs the provider's region")
	}
	secret, token, _ := strings.Cut(secret, ":")
	u, err := url.Parse("https://" + host + c.Path)
	if err != nil {
		return nil, err
	}
	u.RawQuery = c.Query
	r := &http.Request{Method: c.Method, URL: u, Host: host, Header: http.Header{"Content-Type": {"application/json"}}}
	sum := sha256.Sum256(c.Body)
	credentials := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}
	if err := b.signer.SignHTTP(context.Background(), credentials, r, hex.EncodeToString(sum[:]), "bedrock", region, now.UTC()); err != nil {
		return nil, err
	}
	var lines []byte
	for _, name := range []string{"X-Amz-Date", "X-Amz-Security-Token", "Authorization"} {
		if v := r.Header.Get(name); v != "" {
			line, err := keyHeader(name, v, "")
			if err != nil {
				return nil, err
			}
			lines = append(lines, line...)
		}
	}
	return lines, nil
}

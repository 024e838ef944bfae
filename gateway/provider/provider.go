package provider

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/warmlane/warmlane/gateway/api"
	"github.com/warmlane/warmlane/gateway/failure"
)

// Config describes one provider.
type Config struct {
	Name         string
	Kind         string // one of Names
	BaseURL      string // without a slash at its end
	Region       string
	APIVersion   string
	Organization string
	Project      string
	Keys         []Key
	Now          func() time.Time // default time.Now
	// OnRest is told when a key begins to rest, with the service's words; may be nil.
	OnRest func(key int, why KeyFate, rest time.Duration, cause string)
}

// Provider makes requests ready for one outside service and judges its answers. It is safe for concurrent use.
type Provider struct {
	Name string
	Keys *Ring

	kind       Kind
	version    string
	lines      string // header lines of every request
	host       string
	base       string // what the base URL has of each request's path
	now        func() time.Time
	onRest     func(key int, why KeyFate, rest time.Duration, cause string)
	translator Translator // nil: the service speaks OpenAI's protocol
	secrets    []string   // which nobody is told
}

// New prepares a provider; nothing is sent.
func New(cfg Config) (*Provider, error) {
	kind := KindOf(cfg.Kind)
	if kind == nil {
		return nil, fmt.Errorf("provider %q: there is no kind %q", cfg.Name, cfg.Kind)
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("provider %q: no base URL", cfg.Name)
	}
	p := &Provider{Name: cfg.Name, Keys: NewRing(cfg.Keys), kind: kind.at(cfg.BaseURL), version: cfg.APIVersion, now: cfg.Now, onRest: cfg.OnRest}
	p.host, p.base, p.secrets = u.Host, strings.TrimRight(u.EscapedPath(), "/"), secretsOf(cfg.Keys)
	if p.now == nil {
		p.now = time.Now
	}
	p.translator, _ = Translation(cfg.Kind, Options{Region: cfg.Region})
	p.lines = "Accept: */*\r\nUser-Agent: warmlane\r\n"
	if cfg.Organization != "" {
		p.lines += "OpenAI-Organization: " + cfg.Organization + "\r\n"
	}
	if cfg.Project != "" {
		p.lines += "OpenAI-Project: " + cfg.Project + "\r\n"
	}
	return p, nil
}

// Asked is a request as the caller made it.
type Asked struct {
	Endpoint    api.Endpoint
	View        *api.View
	Body        []byte
	ContentType []byte
	ID          string // of the request
	Model       string // its name at the provider
	WantsUsage  bool   // of a stream, although the caller did not ask
}

// Sending is a request as the service gets it, but for the credential. None of the caller's headers is in it.
type Sending struct {
	Method string
	Path   string
	Query  []byte
	Header []byte // ready lines, each ended by CRLF
	Body   [][]byte

	call *Call // nil: the service speaks OpenAI's protocol
}

// Translates says whether answers have to be translated, and by what.
func (s *Sending) Translates() (Reply, bool) {
	if s.call == nil {
		return nil, false
	}
	return s.call.Reply, true
}

// Takes says whether the service has an API of that family.
func (p *Provider) Takes(f api.Family) bool {
	if p.translator != nil {
		return p.translator.Takes(f)
	}
	switch f {
	case api.Chat, api.Completions, api.Responses, api.Embeddings, api.Rerank, api.Transcriptions, api.Translations, api.Speech:
		return true
	}
	return p.kind.Name == "openai" && !p.kind.Strict // somebody's engines, behind OpenAI's protocol
}

// Prepare makes a request ready. Its failure is the caller's own, or what the provider lacks.
func (p *Provider) Prepare(a *Asked) (*Sending, *failure.Error) {
	if a.Model == "." || a.Model == ".." { // would step out of a path
		return nil, failure.Bad("model", "The model %q does not exist.", a.Model)
	}
	if p.translator != nil {
		return p.translate(a)
	}
	s := &Sending{Method: a.Endpoint.Method, Path: strings.TrimPrefix(a.Endpoint.Path, "/v1")}
	s.Header = p.header(a)
	s.Body = a.View.Splice(a.Body, a.Model, a.WantsUsage && !p.kind.CountsUnasked)
	if !a.Endpoint.Multipart {
		s.Body = p.kind.reshape(s.Body)
	}
	if p.kind.Deployments {
		p.deployment(s, a)
	}
	return s, nil
}

// deployment gives a request the path that Azure wants.
func (p *Provider) deployment(s *Sending, a *Asked) {
	switch {
	case p.version == "v1":
		s.Path = "/openai/v1" + s.Path
		return
	case a.Endpoint.Family == api.Responses:
		s.Path = "/openai" + s.Path
	default:
		s.Path = "/openai/deployments/" + url.PathEscape(a.Model) + s.Path
	}
	s.Query = []byte("api-version=" + url.QueryEscape(p.version))
}

func (p *Provider) header(a *Asked) []byte {
	h := append(make([]byte, 0, 256), p.lines...)
	h = append(h, "Content-Type: "...)
	if a.Endpoint.Multipart {
		h = append(h, a.ContentType...)
	} else {
		h = append(h, "application/json"...)
	}
	h = append(h, "\r\nX-Request-Id: "...)
	return append(append(h, a.ID...), "\r\n"...)
}

func (p *Provider) translate(a *Asked) (*Sending, *failure.Error) {
	call, fail := p.translator.Request(&Query{
		Family: a.Endpoint.Family, Body: a.Body, Model: a.Model, Stream: a.View.Stream, ID: a.ID, Now: p.now(),
	})
	if fail != nil {
		return nil, fail
	}
	s := &Sending{Method: call.Method, Path: call.Path, Query: []byte(call.Query), Body: [][]byte{call.Body}, call: call}
	s.Header = append([]byte("User-Agent: warmlane\r\n"), call.Header...)
	return s, nil
}

// Authorize returns the header lines that prove a key for a request that is about to be sent.
func (p *Provider) Authorize(s *Sending, key *Held) ([]byte, error) {
	secret := key.Secret()
	switch {
	case s.call != nil:
		sent := *s.call
		sent.Path = p.base + sent.Path
		lines, err := p.translator.Authorize(&sent, p.host, secret, p.now())
		if err != nil {
			return nil, errors.New("the key cannot be used for this kind of provider") // err may quote it
		}
		return lines, nil
	case secret == "":
		return nil, nil
	case p.kind.KeyHeader != "":
		return []byte(p.kind.KeyHeader + ": " + secret + "\r\n"), nil
	default:
		return []byte("Authorization: Bearer " + secret + "\r\n"), nil
	}
}

// Judge is the failure that an answer of status >= 300 stands for. It settles the key, which was used at that time; no text of the
// failure holds it.
func (p *Provider) Judge(s *Sending, key *Held, sent time.Time, status int, header func(name string) []byte, body []byte) *failure.Error {
	var fail *failure.Error
	var fate KeyFate
	now := p.now()
	if s.call != nil {
		fail, fate = s.call.Failure(status, header, body)
		if fail.RetryAfter == 0 {
			fail.RetryAfter = failure.ParseRetryAfter(header("Retry-After"), now) // which may be a date, and translators have no clock
		}
	} else {
		fail, fate = p.kind.Judge(status, header, body, now)
	}
	p.Settle(key, sent, fail, fate)
	return fail
}

// JudgeInside is Judge for an error inside an answer of status 200, as long as nothing of it has been sent.
func (p *Provider) JudgeInside(key *Held, sent time.Time, se *api.StreamError) *failure.Error {
	status := se.Code
	if status < 400 || status > 599 {
		status = 500
	}
	now := p.now()
	fail, fate := p.kind.judge(status, saidError{message: clip(se.Message), kind: se.Type}, func(string) []byte { return nil }, now)
	p.Settle(key, sent, fail, fate)
	return fail
}

// Settle notes what became of a key that was used at that time. fail is nil for an answer.
func (p *Provider) Settle(key *Held, sent time.Time, fail *failure.Error, fate KeyFate) {
	if fail == nil {
		p.Keys.Settle(key, KeyFine, sent, p.now(), 0)
		return
	}
	p.redact(fail)
	if fate == KeyFine {
		return
	}
	fail.Kind = failure.KeysRefused
	if fail.Err == nil {
		fail.Err = errors.New(fail.Message)
	}
	if rest := p.Keys.Settle(key, fate, sent, p.now(), fail.RetryAfter); rest > 0 && p.onRest != nil {
		p.onRest(key.Number(), fate, rest, fail.Err.Error())
	}
}

// redact takes the provider's keys out of a failure, should the service have repeated one.
func (p *Provider) redact(fail *failure.Error) {
	for _, secret := range p.secrets {
		fail.Message = strings.ReplaceAll(fail.Message, secret, "***")
		fail.Code = strings.ReplaceAll(fail.Code, secret, "***")
		if bytes.Contains(fail.Body, []byte(secret)) {
			fail.Body = nil
		}
		if fail.Err != nil && strings.Contains(fail.Err.Error(), secret) {
			fail.Err = errors.New(strings.ReplaceAll(fail.Err.Error(), secret, "***"))
		}
	}
}

// Redact takes the provider's keys out of the end of a stream that the service has ended with an error.
func (p *Provider) Redact(text []byte) []byte {
	for _, secret := range p.secrets {
		text = bytes.ReplaceAll(text, []byte(secret), []byte("***"))
	}
	return text
}

// secretsOf are the keys and their parts, as far as these are no words like any other.
func secretsOf(keys []Key) (secrets []string) {
	for _, k := range keys {
		for _, part := range strings.Split(k.Secret, ":") { // AWS keys have parts
			if part != "" && (len(part) >= shortestSecret || part == k.Secret) {
				secrets = append(secrets, part)
			}
		}
	}
	return secrets
}

// shortestSecret is below which length a part of a key is a word like any other.
const shortestSecret = 8

// Resting is the failure of a provider none of whose keys is in use.
func (p *Provider) Resting(last *failure.Error) *failure.Error {
	rest, limited := p.Keys.Back(p.now())
	fail := failure.New(failure.KeysRefused, "The provider does not take requests at the moment. Please try again.").After(max(rest, time.Second))
	if limited {
		fail.Status, fail.Message = 429, "The provider's limit is reached. Please try again."
	}
	if last != nil {
		fail.Err = last.Err
	}
	return fail
}

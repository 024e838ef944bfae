package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/warmlane/warmlane/gateway/config"
)

// hook asks a service about texts, in the form of OpenAI's moderations.
type hook struct {
	config.Moderation
	client *fasthttp.HostClient
}

const (
	// mostAsked bounds the texts of one question, in bytes.
	mostAsked = 1 << 20
	// mostAnswered bounds the service's answer.
	mostAnswered = 4 << 20
)

func newHook(c config.Moderation) (*hook, error) {
	at, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	port := at.Port()
	switch {
	case port != "":
	case at.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	patience := c.Timeout.Std()
	return &hook{c, &fasthttp.HostClient{
		Addr: net.JoinHostPort(at.Hostname(), port), IsTLS: at.Scheme == "https", Name: "warmlane",
		Dial:                func(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, patience) },
		MaxResponseBodySize: mostAnswered, MaxIdleConnDuration: 10 * time.Second, MaxIdemponentCallAttempts: 1,
		ReadTimeout: patience, WriteTimeout: patience,
	}}, nil
}

// flagged says whether the service flags one of the texts.
func (h *hook) flagged(texts []string) (bool, error) {
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	if size > mostAsked {
		return false, errors.New("the texts are too long to be asked about")
	}
	question := struct {
		Input []string `json:"input"`
		Model string   `json:"model,omitempty"`
	}{texts, h.Model}
	body, err := json.Marshal(question)
	if err != nil {
		return false, err
	}
	in, out := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(in)
	defer fasthttp.ReleaseResponse(out)
	in.SetRequestURI(h.URL)
	in.Header.SetMethod("POST")
	in.Header.SetContentType("application/json")
	if !h.APIKey.Empty() {
		in.Header.Set("Authorization", "Bearer "+h.APIKey.Reveal())
	}
	in.SetBodyRaw(body)
	if err := h.client.DoTimeout(in, out, h.Timeout.Std()); err != nil {
		return false, fmt.Errorf("asking: %w", err)
	}
	if out.StatusCode() != fasthttp.StatusOK {
		return false, fmt.Errorf("answered with status %d", out.StatusCode())
	}
	return h.verdict(out.Body())
}

func (h *hook) verdict(body []byte) (bool, error) {
	var answer struct {
		Results []struct {
			Flagged    *bool           `json:"flagged"`
			Categories map[string]bool `json:"categories"`
		} `json:"results"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	if len(answer.Results) == 0 {
		return false, errors.New("the answer has no results")
	}
	for _, r := range answer.Results {
		if r.Flagged == nil && r.Categories == nil {
			return false, errors.New("a result without a verdict")
		}
		if len(h.Categories) == 0 && r.Flagged != nil && *r.Flagged {
			return true, nil
		}
		for _, c := range h.Categories {
			if r.Categories[c] {
				return true, nil
			}
		}
	}
	return false, nil
}

// asks says whether one of the rules has a service to be asked.
func asks(rules []*rule) bool {
	for _, r := range rules {
		if r.hook != nil {
			return true
		}
	}
	return false
}

// ask asks the services of all rules about texts, and returns the first rule that refuses.
func (s *Session) ask(rules []*rule, side string, texts []string) *rule {
	if len(texts) == 0 {
		return nil
	}
	for _, r := range rules {
		if r.hook == nil {
			continue
		}
		flagged, err := r.hook.flagged(texts)
		switch {
		case err != nil:
			s.noteAs(r, side, "failed", 1)
			if r.hook.OnFailure == "deny" {
				s.unasked = true
				return r
			}
		case flagged:
			s.note(r, side, 1)
			if r.Action == "deny" {
				return r
			}
		}
	}
	return nil
}

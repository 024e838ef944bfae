package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
)

// idleLimit is how long a connection is kept without use. uvicorn, which most engines stand on, closes one after 5 s.
const idleLimit = 4 * time.Second

// errorBodyLimit bounds what is read of an error's body.
const errorBodyLimit = 64 << 10

// client sends requests to one base URL over kept connections.
type client struct {
	kept    *http.Client
	fresh   *http.Client // a connection of its own for each request
	base    string       // ends in the version, without a slash
	key     string
	timeout time.Duration
}

func newClient(cfg *Config) (*client, error) {
	base, err := BaseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	transport := http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         cfg.dial,
		MaxIdleConnsPerHost: cfg.Concurrency,
		IdleConnTimeout:     idleLimit,
		DisableCompression:  true,
	}
	fresh := transport.Clone()
	fresh.DisableKeepAlives = true
	return &client{
		kept: &http.Client{Transport: &transport}, fresh: &http.Client{Transport: fresh},
		base: base, key: cfg.APIKey, timeout: cfg.Timeout,
	}, nil
}

func (c *client) close() { c.kept.CloseIdleConnections() }

// versioned is a base path that already names the API's version.
var versioned = regexp.MustCompile(`/v\d+$`)

// BaseURL completes the base URL of an OpenAI-compatible server: http:// where no scheme is given, /v1 where the path
// does not end in a version.
func BaseURL(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading the URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("the URL %q is not an http or https URL with a host", text)
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/chat/completions")
	if !versioned.MatchString(path) {
		path += "/v1"
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = path, "", "", ""
	return u.String(), nil
}

// firstModel asks the server which model it serves.
func (c *client) firstModel(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/models", nil)
	if err != nil {
		return "", err
	}
	resp, err := c.fresh.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking for the models: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return "", fmt.Errorf("reading the models: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking for the models: %w", statusFailure(resp.StatusCode, body))
	}
	model := gjson.GetBytes(body, "data.0.id").String()
	if model == "" {
		return "", errors.New("the server lists no model: name one")
	}
	return model, nil
}

// ask sends the history and reads the answer to its end.
func (c *client) ask(ctx context.Context, cfg *Config, h *history) *answer {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.timeout, func() { cancel(errSilent) })
	defer silence.Stop()

	body := h.body(cfg)
	a := &answer{start: time.Now()}
	resp, err := c.post(ctx, body)
	if err != nil {
		return a.fail(broken(ctx, err, KindNoAnswer))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit)) // what came is enough for a message
		return a.fail(statusFailure(resp.StatusCode, text))
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return a.fail(&Failure{Kind: KindBadAnswer, Message: fmt.Sprintf("the answer is %q, not an event stream", kind)})
	}
	if err := a.read(resp.Body, func() { silence.Reset(c.timeout) }); err != nil {
		return a.fail(broken(ctx, err, KindCut))
	}
	return a.complete()
}

// post sends a chat request. A kept connection that breaks before the first byte of an answer was most likely closed
// by the server while it was idle: the request is repeated once, on a fresh connection.
func (c *client) post(ctx context.Context, body []byte) (*http.Response, error) {
	var reused, answered atomic.Bool // the callbacks run on the transport's goroutines
	watched := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(info httptrace.GotConnInfo) { reused.Store(info.Reused) },
		GotFirstResponseByte: func() { answered.Store(true) },
	})
	req, err := c.request(watched, http.MethodPost, "/chat/completions", body)
	if err != nil {
		return nil, err
	}
	resp, err := c.kept.Do(req)
	if err == nil || !reused.Load() || answered.Load() || ctx.Err() != nil {
		return resp, err
	}
	req, err = c.request(ctx, http.MethodPost, "/chat/completions", body)
	if err != nil {
		return nil, err
	}
	return c.fresh.Do(req)
}

func (c *client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "warmlane-load")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

func statusFailure(status int, body []byte) *Failure {
	message := gjson.GetBytes(body, "error.message").String()
	if message == "" {
		message = strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	return &Failure{Kind: KindStatus(status), Message: message}
}

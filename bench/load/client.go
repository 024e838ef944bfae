package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// idleLimit is how long a connection is kept without use. uvicorn, which most engines stand on, closes one after 5 s.
const idleLimit = 4 * time.Second

// errorBodyLimit bounds what is read of an error's body.
const errorBodyLimit = 64 << 10

// client sends requests to one base URL over kept connections.
type client struct {
	http    *http.Client
	base    string // ends in the version, without a slash
	key     string
	timeout time.Duration
}

func newClient(cfg *Config) (*client, error) {
	base, err := BaseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConnsPerHost: cfg.Concurrency,
		IdleConnTimeout:     idleLimit,
		DisableCompression:  true,
	}
	return &client{http: &http.Client{Transport: transport}, base: base, key: cfg.APIKey, timeout: cfg.Timeout}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

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
	resp, err := c.http.Do(req)
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

	req, err := c.request(ctx, http.MethodPost, "/chat/completions", h.body(cfg))
	a := &answer{start: time.Now()}
	if err != nil {
		a.failure = &Failure{Kind: KindNoAnswer, Message: err.Error()}
		return a
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return a.fail(broken(ctx, err, KindNoAnswer))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit)) // what came is enough for a message
		return a.fail(statusFailure(resp.StatusCode, body))
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return a.fail(&Failure{Kind: KindBadAnswer, Message: fmt.Sprintf("the answer is %q, not an event stream", kind)})
	}
	if err := a.read(resp.Body, func() { silence.Reset(c.timeout) }); err != nil {
		return a.fail(broken(ctx, err, KindCut))
	}
	return a.complete()
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
	// An empty key is not sent; it allows net/http to repeat the request on a fresh connection when a kept one turns
	// out to be closed before the first byte of an answer.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}

func statusFailure(status int, body []byte) *Failure {
	message := gjson.GetBytes(body, "error.message").String()
	if message == "" {
		message = strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	return &Failure{Kind: KindStatus(status), Message: message}
}

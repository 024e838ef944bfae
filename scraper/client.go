package scraper

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// mostBody bounds an answer: the largest pages seen are below a tenth of it.
const mostBody = 8 << 20

// idleConnection is how long a connection is kept unused. vLLM and llama.cpp close theirs after 5 s.
const idleConnection = 4 * time.Second

var errTooLong = fmt.Errorf("the answer is longer than %d bytes", mostBody)

// newClient makes the HTTP client of a Poller. net/http serves here, not the gateway's client: a reading must end at once with its context.
func newClient(trust *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{KeepAlive: -1}).DialContext,
			TLSClientConfig:     trust,
			DisableCompression:  true, // the engine's processor is dearer than the network
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     idleConnection,
			ReadBufferSize:      16 << 10,
		},
		// A redirect could carry the credential elsewhere; it counts as an answer without metrics.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// source is one URL that is asked again and again. Its buffer holds the last answer.
type source struct {
	client  *http.Client
	header  Header
	timeout time.Duration
	body    bytes.Buffer
}

// statusError is an answer that came, but with another status than 200.
type statusError int

func (s statusError) Error() string { return "the engine answers " + strconv.Itoa(int(s)) }

// transportError is a request that got no whole answer.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// get asks a URL. The body is valid until the next get. The error is a *transportError where no engine answered.
func (s *source) get(ctx context.Context, from, accept string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "warmlane")
	if s.header.Name != "" {
		request.Header.Set(s.header.Name, s.header.Value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, &transportError{withoutURL(err)}
	}
	defer func() { _ = response.Body.Close() }()
	s.body.Reset()
	n, err := s.body.ReadFrom(io.LimitReader(response.Body, mostBody+1))
	switch {
	case err != nil:
		return nil, &transportError{fmt.Errorf("reading the answer: %w", err)}
	case n > mostBody:
		s.body = bytes.Buffer{}
		return nil, errTooLong
	case response.StatusCode != http.StatusOK:
		return nil, statusError(response.StatusCode)
	}
	return s.body.Bytes(), nil
}

// withoutURL takes the URL out of a client error: it stands beside the error in the log already, and may hold a password.
func withoutURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// metricsURL is where an endpoint's metrics page lies.
func metricsURL(base *url.URL, port int, path string) string {
	if port == 0 {
		return base.JoinPath(path).String()
	}
	own := url.URL{Scheme: base.Scheme, User: base.User, Host: net.JoinHostPort(base.Hostname(), strconv.Itoa(port))}
	return own.JoinPath(path).String()
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stream is one streamed answer as its client sees it.
type stream struct {
	number int
	tokens int           // of its answer
	begun  chan struct{} // closed with the event that shows that it is under way
	over   chan struct{} // closed at its end

	mu    sync.Mutex // guards now
	now   streamState
	fail  string // why it ended, readable once over is closed
	tries int    // engines that were asked, by the gateway's header; readable once over is closed
}

// streamState is how far a stream has come.
type streamState struct {
	events   int
	last     time.Time // arrival of the last event, or the end
	explicit bool      // an error event came, or an answer with an error status
	whole    bool      // the answer is complete
	over     bool
}

func newStream(number int) *stream {
	return &stream{number: number, tokens: 6000, begun: make(chan struct{}), over: make(chan struct{})}
}

// state is how far the stream has come by now.
func (s *stream) state() streamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// ending is why the stream ended.
func (s *stream) ending() string {
	select {
	case <-s.over:
		return s.fail
	default:
		return "it goes on"
	}
}

// read asks for a long answer and takes it to its end.
func (s *stream) read(ctx context.Context, url string) {
	err := s.exchange(ctx, url)
	s.mu.Lock()
	s.now.over, s.now.last = true, time.Now()
	s.mu.Unlock()
	if s.fail == "" {
		s.fail = fmt.Sprint(err)
	}
	close(s.over)
}

// exchange makes the request and reads the events.
func (s *stream) exchange(ctx context.Context, url string) error {
	response, err := post(ctx, url, map[string]any{
		"model": "tiny", "stream": true, "max_tokens": s.tokens, "ignore_eos": true,
		"messages": []map[string]string{{"role": "user", "content": distinct("stream", s.number)}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	s.tries, _ = strconv.Atoi(response.Header.Get("X-Warmlane-Tries"))
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		s.mu.Lock()
		s.now.explicit = true
		s.mu.Unlock()
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); is {
			s.event(data)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the stream ended cleanly")
}

// event takes one event's data. What follows an error changes nothing: the stream is not whole any more.
func (s *stream) event(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.events++
	s.now.last = time.Now()
	if s.now.events == begun {
		close(s.begun)
	}
	var told struct {
		Error   *struct{ Message string } `json:"error"`
		Choices []struct {
			FinishReason *string `json:"finish_reason"`
		} `json:"choices"`
	}
	if json.Unmarshal(data, &told) != nil {
		return // [DONE]
	}
	switch {
	case told.Error != nil:
		s.now.explicit, s.now.whole = true, false
		s.fail = told.Error.Message
	case len(told.Choices) > 0 && told.Choices[0].FinishReason != nil && !s.now.explicit:
		s.now.whole = true
	}
}

// ask makes one small request, which must be answered whole.
func ask(ctx context.Context, url string, number int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	response, err := post(ctx, url, map[string]any{
		"model": "tiny", "max_tokens": 4,
		"messages": []map[string]string{{"role": "user", "content": distinct("later", number)}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", response.Status, body)
	case !json.Valid(body) || !bytes.Contains(body, []byte(`"finish_reason"`)):
		return fmt.Errorf("no whole answer: %.200s", body)
	}
	return nil
}

// post sends a chat request.
func post(ctx context.Context, url string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return http.DefaultClient.Do(request)
}

// distinct is a prompt that shares no block with those of other numbers.
func distinct(kind string, number int) string {
	return strings.Repeat(fmt.Sprintf("%s %d tells of the river and its bridges. ", kind, number), 12)
}

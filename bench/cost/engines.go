package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const events = 51

// seed ends every body: nanoseconds, written anew for each request.
const seed = "1000000000000000000}"

// engines are null upstreams: they read a request and answer at once with a canned text.
type engines struct {
	listeners []net.Listener
	gap       atomic.Int64 // ns between the events of a stream
}

func startEngines(n int) (*engines, error) {
	e := &engines{}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		e.listeners = append(e.listeners, l)
		go e.accept(l)
	}
	return e, nil
}

func (e *engines) urls() string {
	urls := make([]string, 0, len(e.listeners))
	for _, l := range e.listeners {
		urls = append(urls, "http://"+l.Addr().String())
	}
	return strings.Join(urls, ",")
}

func (e *engines) address() string { return e.listeners[0].Addr().String() }

func (e *engines) close() {
	for _, l := range e.listeners {
		_ = l.Close()
	}
}

func (e *engines) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go e.serve(c)
	}
}

func (e *engines) serve(c net.Conn) {
	defer c.Close() //nolint:errcheck // a null upstream
	br := bufio.NewReaderSize(c, 64<<10)
	plain, head, all := answers()
	for {
		get, streams, err := readRequest(br)
		switch {
		case err != nil:
			return
		case get: // health and metrics
			_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		case !streams:
			_, err = c.Write(plain)
		case e.gap.Load() == 0:
			_, err = c.Write(bytes.Join(append([][]byte{head}, all...), nil))
		default:
			err = e.paced(c, head, all)
		}
		if err != nil {
			return
		}
	}
}

func (e *engines) paced(c net.Conn, head []byte, all [][]byte) error {
	next := time.Now()
	if _, err := c.Write(append(append([]byte{}, head...), all[0]...)); err != nil {
		return err
	}
	for _, event := range all[1:] {
		next = next.Add(time.Duration(e.gap.Load()))
		time.Sleep(time.Until(next))
		if _, err := c.Write(event); err != nil {
			return err
		}
	}
	return nil
}

// readRequest reads one request away and tells whether it is a GET and whether it asks for a stream.
func readRequest(br *bufio.Reader) (get, streams bool, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return get, streams, err
		}
		if first {
			get = bytes.HasPrefix(line, []byte("GET "))
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return get, streams, err
			}
		}
		if len(line) <= 2 {
			break
		}
	}
	if length > 0 {
		start, err := br.Peek(min(length, 256))
		if err != nil {
			return get, streams, err
		}
		streams = bytes.Contains(start, []byte(`"stream":true`))
	}
	_, err = br.Discard(length)
	return get, streams, err
}

// answers are a plain answer, the head of a stream and its pieces, one chunk an event, the last with the end of the framing.
func answers() (plain, head []byte, all [][]byte) {
	const id = `"id":"chatcmpl-0123456789abcdef","created":1795534229,"model":"null"`
	body := `{` + id + `,"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("word ", 10) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"total_tokens":60,"completion_tokens":10}}`
	plain = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	head = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range events {
		finish := "null"
		if i == events-1 {
			finish = `"stop"`
		}
		all = append(all, chunk(`data: {`+id+`,"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":`+finish+`,"token_ids":null}]}`+"\n\n"))
	}
	all[events-1] = append(all[events-1], chunk("data: [DONE]\n\n")...)
	all[events-1] = append(all[events-1], "0\r\n\r\n"...)
	return plain, head, all
}

func chunk(text string) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(text), text) }

// requestBody asks with about prompt bytes of prose: a line break a paragraph.
func requestBody(prompt int, stream bool) []byte {
	paragraph := strings.Repeat("lorem ipsum dolor sit amet consectetur ", 12) + `\n`
	text := strings.Repeat(paragraph, prompt/len(paragraph)+1)
	if prompt < len(paragraph) {
		text = paragraph[:prompt]
	}
	return fmt.Appendf(nil, `{"model":"null","stream":%v,"messages":[{"role":"user","content":"%s"}],"max_tokens":100,"seed":`+seed, stream, text)
}

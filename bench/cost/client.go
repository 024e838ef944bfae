package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// result is what one run of requests saw.
type result struct {
	requests, errors int
	took             time.Duration
	latencies        []time.Duration // sorted
	first            error
}

func (r *result) quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(len(r.latencies)-1, int(q*float64(len(r.latencies))))]
}

// drive sends body for length: at rate a second whatever the answers (latency counts from when a request was due), or, when rate is 0,
// one after the other on each connection.
func drive(address string, body []byte, rate float64, conns int, length time.Duration) *result {
	request := fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+
		"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	var next atomic.Int64
	var mu sync.Mutex
	all := &result{}
	start := time.Now()
	total := int64(rate * length.Seconds())
	var workers sync.WaitGroup
	for range conns {
		workers.Go(func() {
			w := &worker{address: address, request: bytes.Clone(request)}
			defer w.close()
			var seen []time.Duration
			var failed int
			var first error
			for {
				due := time.Now()
				if rate > 0 {
					i := next.Add(1) - 1
					if i >= total {
						break
					}
					due = start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				} else if time.Since(start) > length {
					break
				}
				if err := w.once(); err != nil {
					failed++
					first = errors.Join(first, err)
				}
				seen = append(seen, time.Since(due))
			}
			mu.Lock()
			defer mu.Unlock()
			all.latencies = append(all.latencies, seen...)
			all.requests += len(seen)
			all.errors += failed
			if all.first == nil {
				all.first = first
			}
		})
	}
	workers.Wait()
	all.took = time.Since(start)
	slices.Sort(all.latencies)
	return all
}

type worker struct {
	address string
	request []byte // it ends with the seed
	conn    net.Conn
	br      *bufio.Reader
}

func (w *worker) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// once makes one request; a connection that broke is replaced for the next one.
func (w *worker) once() error {
	if w.conn == nil {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			return err
		}
		w.conn, w.br = c, bufio.NewReaderSize(c, 16<<10)
	}
	_ = strconv.AppendInt(w.request[:len(w.request)-len(seed)], time.Now().UnixNano(), 10) // no two requests are equal
	_ = w.conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err := w.conn.Write(w.request)
	if err == nil {
		err = w.answer()
	}
	if err != nil {
		w.close()
	}
	return err
}

func (w *worker) answer() error {
	length, chunked := 0, false
	for first := true; ; first = false {
		line, err := w.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.Contains(line, []byte(" 200 ")) {
			return fmt.Errorf("answer %q", bytes.TrimSpace(line))
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch strings.ToLower(name) {
		case "content-length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case "transfer-encoding":
			chunked = true
		}
	}
	if !chunked {
		_, err := w.br.Discard(length)
		return err
	}
	for {
		line, err := w.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := w.br.Discard(int(n) + 2); err != nil {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		if n == 0 {
			return nil
		}
	}
}

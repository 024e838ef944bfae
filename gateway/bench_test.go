package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

// The benchmarks send one request after the other over one connection through a gateway whose engines answer at once. Client and
// engine run in the same process, so the time includes them; BenchmarkNull is that part alone. bench/cost measures the process.

func BenchmarkNull(b *testing.B)       { drive(b, nullEngine(b).Addr().String(), 200, false) }
func BenchmarkPlain(b *testing.B)      { drive(b, benchGateway(b, ""), 200, false) }
func BenchmarkGoverned(b *testing.B)   { drive(b, benchGateway(b, governed), 200, false) }
func BenchmarkStream51(b *testing.B)   { drive(b, benchGateway(b, ""), 200, true) }
func BenchmarkPrompt32K(b *testing.B)  { drive(b, benchGateway(b, ""), 32<<10, false) }
func BenchmarkPrompt512K(b *testing.B) { drive(b, benchGateway(b, ""), 512<<10, false) }

// governed is all that can govern a request, and refuses none.
const governed = `
consumers: [{name: bench, keys: [sk-bench]}]
limits:
  - {name: rates, by: consumer, requests: [1000000/s, 10000000/min, 100000000/h]}
  - {name: tokens, by: [consumer, app], tokens: 1000000000/min}
  - {name: places, by: model, concurrency: 100000}
guard: [{name: personal, detect: [phone, email, id_card, bank_card], action: mask}]
cache: [{name: all, ttl: 1m}]
`

func benchGateway(b *testing.B, rules string) string {
	b.Helper()
	var urls []string
	for range 3 {
		urls = append(urls, "http://"+nullEngine(b).Addr().String())
	}
	cfg, err := config.Parse("bench.yaml", fmt.Appendf(nil, "server: {lame_duck: 0s, admin: \"127.0.0.1:0\"}\npools: [{name: m, endpoints: [%s]}]\n%s", quoted(urls), rules))
	if err != nil {
		b.Fatal(err)
	}
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(cfg, gateway.Options{Listener: app, Log: slog.DiscardHandler})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return app.Addr().String()
}

// nullEngine answers every request at once, a streamed one with 51 events in one packet.
func nullEngine(b *testing.B) net.Listener {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	plain := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	stream := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 50 {
		stream = fmt.Appendf(stream, "%x\r\n%s\r\n", len(delta), delta)
	}
	stream = fmt.Appendf(stream, "%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", len(finish), finish, len(done), done)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveNull(c, plain, stream)
		}
	}()
	return l
}

func serveNull(c net.Conn, plain, stream []byte) {
	defer c.Close()
	br := bufio.NewReaderSize(c, 64<<10)
	for {
		length := 0
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				return
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
			}
			if len(line) == 2 {
				break
			}
		}
		start, _ := br.Peek(min(length, 200))
		out := plain
		if bytes.Contains(start, []byte(`"stream":true`)) {
			out = stream
		}
		if _, err := br.Discard(length); err != nil {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func drive(b *testing.B, address string, prompt int, stream bool) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const seed = "1000000000000000000}" // written anew for each request, so that no two are equal
	body := fmt.Sprintf(`{"model":"m","stream":%v,"messages":[{"role":"user","content":"%s"}],"seed":%s`, stream, strings.Repeat("lorem ipsum dolor sit amet ", prompt/27), seed)
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chat, len(body), body)
	br := bufio.NewReaderSize(c, 16<<10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for n := int64(1e18); b.Loop(); n++ {
		_ = strconv.AppendInt(request[:len(request)-len(seed)], n, 10)
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		a, err := http.ReadResponse(br, nil)
		if err != nil || a.StatusCode != 200 {
			b.Fatal(a, err)
		}
		if _, err := io.Copy(io.Discard, a.Body); err != nil {
			b.Fatal(err)
		}
		_ = a.Body.Close()
	}
}

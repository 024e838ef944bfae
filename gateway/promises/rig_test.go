package promises_test

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
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/warmlane/warmlane/gateway"
	"github.com/warmlane/warmlane/gateway/config"
)

const (
	chat       = "/v1/chat/completions"
	plainChat  = `{"model":"m","messages":[{"role":"user","content":"hello"}]}`
	streamChat = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello"}]}`

	answer     = `{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}}`
	delta      = `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}` + "\n\n"
	finish     = `data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"stop"}]}` + "\n\n"
	done       = "data: [DONE]\n\n"
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	lastChunk  = "0\r\n\r\n"
)

// wholePlain and wholeStream are complete answers as they go over the wire.
func wholePlain() string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
}

func wholeStream() string { return streamHead + chunk(delta) + chunk(finish) + chunk(done) + lastChunk }

func chunk(content string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(content), content) }

// pool is the configuration of most tests: nothing but requests reaches the engines.
const pool = `
server: {lame_duck: 0s, drain: 2s}
observe: {explain: true, log: {level: error}}
pools: [{name: m, engine: generic, endpoints: ENGINES, policy: round_robin, health: {interval: 1h}}]
`

// gate is a running gateway on real sockets.
type gate struct {
	gateway        *gateway.Gateway
	address, admin string
	cancel         context.CancelFunc
	ended          chan struct{}
	err            error // of Run, once ended is closed
}

// open starts a gateway; ENGINES in the configuration stands for the list of the engines' URLs. It is stopped when the test ends.
func open(t *testing.T, yaml string, engines ...string) *gate {
	t.Helper()
	var quoted []string
	for _, e := range engines {
		quoted = append(quoted, strconv.Quote(e))
	}
	cfg, err := config.Parse("promises.yaml", []byte(strings.ReplaceAll(yaml, "ENGINES", "["+strings.Join(quoted, ", ")+"]")))
	if err != nil {
		t.Fatal(err)
	}
	return openFrom(t, cfg, nil)
}

// openFrom is open with a configuration that was read from source, which may be nil.
func openFrom(t *testing.T, cfg *config.Config, source *config.Source) *gate {
	t.Helper()
	app, admin := listen(t), listen(t)
	g, err := gateway.New(cfg, gateway.Options{Listener: app, AdminListener: admin, Log: slog.DiscardHandler, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &gate{gateway: g, address: app.Addr().String(), admin: admin.Addr().String(), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = g.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
		if r.err != nil {
			t.Errorf("the gateway ended with %v", r.err)
		}
	})
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// deadPort is the URL of a port that is taken but refuses: bound, never listened on.
func deadPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port)
}

// call is a request that has reached a scripted engine.
type call struct {
	conn   *net.TCPConn
	br     *bufio.Reader
	id     string // X-Request-Id
	stream bool
}

// write sends text and says whether the connection still took it.
func (c *call) write(text string) bool {
	_, err := io.WriteString(c.conn, text)
	return err == nil
}

// serve answers the request whole.
func (c *call) serve() bool {
	if c.stream {
		return c.write(wholeStream())
	}
	return c.write(wholePlain())
}

// gone waits until the peer has closed the connection, and returns when that was.
func (c *call) gone() time.Time {
	_, _ = io.Copy(io.Discard, c.br)
	return time.Now()
}

// reset closes the connection with an RST.
func (c *call) reset() {
	_ = c.conn.SetLinger(0)
	_ = c.conn.Close()
}

// scripted is an engine on a raw socket that does what the script says with each request; the script returns whether the connection
// is kept. Health pages and the gateway's own generation probes are answered without it.
type scripted struct {
	url    string
	script func(*call) bool
	idle   func() time.Duration // how long a connection may be idle between two requests; nil: for ever

	listener net.Listener
	all      sync.WaitGroup
	mu       sync.Mutex // guards the rest
	conns    map[*net.TCPConn]struct{}
	closed   bool
	accepted int
}

func startEngine(t *testing.T, script func(*call) bool) *scripted {
	t.Helper()
	return startIdling(t, nil, script)
}

// startIdling is an engine that closes idle connections.
func startIdling(t *testing.T, idle func() time.Duration, script func(*call) bool) *scripted {
	t.Helper()
	e := &scripted{script: script, idle: idle, listener: listen(t), conns: map[*net.TCPConn]struct{}{}}
	e.url = "http://" + e.listener.Addr().String()
	e.all.Go(e.accept)
	t.Cleanup(e.close)
	return e
}

func (e *scripted) accept() {
	for {
		c, err := e.listener.Accept()
		if err != nil {
			return
		}
		tcp := c.(*net.TCPConn)
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			_ = tcp.Close()
			return
		}
		e.accepted++
		e.conns[tcp] = struct{}{}
		e.mu.Unlock()
		e.all.Go(func() {
			e.run(tcp)
			_ = tcp.Close()
			e.mu.Lock()
			delete(e.conns, tcp)
			e.mu.Unlock()
		})
	}
}

func (e *scripted) run(conn *net.TCPConn) {
	br := bufio.NewReader(conn)
	for served := 0; ; served++ {
		if e.idle != nil && served > 0 {
			_ = conn.SetReadDeadline(time.Now().Add(e.idle()))
			if _, err := br.Peek(1); err != nil {
				return
			}
			_ = conn.SetReadDeadline(time.Time{})
		}
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return
		}
		c := &call{conn: conn, br: br, id: req.Header.Get("X-Request-Id"), stream: bytes.Contains(body, []byte(`"stream":true`))}
		keep := false
		switch {
		case req.Method == http.MethodGet:
			keep = c.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		case strings.HasPrefix(c.id, "warmlane-probe-"):
			keep = c.serve()
		default:
			keep = e.script(c)
		}
		if !keep {
			return
		}
	}
}

func (e *scripted) connections() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accepted
}

func (e *scripted) close() {
	_ = e.listener.Close()
	e.mu.Lock()
	e.closed = true
	for c := range e.conns {
		_ = c.Close()
	}
	e.mu.Unlock()
	e.all.Wait()
}

// client is one keep-alive connection to the gateway. An error on it is final: dial again.
type client struct {
	conn *net.TCPConn
	br   *bufio.Reader
}

// patience is the deadline of everything that a client waits for.
const patience = 20 * time.Second

func dial(address string) (*client, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return wrap(c), nil
}

func wrap(c net.Conn) *client {
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{conn: c.(*net.TCPConn), br: bufio.NewReader(c)}
}

func mustDial(t *testing.T, address string) *client {
	t.Helper()
	c, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// send writes a request; header holds whole lines without their ends.
func (c *client) send(path, body string, header ...string) error {
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	b := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", path, len(body))
	for _, h := range header {
		b = append(append(b, h...), "\r\n"...)
	}
	_, err := c.conn.Write(append(append(b, "\r\n"...), body...))
	return err
}

// reply is an answer of the gateway, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	close  bool  // the gateway said that it closes the connection
	cut    error // how the body ended, nil for a clean end
}

// receive reads one answer; err is set when there was none.
func (c *client) receive() (reply, error) {
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(text), close: resp.Close, cut: err}, nil
}

func (c *client) do(path, body string, header ...string) (reply, error) {
	if err := c.send(path, body, header...); err != nil {
		return reply{}, err
	}
	return c.receive()
}

// once is do on a connection of its own.
func once(address, path, body string, header ...string) (reply, error) {
	c, err := dial(address)
	if err != nil {
		return reply{}, err
	}
	defer c.conn.Close()
	return c.do(path, body, header...)
}

// served says whether an answer is whole, as the scripted engines give it.
func (r reply) served(stream bool) bool {
	if stream {
		return r.status == 200 && r.cut == nil && r.body == delta+finish+done
	}
	return r.status == 200 && r.cut == nil && r.body == answer
}

// errorEvent says whether a stream ended with an error event in the form of the chat family, without choices.
func (r reply) errorEvent() bool {
	last := lastEvent(r.body)
	return strings.HasPrefix(last, `data: {"error":{"message":`) && !strings.Contains(last, `"choices"`)
}

// crowd runs n jobs on some workers, each with its own connection to the gateway, which is redialled when it ends.
func crowd(n, workers int, address string, job func(i int, c *worker)) {
	jobs := make(chan int)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			w := &worker{address: address}
			defer w.drop()
			for i := range jobs {
				job(i, w)
			}
		})
	}
	for i := range n {
		jobs <- i
	}
	close(jobs)
	all.Wait()
}

// worker is a client that keeps its connection as long as it lasts.
type worker struct {
	address string
	c       *client
}

func (w *worker) drop() {
	if w.c != nil {
		_ = w.c.conn.Close()
		w.c = nil
	}
}

func (w *worker) do(path, body string, header ...string) (reply, error) {
	if w.c == nil {
		c, err := dial(w.address)
		if err != nil {
			return reply{}, err
		}
		w.c = c
	}
	r, err := w.c.do(path, body, header...)
	if err != nil || r.cut != nil || r.close {
		w.drop()
	}
	return r, err
}

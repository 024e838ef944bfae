package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// second is what an attacker hides behind a request: it must never be answered.
const second = "POST " + chat + " HTTP/1.1\r\nHost: x\r\nX-Request-Id: second\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n" + plainChat

// line is a good request line with a Host, head is that with all a chat needs but its length.
const (
	line  = "POST " + chat + " HTTP/1.1\r\nHost: x\r\n"
	head  = line + "Content-Type: application/json\r\n"
	size  = "Content-Length: 60\r\n"
	whole = "3c\r\n" + plainChat + "\r\n0\r\n\r\n" // plainChat in chunks
)

// hostile are requests that two readers could understand differently, or that ask for more than a path of the API.
var hostile = map[string]struct {
	wire   string
	status int
}{
	"length, then chunks":             {head + size + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	"chunks, then length":             {head + "Transfer-Encoding: chunked\r\n" + size + "\r\n" + whole, 400},
	"chunks and length 0":             {head + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400},
	"length beside identity":          {head + "Transfer-Encoding: identity\r\n" + size + "\r\n" + plainChat, 400},
	"identity alone":                  {head + "Transfer-Encoding: identity\r\n\r\n", 400},
	"two lengths":                     {head + size + "Content-Length: 0\r\n\r\n" + plainChat, 400},
	"the same length twice":           {head + size + size + "\r\n" + plainChat, 400},
	"a list of lengths":               {head + "Content-Length: 60, 60\r\n\r\n" + plainChat, 400},
	"length with a plus":              {head + "Content-Length: +60\r\n\r\n" + plainChat, 400},
	"negative length":                 {head + "Content-Length: -1\r\n\r\n", 400},
	"hexadecimal length":              {head + "Content-Length: 0x3c\r\n\r\n" + plainChat, 400},
	"length with an underscore":       {head + "Content-Length: 6_0\r\n\r\n" + plainChat, 400},
	"length with a fraction":          {head + "Content-Length: 60.0\r\n\r\n" + plainChat, 400},
	"empty length":                    {head + "Content-Length:\r\n\r\n", 400},
	"length beyond 64 bits":           {head + "Content-Length: 99999999999999999999999\r\n\r\n", 400},
	"length in other digits":          {head + "Content-Length: \u0666\u0660\r\n\r\n" + plainChat, 400},
	"length with a form feed":         {head + "Content-Length: \f61\r\n\r\n" + plainChat, 400},
	"coding: xchunked":                {head + "Transfer-Encoding: xchunked\r\n\r\n" + whole, 400},
	"coding: a list":                  {head + "Transfer-Encoding: gzip, chunked\r\n\r\n" + whole, 400},
	"coding: chunked, identity":       {head + "Transfer-Encoding: chunked, identity\r\n\r\n" + whole, 400},
	"coding: twice":                   {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + whole, 400},
	"coding: chunked, then identity":  {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + whole, 400},
	"coding: identity, then chunked":  {head + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + whole, 400},
	"coding: in quotes":               {head + "Transfer-Encoding: \"chunked\"\r\n\r\n" + whole, 400},
	"coding: with a parameter":        {head + "Transfer-Encoding: chunked;q=1\r\n\r\n" + whole, 400},
	"coding: after a vertical tab":    {head + "Transfer-Encoding: \vchunked\r\n\r\n" + whole, 400},
	"coding: before a NUL":            {head + "Transfer-Encoding: chunked\x00\r\n\r\n" + whole, 400},
	"coding: empty":                   {head + "Transfer-Encoding:\r\n" + size + "\r\n" + plainChat, 400},
	"coding: name with a blank":       {head + "Transfer Encoding: chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: blank before the colon":  {head + "Transfer-Encoding : chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: tab before the colon":    {head + "Transfer-Encoding\t: chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: folded":                  {head + "Transfer-Encoding:\r\n chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: blank before the name":   {head + " Transfer-Encoding: chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: behind a bare CR":        {head + "X: y\rTransfer-Encoding: chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: behind a bare LF":        {head + "X: y\nTransfer-Encoding: chunked\r\n" + size + "\r\n" + plainChat, 400},
	"coding: in HTTP/1.0":             {strings.Replace(head, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n" + whole, 400},
	"length: blank before the colon":  {head + "Content-Length : 60\r\n\r\n" + plainChat, 400},
	"length: name with a blank":       {head + "Content Length: 60\r\n\r\n" + plainChat, 400},
	"length: behind a bare CR":        {head + "X: y\rContent-Length: 60\r\n\r\n" + plainChat, 400},
	"length: behind a bare LF":        {head + "X: y\nContent-Length: 60\r\n\r\n" + plainChat, 400},
	"length: folded":                  {head + "Content-Length:\r\n 60\r\n\r\n" + plainChat, 400},
	"folded line":                     {head + "X: a\r\n b\r\n" + size + "\r\n" + plainChat, 400},
	"folded with a tab":               {head + "X: a\r\n\tb\r\n" + size + "\r\n" + plainChat, 400},
	"folded first line":               {"POST " + chat + " HTTP/1.1\r\n Host: x\r\n" + size + "\r\n" + plainChat, 400},
	"head ends with a bare LF":        {head + size + "\n" + second, 400},
	"head ends with LF LF":            {head + "Content-Length: 60\n\n" + plainChat, 400},
	"bare LF everywhere":              {strings.ReplaceAll(head+size+"\r\n", "\r\n", "\n") + plainChat, 400},
	"bare CR everywhere":              {strings.ReplaceAll(head+size+"\r\n", "\r\n", "\r") + plainChat + "\r\n\r\n", 400},
	"bare CR in a value":              {head + "X: a\rb\r\n" + size + "\r\n" + plainChat, 400},
	"bare CR ends the head":           {head + size + "\r" + plainChat, 400},
	"NUL in a name":                   {head + "X\x00Y: a\r\n" + size + "\r\n" + plainChat, 400},
	"NUL in a value":                  {head + "X: a\x00b\r\n" + size + "\r\n" + plainChat, 400},
	"DEL in a value":                  {head + "X: a\x7fb\r\n" + size + "\r\n" + plainChat, 400},
	"line without a colon":            {head + "X\r\n" + size + "\r\n" + plainChat, 400},
	"empty name":                      {head + ": x\r\n" + size + "\r\n" + plainChat, 400},
	"name with a blank":               {head + "X Y: a\r\n" + size + "\r\n" + plainChat, 400},
	"name with a bracket":             {head + "X[0]: a\r\n" + size + "\r\n" + plainChat, 400},
	"name not ASCII":                  {head + "X\u00e9: a\r\n" + size + "\r\n" + plainChat, 400},
	"two hosts":                       {head + "Host: y\r\n" + size + "\r\n" + plainChat, 400},
	"no host":                         {strings.Replace(head, "Host: x\r\n", "", 1) + size + "\r\n" + plainChat, 400},
	"empty host":                      {strings.Replace(head, "Host: x", "Host:", 1) + size + "\r\n" + plainChat, 400},
	"chunk size 0x":                   {head + "Transfer-Encoding: chunked\r\n\r\n0x3c\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size negative":             {head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size with a plus":          {head + "Transfer-Encoding: chunked\r\n\r\n+3c\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size beyond 64 bits":       {head + "Transfer-Encoding: chunked\r\n\r\n1000000000000003c\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size after a blank":        {head + "Transfer-Encoding: chunked\r\n\r\n 3c\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size empty":                {head + "Transfer-Encoding: chunked\r\n\r\n\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size in words":             {head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size ends with a bare LF":  {head + "Transfer-Encoding: chunked\r\n\r\n3c\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk size ends with a bare CR":  {head + "Transfer-Encoding: chunked\r\n\r\n3c\rX" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk too short":                 {head + "Transfer-Encoding: chunked\r\n\r\n3b\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk too long":                  {head + "Transfer-Encoding: chunked\r\n\r\n3d\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"chunk ends with a bare LF":       {head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\n0\r\n\r\n", 400},
	"extension with a bare LF":        {head + "Transfer-Encoding: chunked\r\n\r\n3c;a\nb\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"extension with a bare CR":        {head + "Transfer-Encoding: chunked\r\n\r\n3c;a\rb\r\n" + plainChat + "\r\n0\r\n\r\n", 400},
	"last chunk ends with a bare LF":  {head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\r\n0\n\n", 400},
	"trailer that is a length":        {head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\r\n0\r\nContent-Length: 5\r\n\r\n", 400},
	"trailer that is a host":          {head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\r\n0\r\nHost: y\r\n\r\n", 400},
	"trailer with a bare CR":          {head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\r\n0\r\nX: a\rb\r\n\r\n", 400},
	"announced trailer: a credential": {head + "Trailer: Authorization\r\nTransfer-Encoding: chunked\r\n\r\n" + whole, 400},
	"absolute form":                   {"POST http://evil" + chat + " HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"absolute form, no path":          {"GET http://evil HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"authority form":                  {"POST evil:80 HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"CONNECT":                         {"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 400},
	"asterisk form":                   {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"target without a slash":          {"POST v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"target with a NUL":               {"POST " + chat + "\x00 HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"target with a tab":               {"POST " + chat + "\t HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"target with a blank":             {"POST " + chat + "?a b HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"target not ASCII":                {"POST " + chat + "?a=\u00e9 HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"two blanks before the version":   {"POST " + chat + "  HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"two blanks after the method":     {"POST  " + chat + " HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"blank before the method":         {" " + head + size + "\r\n" + plainChat, 400},
	"method with a brace":             {"PO{ST " + chat + " HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 400},
	"HTTP/0.9":                        {"GET /v1/models\r\n\r\n", 400},
	"HTTP/1.2":                        {strings.Replace(head, "1.1", "1.2", 1) + size + "\r\n" + plainChat, 400},
	"HTTP/2.0":                        {strings.Replace(head, "1.1", "2.0", 1) + size + "\r\n" + plainChat, 400},
	"HTTP/11":                         {strings.Replace(head, "1.1", "11", 1) + size + "\r\n" + plainChat, 400},
	"http/1.1 in small letters":       {strings.Replace(head, "HTTP", "http", 1) + size + "\r\n" + plainChat, 400},
	"preface of HTTP/2":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
	"TLS to a plain port":             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	"more than a hundred headers":     {head + strings.Repeat("X: y\r\n", 100) + size + "\r\n" + plainChat, 431},
	"overlong header":                 {head + "X: " + strings.Repeat("x", 20_000) + "\r\n" + size + "\r\n" + plainChat, 431},
	"overlong request line":           {"POST " + chat + "?" + strings.Repeat("x", 20_000) + " HTTP/1.1\r\nHost: x\r\n" + size + "\r\n" + plainChat, 431},
}

// Each is refused, its connection is closed, no engine hears of it, and what comes behind it is never answered.
func TestSmuggling_HostileRequestsAreRefusedAndClosed(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, "server: {lame_duck: 0s, drain: 2s, read_timeout: {header: 500ms, body: 500ms}}\npools: [{name: m, endpoints: ENGINES}]\n", u)
	for name, c := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := r.dial()
			go func() { _, _ = io.WriteString(conn, c.wire+second) }()
			br := bufio.NewReader(conn)
			a, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			if a.StatusCode != c.status || !a.Close || err == nil && !strings.Contains(string(body), `"error"`) {
				t.Errorf("answered %s, close %v: %s", a.Status, a.Close, body)
			}
			if rest, _ := io.ReadAll(br); len(rest) > 0 {
				t.Errorf("after that came %q", rest)
			}
		})
	}
	t.Cleanup(func() {
		if n.Load() != 0 {
			t.Errorf("%d requests reached the engine", n.Load())
		}
	})
}

// odd are requests that are unusual but clear. Each reaches the engine as one plain request.
var odd = map[string]string{
	"chunks":                         head + "Transfer-Encoding: chunked\r\n\r\n" + whole,
	"Chunked":                        head + "transfer-ENCODING: \tCHUNKED \r\n\r\n" + whole,
	"chunk size with zeros":          head + "Transfer-Encoding: chunked\r\n\r\n00003C\r\n" + plainChat + "\r\n0000\r\n\r\n",
	"chunk extensions":               head + "Transfer-Encoding: chunked\r\n\r\n3c;a=b;c=\"d\"\r\n" + plainChat + "\r\n0;e\r\n\r\n",
	"trailers":                       head + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\r\n0\r\nX-Trailer: 1\r\n\r\n",
	"announced trailers":             head + "Trailer: X-Trailer\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n" + plainChat + "\r\n0\r\nX-Trailer: 1\r\n\r\n",
	"length with zeros":              head + "Content-Length: 00060\r\n\r\n" + plainChat,
	"blanks around values":           head + "Content-Length:  \t60\t \r\n\r\n" + plainChat,
	"request line ends with a LF":    strings.Replace(head, "\r\n", "\n", 1) + size + "\r\n" + plainChat, // RFC 9112, 2.2 allows it
	"CRLF before the request":        "\r\n" + head + size + "\r\n" + plainChat,
	"upgrade to h2c":                 head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" + size + "\r\n" + plainChat,
	"upgrade to a websocket":         head + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + size + "\r\n" + plainChat,
	"HTTP/1.0":                       strings.Replace(head, "1.1", "1.0\r\nConnection: keep-alive", 1) + size + "\r\n" + plainChat,
	"Content_Length":                 head + "Content_Length: 3\r\nTransfer_Encoding: chunked\r\n" + size + "\r\n" + plainChat,
	"credentials with an underscore": head + "X_Api_Key: k\r\nProxy_Authorization: k\r\nX_Warmlane_Priority: 1\r\nX_DATA_PARALLEL_RANK: 1\r\n" + size + "\r\n" + plainChat,
	"length named by Connection":     head + "Connection: Content-Length, Host, X-Request-Id\r\n" + size + "\r\n" + plainChat,
	"host of another":                "POST " + chat + " HTTP/1.1\r\nHost: 169.254.169.254\r\nX-Forwarded-Host: evil\r\nContent-Type: application/json\r\n" + size + "\r\n" + plainChat,
}

func TestSmuggling_OddRequestsReachTheEngineAsOne(t *testing.T) {
	got := make(chan *http.Request, 4)
	u, n := counting(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != plainChat {
			t.Errorf("the engine got %q", body)
		}
		got <- r
		good(w, r)
	})
	r := newRig(t, onePool, u)
	tried := int64(0)
	for name, wire := range odd {
		t.Run(name, func(t *testing.T) {
			conn := r.dial()
			_, _ = io.WriteString(conn, wire+second)
			br := bufio.NewReader(conn)
			for i, id := range []string{"", "second"} {
				a, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(a.Body)
				if a.StatusCode != 200 || string(body) != answer {
					t.Fatalf("answer %d is %s %s", i, a.Status, body)
				}
				tried++
				q := <-got
				if q.ContentLength != 60 || len(q.TransferEncoding) > 0 || q.Host != strings.TrimPrefix(u, "http://") {
					t.Errorf("the engine got length %d, %v, for %s", q.ContentLength, q.TransferEncoding, q.Host)
				}
				if seen := q.Header.Get("X-Request-Id"); id != "" && seen != id {
					t.Errorf("request %d came as %s", i, seen)
				}
				for name := range q.Header {
					switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
					case "transfer-encoding", "trailer", "x-trailer", "upgrade", "connection", "http2-settings", "x-api-key", "proxy-authorization",
						"x-warmlane-priority", "x-data-parallel-rank", "x-forwarded-host":
						t.Errorf("%s reached the engine", name)
					case "content-length":
						if name != "Content-Length" {
							t.Errorf("%s reached the engine", name)
						}
					}
				}
			}
		})
	}
	if n.Load() != tried {
		t.Errorf("%d requests reached the engine, want %d", n.Load(), tried)
	}
}

// A body belongs to its request whatever the method: what it holds is no request.
func TestSmuggling_BodyOfAGetIsNoRequest(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, onePool, u)
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
		conn := r.dial()
		fmt.Fprintf(conn, "%s /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, len(second), second)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		if text, _ := io.ReadAll(conn); strings.Count(string(text), "HTTP/1.1 ") != 1 {
			t.Errorf("%s was answered %q", method, text)
		}
	}
	if n.Load() != 0 {
		t.Errorf("%d requests reached the engine", n.Load())
	}
}

// Paths are compared as they are written: nothing is decoded or joined on the way to an engine.
func TestSmuggling_PathsAreTakenLiterally(t *testing.T) {
	u, n := counting(t, good)
	r := newRig(t, onePool, u)
	for _, path := range []string{
		"/v1/chat/../chat/completions", "/v1/./chat/completions", "//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/",
		"/v1/chat/completions/.", "/v1/chat%2fcompletions", "/v1/%63hat/completions", "/V1/chat/completions", "/v1/chat/completions;x=1",
		"/v1/chat/completions%00", "/v1/chat/completions%0d%0aHost:%20evil", "/v1\\chat\\completions", "/v1/chat/completions#x", "/@evil/v1/chat/completions",
		"/v1/responses/..", "/v1/responses/../../metrics", "/v1/responses/a%2f..%2fb", "/v1/responses/a/b/cancel", "/v1/responses/@evil", "/v1/responses/a%0d%0a",
		"/metrics", "/admin/v1/pools", "/../../etc/passwd", "/v1/load_lora_adapter", "/collective_rpc", "/sleep",
	} {
		conn := r.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n%s", path, size, plainChat)
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.StatusCode != 404 && a.StatusCode != 405 {
			t.Errorf("%s answered %s", path, a.Status)
		}
	}
	if n.Load() != 0 {
		t.Errorf("%d requests reached the engine", n.Load())
	}
}

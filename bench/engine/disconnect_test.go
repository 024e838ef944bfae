package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warmlane/warmlane/bench/engine"
)

// open sends a chat request over a bare connection and leaves it open.
func open(t *testing.T, s *engine.Server, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return conn
}

func TestServer_AClientThatLeavesFreesItsSlotAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream bool
		reset  bool
		wait   bool // for a seat, behind another request
	}{
		{"stream", true, false, false},
		{"stream, reset", true, true, false},
		{"whole answer", false, false, false},
		{"whole answer, reset", false, true, false},
		{"stream in the queue", true, false, true},
		{"whole answer in the queue", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			took := leave(t, c.stream, c.reset, c.wait)
			for range 2 { // a busy machine gets two more tries
				if took > 50*time.Millisecond {
					took = leave(t, c.stream, c.reset, c.wait)
				}
			}
			if took > 50*time.Millisecond {
				t.Errorf("the slot was freed after %v, want at most 50 ms", took)
			}
		})
	}
}

// leave lets a client go and returns how long the engine kept its slot.
func leave(t *testing.T, stream, reset, wait bool) time.Duration {
	t.Helper()
	s := start(t, engine.Config{TimeScale: 1, MaxSeqs: 1})
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":2000,"ignore_eos":true,"stream":%v}`, stream)
	first := open(t, s, body)
	eventually(t, "the request runs", func() bool { return s.Counters().Running == 1 })
	leaver := first
	if wait {
		leaver = open(t, s, body)
		eventually(t, "the request waits", func() bool { return s.Counters().Waiting == 1 })
	} else if stream {
		if _, err := bufio.NewReader(first).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if reset {
		_ = leaver.(*net.TCPConn).SetLinger(0)
	}
	left := time.Now()
	leaver.Close()
	eventually(t, "the slot is free", func() bool { return s.Counters().Aborted == 1 })
	took := time.Since(left)
	if n := s.Counters(); wait && (n.Running != 1 || n.Waiting != 0) || !wait && n.Running != 0 {
		t.Errorf("afterwards %+v", n)
	}
	return took
}

func TestServer_AConnectionServesManyRequestsAndIsClosedWhenIdle(t *testing.T) {
	s := start(t, engine.Config{KeepAlive: 500 * time.Millisecond})
	conn := open(t, s, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3}`)
	r := bufio.NewReader(conn)
	for i := range 5 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
			t.Fatalf("request %d: status %d, %v", i, resp.StatusCode, err)
		}
		if i < 4 {
			body := `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stream":true}`
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection gave %v, want it closed", err)
	}
}

func TestServer_KillResetsAndRestartComesBackCold(t *testing.T) {
	s := start(t, engine.Config{TimeScale: 1})
	url := s.URL()
	conn := open(t, s, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":2000,"ignore_eos":true,"stream":true}`)
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, err := io.Copy(io.Discard, r); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the stream ended with %v, want a reset", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("a killed replica accepts connections")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url {
		t.Errorf("the URL changed from %s to %s", url, s.URL())
	}
	complete(t, s, "/v1/chat/completions", object{"messages": []object{user("hi")}, "max_tokens": 3})
	if n := s.Counters(); n.Requests != 1 || n.Aborted != 0 {
		t.Errorf("after the restart %+v, want fresh counters", n)
	}
}

func TestServer_VanishLeavesConnectionsSilent(t *testing.T) {
	s := start(t, engine.Config{TimeScale: 1})
	conn := open(t, s, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":2000,"ignore_eos":true,"stream":true}`)
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	apply(t, s, engine.Fault{Kind: engine.FaultVanish})
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := io.Copy(io.Discard, r); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("the stream gave %v, want silence", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")); err == nil {
		t.Error("the port still accepts connections")
	}
	apply(t, s, engine.Fault{Kind: engine.FaultReturn})
	complete(t, s, "/v1/chat/completions", object{"messages": []object{user("hi")}, "max_tokens": 3})
}

func apply(t *testing.T, s *engine.Server, f engine.Fault) {
	t.Helper()
	if err := s.Apply(f); err != nil {
		t.Fatal(err)
	}
}

func TestServer_HangAnswersNothingUntilItReturns(t *testing.T) {
	s := start(t, engine.Config{})
	apply(t, s, engine.Fault{Kind: engine.FaultHang})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client(t).Do(req); err == nil {
		resp.Body.Close()
		t.Error("a hanging replica answers")
	}
	conn := open(t, s, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3}`)
	apply(t, s, engine.Fault{Kind: engine.FaultReturn})
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("after the return: %v", err)
	}
	if resp.Body.Close(); resp.StatusCode != 200 {
		t.Errorf("after the return: status %d", resp.StatusCode)
	}
}

func TestServer_FaultsThatAnswer(t *testing.T) {
	s := start(t, engine.Config{})
	body := object{"messages": []object{user("hi")}, "max_tokens": 3}
	for _, c := range []struct {
		fault string
		want  int
		text  string
	}{
		{"refuse@0s", 503, "currently busy"},
		{"refuse=429@0s", 429, "Too many"},
		{"error500@0s", 500, "EngineCore encountered an issue"},
		{"drain@0s", 500, "cannot schedule new futures after shutdown"},
		{"return@0s", 200, "content"},
	} {
		faults, err := engine.ParseFaults(c.fault)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, s, faults[0])
		status, raw := post(t, s, "/v1/chat/completions", body)
		if status != c.want || !strings.Contains(string(raw), c.text) {
			t.Errorf("%s: status %d: %s", c.fault, status, raw)
		}
		if status, _ := get(t, s, "/health"); status != 200 {
			t.Errorf("%s: health is %d, want 200", c.fault, status)
		}
	}
}

func TestServer_CutEndsAStreamCleanlyButIncomplete(t *testing.T) {
	s := start(t, engine.Config{TimeScale: 1})
	resp := send(t, s, "/v1/chat/completions", object{"messages": []object{user("hi")}, "max_tokens": 2000, "ignore_eos": true, "stream": true})
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	apply(t, s, engine.Fault{Kind: engine.FaultCut})
	all := strings.Join(events(t, r), "\n")
	if strings.Contains(all, "[DONE]") || strings.Contains(all, `"finish_reason":"`) {
		t.Errorf("the stream was complete: %s", all)
	}
}

func TestServer_ScheduledFaultsHappenInSimulatedTime(t *testing.T) {
	faults, err := engine.ParseFaults("die@2s,return@4s")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, engine.Config{TimeScale: 20, Faults: faults})
	addr := strings.TrimPrefix(s.URL(), "http://")
	up := func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	eventually(t, "it dies", func() bool { return !up() })
	eventually(t, "it returns", up)
}

func TestServer_StartDelayKeepsThePortClosed(t *testing.T) {
	s := start(t, engine.Config{StartDelay: 4 * time.Second})
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")); err == nil {
		t.Error("the port is open during the start")
	}
	eventually(t, "the port opens", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func TestParseFaults_RefusesNonsense(t *testing.T) {
	for _, text := range []string{"die", "die@soon", "explode@3s", "refuse=404@1s", "slow@1s", "die=3@1s", ""} {
		if f, err := engine.ParseFaults(text); err == nil {
			t.Errorf("%q was read as %+v", text, f)
		}
	}
}

func TestServer_AdmissionLimit(t *testing.T) {
	for _, inStream := range []bool{false, true} {
		s := start(t, engine.Config{TimeScale: 1, MaxQueuedReqs: 1, RejectInStream: inStream})
		body := `{"messages":[{"role":"user","content":"hi"}],"max_tokens":2000,"ignore_eos":true,"stream":true}`
		open(t, s, body)
		eventually(t, "one request runs", func() bool { return s.Counters().Running == 1 })
		status, raw := post(t, s, "/v1/chat/completions", body)
		want := 503
		if inStream {
			want = 200
		}
		if status != want || !strings.Contains(string(raw), "currently busy") {
			t.Errorf("in stream %v: status %d: %s", inStream, status, raw)
		}
		if inStream && !strings.HasSuffix(string(raw), "data: [DONE]\n\n") {
			t.Errorf("the refusal in a stream ends with %q", raw)
		}
		if status, _ = post(t, s, "/v1/chat/completions", strings.Replace(body, "true}", "false}", 1)); status != 503 {
			t.Errorf("a whole answer over the limit gives %d, want 503", status)
		}
	}
}

// While a replica is down the system may give its port to somebody's connection: it waits for that to end, at once or after its delay.
func TestServer_RestartsWhenItsPortIsFreeAgain(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "delayed": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			s := start(t, engine.Config{TimeScale: 1, StartDelay: delay})
			address, err := net.ResolveTCPAddr("tcp", strings.TrimPrefix(s.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			s.Kill()
			other, err := net.ListenTCP("tcp", &net.TCPAddr{IP: address.IP})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			conn, err := net.DialTCP("tcp", address, other.Addr().(*net.TCPAddr))
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(100*time.Millisecond, func() { // a replica that did not wait would have failed by then
				_ = conn.SetLinger(0)
				_ = conn.Close()
			})
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it answers", func() bool {
				resp, err := http.Get(s.URL() + "/health")
				if err == nil {
					_ = resp.Body.Close()
				}
				return err == nil && resp.StatusCode == http.StatusOK
			})
		})
	}
}

package load

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// timed plays one session against a server in virtual time, so that every duration is exact.
func timed(t *testing.T, cfg Config, play func(c chat, s stream)) (r *Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dial, end := serveBubble(scripted(t, play))
		defer end()
		cfg.URL, cfg.dial = "http://memory", dial
		r = mustRun(t, cfg)
	})
	return r
}

// pause lets virtual time pass.
func pause(ms int) { <-time.After(time.Duration(ms) * time.Millisecond) }

func want(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestRun_MetricsHaveTheDefinitionsOfAIPerf(t *testing.T) {
	r := timed(t, Config{Sessions: []Conversation{talk{users: []string{"hello"}}}}, func(_ chat, s stream) {
		pause(10)
		s.head()
		s.role() // no token
		pause(90)
		s.token("one") // 100 ms: the first token
		for range 3 {
			pause(25)
			s.token(" more")
		}
		pause(25)
		s.finish() // 200 ms: the end of the answer
		pause(5)
		s.usage(20, 16, 5) // not part of the latency, but of the run
		s.done()
	})
	want(t, "time to first token", r.TTFT.Mean, 100)
	want(t, "request latency", r.Latency.Mean, 200)
	want(t, "inter-token latency", r.InterToken.Mean, (200.0-100)/(5-1))
	want(t, "duration", r.Duration.Seconds(), 0.205)
	want(t, "output rate", r.OutputRate(), 5/0.205)
	want(t, "request rate", r.RequestRate(), 1/0.205)
	want(t, "hit rate", r.HitRate(), 16.0/20)
	if r.OutputTokens != 5 || r.PromptTokens != 20 || r.Requests != 1 || r.Errors != 0 || r.Estimated != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestRun_ReasoningAndToolCallsAreTokensButNotText(t *testing.T) {
	for name, delta := range map[string]string{
		"reasoning_content": `{"reasoning_content":"hm"}`,
		"reasoning":         `{"content":null,"reasoning":"hm"}`,
		"tool call":         `{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}`,
		"arguments":         `{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var second string
			r := timed(t, Config{Sessions: []Conversation{talk{users: []string{"a", "b"}}}}, func(c chat, s stream) {
				if len(c.Messages) > 1 {
					second = c.Messages[1].Content
				}
				s.head()
				s.role()
				pause(40)
				s.event(`{"choices":[{"index":0,"delta":%s,"finish_reason":null}]}`, delta)
				pause(20)
				s.token("text")
				s.finish()
			})
			want(t, "time to first token", r.TTFT.Mean, 40)
			want(t, "inter-token latency", r.InterToken.Mean, 20)
			if second != "text" || r.OutputTokens != 4 || r.Estimated != 2 {
				t.Errorf("history %q, %d tokens, %d answers estimated", second, r.OutputTokens, r.Estimated)
			}
		})
	}
}

func TestRun_AnEmptyAnswerHasItsFirstTokenAtItsEnd(t *testing.T) {
	r := timed(t, Config{Sessions: []Conversation{talk{users: []string{"a"}}}}, func(_ chat, s stream) {
		s.head()
		s.role()
		pause(30)
		s.finish()
		s.usage(4, 0, 1)
	})
	want(t, "time to first token", r.TTFT.Mean, 30)
	want(t, "request latency", r.Latency.Mean, 30)
	if r.Errors != 0 || r.InterToken.N != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestRun_TellsTheFirstTokenOfEachTurn(t *testing.T) {
	r := timed(t, Config{Sessions: []Conversation{talk{users: []string{"a", "b", "c"}}}}, func(c chat, s stream) {
		pause(10 * len(c.Messages)) // 1, 3, 5 messages
		s.whole("x", "y")
	})
	if len(r.TurnTTFT) != 3 {
		t.Fatalf("%d turns", len(r.TurnTTFT))
	}
	for i, ms := range []float64{10, 30, 50} {
		want(t, "time to first token of a turn", r.TurnTTFT[i].Mean, ms)
	}
	want(t, "time to first token", r.TTFT.Mean, 30)
	want(t, "its median", r.TTFT.P50, 30)
	want(t, "its p90", r.TTFT.P90, 46)
	want(t, "its p99", r.TTFT.P99, 49.6)
}

func TestRun_ThinkTimeIsBetweenTurnsAndOutsideLatencies(t *testing.T) {
	cfg := Config{Sessions: []Conversation{talk{users: []string{"a", "b", "c"}}}, Think: time.Second, Seed: 5}
	play := func(_ chat, s stream) { pause(10); s.whole("x") }
	first, again := timed(t, cfg, play), timed(t, cfg, play)
	want(t, "time to first token", first.TTFT.Mean, 10)
	if first.Duration <= 30*time.Millisecond || first.Duration != again.Duration {
		t.Errorf("the runs took %v and %v, want equal times with pauses", first.Duration, again.Duration)
	}
}

func TestRun_SilenceIsATimeout(t *testing.T) {
	cfg := Config{Sessions: []Conversation{talk{users: []string{"a"}}}, Timeout: 50 * time.Millisecond}
	for name, play := range map[string]func(c chat, s stream){
		"before the head":   func(_ chat, s stream) { <-s.r.Context().Done() },
		"within the stream": func(_ chat, s stream) { s.head(); s.token("x"); <-s.r.Context().Done() },
		"bytes begin it anew": func(_ chat, s stream) {
			s.head()
			pause(40)
			s.token("x")
			pause(40)
			s.token("y")
			<-s.r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := timed(t, cfg, play)
			if r.Errors != 1 || r.Kinds[KindTimeout] != 1 {
				t.Errorf("failures %v", r.Kinds)
			}
		})
	}
}

func TestResult_StretchTurnsScaledTimeBack(t *testing.T) {
	r := timed(t, Config{Sessions: []Conversation{talk{users: []string{"a"}}}}, func(_ chat, s stream) {
		s.head()
		pause(10)
		s.token("x")
		pause(4)
		s.token("y")
		s.finish()
		s.usage(10, 0, 2)
	})
	r.Stretch(10)
	want(t, "time to first token", r.TTFT.P99, 100)
	want(t, "its turn's", r.TurnTTFT[0].Mean, 100)
	want(t, "inter-token latency", r.InterToken.Mean, 40)
	want(t, "request latency", r.Latency.P50, 140)
	want(t, "output rate", r.OutputRate(), 2/0.140)
}

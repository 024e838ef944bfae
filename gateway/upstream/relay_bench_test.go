package upstream

import (
	"bufio"
	"io"
	"testing"

	"github.com/warmlane/warmlane/gateway/api"
)

// oneByOne hands out one event a read, as a generating engine does.
type oneByOne struct {
	event []byte
	left  int
}

func (r *oneByOne) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	return copy(p, r.event), nil
}

// BenchmarkRelayEvent is the cost of one event in WriteTo without its system calls.
func BenchmarkRelayEvent(b *testing.B) {
	event := []byte(chunked("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"))
	a := &Attempt{}
	a.body.start(bufio.NewReaderSize(&oneByOne{event, b.N}, 16<<10), -1, false)
	r := &Relay{Attempt: a, Follower: mute{}, Family: api.Chat, Stream: api.NewStream(api.Chat, 1, true)}
	b.ReportAllocs()
	b.ResetTimer()
	_, _ = r.WriteTo(io.Discard)
}

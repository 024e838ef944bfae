package engine

import (
	"errors"
	"io"
)

// errAborted ends a stream whose client or engine is gone; the connection breaks.
var errAborted = errors.New("the stream was aborted")

// eventStream is the body of a streamed answer: each Read returns one server-sent event, so that each is one HTTP
// chunk. It follows the schedule of the core and never runs ahead of it.
type eventStream struct {
	call  *call
	event []byte // what is left of the present event
	roles int    // role chunks sent
	turn  int    // the choice to look at first
	tail  int    // what was sent after the last token: 1 usage, 2 the end mark
	done  bool
}

// Read implements io.Reader.
func (s *eventStream) Read(p []byte) (int, error) {
	for len(s.event) == 0 {
		if s.done {
			return 0, io.EOF
		}
		if !s.next() {
			if err := s.await(); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, s.event)
	s.event = s.event[n:]
	return n, nil
}

// await blocks until something changed.
func (s *eventStream) await() error {
	select {
	case <-s.call.wake:
	case <-s.call.gone:
		return errAborted
	case <-s.call.life.dead:
		return errAborted
	}
	return nil
}

// next writes the next event, if one is due.
func (s *eventStream) next() (ok bool) {
	c := s.call
	if c.isCut() {
		s.done = true
		return true
	}
	over := true
	for n := range c.seqs {
		i := (s.turn + n) % len(c.seqs)
		ready, finished := c.state(i)
		if ready > c.seqs[i].sent {
			s.token(i, ready, finished)
			return true
		}
		over = over && finished
	}
	if !over {
		return false
	}
	s.end()
	return true
}

// token writes the role chunk that is still missing or the tokens that are ready: normally one, more when the writer
// is behind, as real servers do.
func (s *eventStream) token(i, ready int, finished bool) {
	c, q := s.call, &s.call.seqs[i]
	buf := s.event[:0]
	if c.family == chatFamily && s.roles < len(c.seqs) {
		s.event = c.appendRole(buf, s.roles)
		s.roles++
		return
	}
	if q.sent == 0 {
		c.emitted(i, false)
	}
	if finished {
		c.emitted(i, true)
	}
	s.event = c.appendTokens(buf, i, q.sent, ready, finished)
	q.sent = ready
	s.turn = (i + 1) % len(c.seqs)
}

// end writes the usage chunk, if it was asked for, and the end mark.
func (s *eventStream) end() {
	if s.tail == 0 && s.call.usage.IncludeUsage {
		s.event = s.call.appendFinalUsage(s.event[:0])
		s.tail = 1
		return
	}
	s.event = append(s.event[:0], "data: [DONE]\n\n"...)
	s.done = true
}

// CloseWithError is called by the HTTP server when the stream has ended or could not be written.
func (s *eventStream) CloseWithError(error) error {
	s.call.watch.stop()
	s.call.life.leave(s.call)
	return nil
}

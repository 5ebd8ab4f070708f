package loadgen

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"kad/forwarder/internal/relp"
)

// relpWindow is how many messages of a connection may have no answer.
const relpWindow = 1000

// A session is a connection by RELP. A message has arrived when it is answered.
type session struct {
	client   *client
	conn     net.Conn
	relp     *relp.Stream
	gone     chan error // why reading has ended
	first    int64      // number of the first message
	next     int64      // number of the one that is sent next
	arrived  int64      // number of the first one without an answer
	sent     []sentMark // of what has no answer
	messages [][]byte   // of a batch
}

// A sentMark says when the messages before next were sent.
type sentMark struct {
	next int64
	at   time.Time
}

// Answers measure the time from sending a message, or when it was due, to its answer.
type answers struct {
	sync.Mutex
	histogram
}

func (c *client) openSession(conn net.Conn) (*session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	stream, err := relp.Open(ctx, conn, relpWindow)
	if err != nil {
		return nil, err
	}
	s := &session{client: c, conn: conn, relp: stream, gone: make(chan error, 1), first: c.next, next: c.next, arrived: c.next}
	go func() {
		err := stream.Watch()
		if err == nil {
			err = errClosed
		}
		s.gone <- err
	}()
	return s, nil
}

func (s *session) isDatagram() bool { return false }
func (s *session) isBare() bool     { return true }

func (s *session) write(batch []byte, _ int64) error {
	s.messages = slices.AppendSeq(s.messages[:0], slices.Chunk(batch, s.client.Size))
	for rest := s.messages; len(rest) > 0; {
		n := min(s.relp.Room(), len(rest))
		if n == 0 {
			if err := s.awaitAnswers(s.client.Timeout); err != nil {
				return err
			}
			continue
		}
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.client.Timeout)) // of an open socket
		s.next += int64(n)
		s.sent = append(s.sent, sentMark{s.next, time.Now()}) // before: of a write that fails some may be answered
		if err := s.relp.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// awaitAnswers waits until messages are answered.
func (s *session) awaitAnswers(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.relp.Answered():
		s.note()
		return nil
	case err := <-s.gone:
		return err
	case <-timer.C:
		return errNotTaken
	}
}

// note notes what is answered.
func (s *session) note() {
	now, arrived := time.Now(), s.first+s.relp.Bytes()/int64(s.client.Size)
	all := &s.client.answers
	all.Lock()
	defer all.Unlock()
	for ; s.arrived < arrived; s.arrived++ {
		for s.sent[0].next <= s.arrived {
			s.sent = s.sent[1:]
		}
		at := s.sent[0].at
		if s.client.rate > 0 {
			at = s.client.dueAt(s.arrived)
		}
		all.add(now.Sub(at))
	}
}

func (s *session) wait(pause time.Duration) error {
	for end := time.Now().Add(pause); ; {
		err := s.awaitAnswers(time.Until(end))
		if errors.Is(err, errNotTaken) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) finish() error {
	for s.note(); s.arrived < s.next; {
		if err := s.awaitAnswers(s.client.Timeout); err != nil {
			return err
		}
	}
	return s.relp.Finish()
}

func (s *session) close(failed error) int64 {
	if failed == nil { // the server ends the connection
		select {
		case <-s.gone:
		case <-time.After(closeGrace):
		}
	}
	s.note()
	_ = s.conn.Close() // what is not answered is known
	return s.arrived
}

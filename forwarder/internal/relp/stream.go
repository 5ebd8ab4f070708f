package relp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// maxReply is how long an answer may be that is not cut, in bytes.
const maxReply = 4096

// maxWrite is about how many bytes are written at once.
const maxWrite = 256 << 10

var errClosed = errors.New("relp: the server has closed the connection")

// A Stream is a Client on a connection. One goroutine writes, while Watch on another one reads the answers.
type Stream struct {
	conn     net.Conn
	reader   *Reader
	out      []byte // that is being written
	answered chan struct{}

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // in the client's window, or the session ends
	client  *Client
	arrived int64 // bytes of messages that were answered
	ended   error // nil: the session goes on
}

// Open begins a session on a connection, with at most so many messages without an answer. When ctx ends before the server has
// answered, it fails.
func Open(ctx context.Context, conn net.Conn, window int) (*Stream, error) {
	s := &Stream{conn: conn, client: NewClient(window), reader: NewReader(conn, maxReply), answered: make(chan struct{}, 1)}
	s.room.L = &s.mu
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) }) // of an open connection
	err := s.open()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return s, err
}

func (s *Stream) open() error {
	if _, err := s.conn.Write(s.client.AppendOpen(nil)); err != nil {
		return err
	}
	f, ok, err := s.reader.Next()
	for ; !ok && err == nil; f, ok, err = s.reader.Next() {
		if err := s.reader.Fill(); errors.Is(err, io.EOF) {
			return errClosed
		} else if err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return s.client.Opened(f)
}

// Room is how many messages Write takes without waiting for answers.
func (s *Stream) Room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.Room()
}

// Answered receives when messages were answered.
func (s *Stream) Answered() <-chan struct{} { return s.answered }

// Bytes is how many bytes of messages are answered, without a gap from the first one on.
func (s *Stream) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived
}

// Write sends messages as the window has room for them.
func (s *Stream) Write(messages [][]byte) error {
	for len(messages) > 0 {
		n, err := s.compose(messages)
		if err != nil {
			return err
		}
		if _, err := s.conn.Write(s.out); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// compose waits for room and frames as many messages as have some.
func (s *Stream) compose(messages [][]byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.client.Room() == 0 && s.ended == nil {
		s.room.Wait()
	}
	if s.ended != nil {
		return 0, s.ended
	}
	s.out = s.out[:0]
	for n < len(messages) && s.client.Room() > 0 && len(s.out) < maxWrite {
		s.out = s.client.AppendMessage(s.out, messages[n])
		n++
	}
	return n, nil
}

// Watch reads the answers until the server ends the session or does not keep to the protocol. Its error is nil if the
// server has closed the connection.
func (s *Stream) Watch() (err error) {
	defer func() { s.end(cmp.Or(err, errClosed)) }()
	for {
		err := s.take()
		if err == nil {
			err = s.reader.Fill()
		}
		if errors.Is(err, ErrServerClose) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take notes the answers that were read.
func (s *Stream) take() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.arrived
	defer func() {
		if s.arrived == before {
			return
		}
		s.room.Signal()
		select {
		case s.answered <- struct{}{}:
		default: // it is known
		}
	}()
	for {
		f, ok, err := s.reader.Next()
		if err != nil || !ok {
			return err
		}
		n, err := s.client.Answered(f)
		if err != nil {
			return err
		}
		s.arrived += int64(n)
	}
}

func (s *Stream) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = reason
	s.room.Signal()
}

// Finish asks the server to end the session.
func (s *Stream) Finish() error {
	s.mu.Lock()
	b := s.client.AppendClose(nil)
	s.mu.Unlock()
	_, err := s.conn.Write(b)
	return err
}

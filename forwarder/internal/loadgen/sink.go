package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"kad/pkg/syslog"
)

// A Sink receives messages at addresses, and counts them in a Tally. A stream may be framed either way.
type Sink struct {
	tally   *Tally
	log     *slog.Logger
	follow  bool
	inputs  []io.Closer
	serves  []func()
	mu      sync.Mutex // guards conns and closed
	conns   map[net.Conn]bool
	closed  bool
	readers sync.WaitGroup
}

// readSize is the buffer of each connection.
const readSize = 256 << 10

// packetBuffer is what the kernel is asked to keep of datagrams that are not read yet.
const packetBuffer = 8 << 20

// filePause is the time between two looks at a file whose end was reached.
const filePause = 20 * time.Millisecond

// Listen opens the addresses. Files are read to their end; with follow, also what is written later.
func Listen(addresses []Address, t *Tally, files TLS, follow bool, log *slog.Logger) (*Sink, error) {
	s := &Sink{tally: t, log: log, follow: follow, conns: map[net.Conn]bool{}}
	for i, a := range addresses {
		if err := s.open(i, a, files); err != nil {
			s.Close()
			return nil, fmt.Errorf("sink %s: %w", a, err)
		}
	}
	return s, nil
}

func (s *Sink) open(index int, a Address, files TLS) error {
	switch a.Transport {
	case "relp", "relps":
		return errors.New("a sink does not speak RELP")
	case "file":
		file, err := os.Open(a.Address)
		if err != nil {
			return err
		}
		s.add(file, func() { s.readStream(index, file, syslog.Newline) })
	case "udp", "unixgram":
		conn, err := net.ListenPacket(a.Transport, a.Address)
		if err != nil {
			return err
		}
		if c, ok := conn.(interface{ SetReadBuffer(int) error }); ok {
			_ = c.SetReadBuffer(packetBuffer) // as much as the kernel allows
		}
		s.add(conn, func() { s.readPackets(index, conn) })
	default:
		l, err := listenStream(a, files)
		if err != nil {
			return err
		}
		s.add(l, func() { s.accept(index, l) })
	}
	return nil
}

func listenStream(a Address, files TLS) (net.Listener, error) {
	if a.Transport != "tls" {
		return net.Listen(a.Transport, a.Address)
	}
	if files.CertFile == "" {
		return nil, errors.New("TLS needs a certificate and its key")
	}
	config, err := files.load()
	if err != nil {
		return nil, err
	}
	if files.CAFile != "" {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, config.RootCAs
	}
	return tls.Listen("tcp", a.Address, config)
}

func (s *Sink) add(input io.Closer, serve func()) {
	s.inputs = append(s.inputs, input)
	s.serves = append(s.serves, serve)
}

// Run receives until ctx ends, or all files are read if there is nothing else. When it returns its addresses are free.
func (s *Sink) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	defer s.Close() // or waits for it: who accepts may hear of the end before the listener has gone
	for _, serve := range s.serves {
		s.readers.Go(serve)
	}
	s.readers.Wait()
}

// Close ends Run.
func (s *Sink) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, input := range s.inputs {
		_ = input.Close() // nothing is written
	}
	for conn := range s.conns {
		_ = conn.Close() // likewise
	}
}

func (s *Sink) accept(index int, l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("no connection is accepted", "address", l.Addr(), "error", err)
			time.Sleep(roundPause)
			continue
		}
		if !s.keep(conn) {
			return
		}
		s.readers.Go(func() {
			defer s.drop(conn)
			s.readStream(index, conn, syslog.Detect)
		})
	}
}

// keep lets Close close a connection; false: it was called before.
func (s *Sink) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close() // nothing is written
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Sink) drop(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	_ = conn.Close() // nothing is written
}

// readStream counts the messages of a connection or a file.
func (s *Sink) readStream(index int, r io.Reader, framing syslog.Framing) {
	framer := syslog.Framer{Framing: framing}
	buf := make([]byte, readSize)
	end := 0
	for {
		n, err := r.Read(buf[end:])
		end += n
		used, frameErr := s.take(index, &framer, buf[:end])
		end = copy(buf, buf[used:end])
		if frameErr != nil {
			s.log.Warn("the frames of a connection are broken", "error", frameErr)
			return
		}
		if _, isFile := r.(*os.File); isFile && errors.Is(err, io.EOF) && s.follow {
			time.Sleep(filePause)
			continue
		}
		if err != nil {
			return
		}
	}
}

// take counts the whole messages in b, and returns how many bytes they had.
func (s *Sink) take(index int, framer *syslog.Framer, b []byte) (used int, err error) {
	batch := s.tally.begin(index)
	defer s.tally.mu.Unlock()
	for {
		message, n, err := framer.Next(b[used:])
		used += n
		if message == nil || err != nil {
			return used, err
		}
		batch.add(message)
	}
}

func (s *Sink) readPackets(index int, conn net.PacketConn) {
	buf := make([]byte, readSize)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			if path, ok := conn.LocalAddr().(*net.UnixAddr); ok {
				_ = os.Remove(path.Name) // net does that for streams only
			}
			return
		}
		if err == nil {
			batch := s.tally.begin(index)
			batch.add(buf[:n])
			s.tally.mu.Unlock()
		}
	}
}

package destination

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
)

// Unix sends to a socket of this host.
type Unix struct {
	Common
	Path string `toml:"path"`

	network string
}

// Init checks the options.
func (u *Unix) Init() error {
	if u.Path == "" {
		return option.Errorf("path", "the path of a socket is required")
	}
	return u.Common.Init()
}

// Format says how a message is written.
func (u *Unix) Format() Format { return Format{Append: u.text(true), IsBSD: u.isBSD()} }

// Connect opens the socket.
func (u *Unix) Connect(ctx context.Context, _ *slog.Logger) (Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, u.network, u.Path)
	if err != nil {
		return nil, err
	}
	if u.network == "unixgram" {
		return &datagrams{Conn: conn}, nil
	}
	return newStream(conn), nil
}

// A stream writes whole batches.
type stream struct {
	net.Conn
	closed chan struct{} // by the peer
	buffer net.Buffers
}

// newStream watches conn: a server does not talk, so what can be read is that it has gone.
func newStream(conn net.Conn) *stream {
	s := &stream{Conn: conn, closed: make(chan struct{})}
	go func() {
		defer close(s.closed)
		var waste [512]byte
		for {
			if _, err := conn.Read(waste[:]); err != nil {
				return
			}
		}
	}()
	return s
}

// interrupt ends a Write to a peer that does not read.
func (s *stream) interrupt() { _ = s.SetWriteDeadline(time.Now()) } // it is an open socket

// Write writes the batches at once.
func (s *stream) Write(batches []*queue.Batch) error {
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	s.buffer = s.buffer[:0]
	for _, b := range batches {
		s.buffer = append(s.buffer, b.Data)
	}
	buffers := s.buffer
	_, err := buffers.WriteTo(s.Conn)
	return err
}

// Pipe writes to a named pipe.
type Pipe struct {
	Common
	Path string `toml:"path"`
}

// Init checks the options.
func (p *Pipe) Init() error {
	if p.Path == "" {
		return option.Errorf("path", "the path of a pipe is required")
	}
	return p.Common.Init()
}

// Format says how a message is written.
func (p *Pipe) Format() Format { return Format{Append: p.text(false)} }

// Connect opens the pipe, which must have a reader.
func (p *Pipe) Connect(context.Context, *slog.Logger) (Conn, error) {
	f, err := os.OpenFile(p.Path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &writer{f}, nil
}

// Stdout writes to standard output.
type Stdout struct{ Common }

// Format says how a message is written.
func (s *Stdout) Format() Format { return Format{Append: s.text(false)} }

// Connect returns standard output.
func (s *Stdout) Connect(context.Context, *slog.Logger) (Conn, error) {
	return &writer{keepOpen{os.Stdout}}, nil
}

// keepOpen is a file that is not ours to close.
type keepOpen struct{ *os.File }

// Close does nothing.
func (keepOpen) Close() error { return nil }

// A writer writes batch by batch.
type writer struct {
	file interface {
		io.WriteCloser
		SetWriteDeadline(t time.Time) error
	}
}

// interrupt ends a Write to a pipe that nobody reads. Other files do not wait, or, as a terminal, cannot be interrupted.
func (w *writer) interrupt() { _ = w.file.SetWriteDeadline(time.Now()) }

func (w *writer) Write(batches []*queue.Batch) error {
	for _, b := range batches {
		if _, err := w.file.Write(b.Data); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) Close() error { return w.file.Close() }

// Program starts a program and writes to its standard input.
type Program struct {
	Common
	Command string `toml:"command"`
}

// Init checks the options.
func (p *Program) Init() error {
	if p.Command == "" {
		return option.Errorf("command", "a command line is required")
	}
	return p.Common.Init()
}

// Format says how a message is written.
func (p *Program) Format() Format { return Format{Append: p.text(false)} }

// Connect starts the program.
func (p *Program) Connect(_ context.Context, logger *slog.Logger) (Conn, error) {
	ctx, end := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", p.Command)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, in, err := os.Pipe()
	if err != nil {
		end()
		return nil, err
	}
	cmd.Stdin = out
	err = cmd.Start()
	_ = out.Close() // the program has its own
	if err != nil {
		end()
		return nil, errors.Join(err, in.Close())
	}
	logger.Info("program started", "pid", cmd.Process.Pid)
	return &program{writer{in}, cmd, end}, nil
}

type program struct {
	writer
	cmd *exec.Cmd
	end context.CancelFunc // by SIGTERM, a second later by SIGKILL
}

// interrupt ends the program: it may not read, or stay when its input has ended.
func (p *program) interrupt() {
	p.writer.interrupt()
	p.end()
}

// Close ends the program's input and waits for it.
func (p *program) Close() error {
	defer p.end()
	return errors.Join(p.writer.Close(), p.cmd.Wait())
}

// Package control asks daemons of this host over the unix sockets by which they are controlled. It does without net and
// net/http, which would add 1 ms to every start of a tool that keepalived runs each second, and 4 MiB to its size.
package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrDead is the error of a socket whose daemon has died and left it behind. It is no matter of load or time.
var ErrDead = errors.New("nobody listens")

// A Daemon is a program with a control socket.
type Daemon struct {
	Name    string   // "syslog-ng"
	Sockets []string // where it is looked for; the first that exists is taken
}

// ForwarderSocket is where the forwarder's unit has its control socket.
const ForwarderSocket = "/run/forwarder/control.sock"

// Forwarder is kad's forwarder with its control socket at the given path, "" for where its unit has it.
func Forwarder(socket string) Daemon {
	if socket == "" {
		socket = ForwarderSocket
	}
	return Daemon{"forwarder", []string{socket}}
}

// Dial connects to the control socket of d and returns the process that listens there too. What the errors say is enough to
// find the cause; where no socket exists it is fs.ErrNotExist, where nobody listens ErrDead.
func (d Daemon) Dial(ctx context.Context) (conn *os.File, pid int, err error) {
	for _, socket := range d.Sockets {
		conn, pid, err = Dial(ctx, socket, unix.SOCK_STREAM)
		switch {
		case err == nil:
			return conn, pid, nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, syscall.ECONNREFUSED):
			err = d.refused(socket)
		case errors.Is(err, syscall.EAGAIN):
			err = fmt.Errorf("the backlog is full: %s has stopped accepting connections", d.Name)
		}
		return nil, 0, d.at(socket, err)
	}
	return nil, 0, absentError{d}
}

// absentError says that no socket exists.
type absentError struct{ Daemon }

func (e absentError) Error() string {
	return fmt.Sprintf("%s does not run, or has its control socket elsewhere than in %s", e.Name, strings.Join(e.Sockets, ", "))
}

func (e absentError) Is(target error) bool { return target == fs.ErrNotExist }

// refused says why nobody takes a connection to a file that exists.
func (d Daemon) refused(socket string) error {
	if info, err := os.Stat(socket); err == nil && info.Mode().Type() != fs.ModeSocket {
		return errors.New("not a socket")
	}
	return fmt.Errorf("%w: %s has died and left its socket behind", ErrDead, d.Name)
}

// at adds the socket to err, unless there is only one.
func (d Daemon) at(socket string, err error) error {
	if len(d.Sockets) == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", socket, err)
}

// Failed says what err of an exchange on conn means.
func (d Daemon) Failed(conn *os.File, err error) error {
	switch errno, ok := errors.AsType[syscall.Errno](err); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("connected, but no answer: %s is stopped or hangs", d.Name)
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("a line of more than %d bytes: this is not %s", bufio.MaxScanTokenSize, d.Name)
	case ok:
		err = errno
	}
	return d.at(conn.Name(), err)
}

// Dial connects to a unix socket of that type and returns the process that listens there
// too, 0 when that is not to be known, as in another PID namespace (SO_PEERCRED, unix(7)).
// Reads and writes fail when ctx ends.
func Dial(ctx context.Context, path string, kind int) (conn *os.File, pid int, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		if err == unix.EINVAL { // more than sun_path holds
			err = unix.ENAMETOOLONG
		}
		return nil, 0, err
	}
	if cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		pid = int(cred.Pid)
	}
	conn = os.NewFile(uintptr(fd), path)
	context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, pid, nil
}

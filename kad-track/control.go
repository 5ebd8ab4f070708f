package main

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

// daemon is a program with a control socket.
type daemon struct {
	name    string   // "syslog-ng"
	sockets []string // where it is looked for; the first that exists is taken
}

// dial connects to the control socket of d and returns the process that listens there too.
// What the errors say is enough to find the cause.
func (d daemon) dial(ctx context.Context) (conn *os.File, pid int, err error) {
	for _, socket := range d.sockets {
		conn, pid, err = dialUnix(ctx, socket, unix.SOCK_STREAM)
		switch {
		case err == nil:
			return conn, pid, nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, syscall.ECONNREFUSED):
			err = d.refused(socket)
		case errors.Is(err, syscall.EAGAIN):
			err = fmt.Errorf("the backlog is full: %s has stopped accepting connections", d.name)
		}
		return nil, 0, d.at(socket, err)
	}
	return nil, 0, fmt.Errorf("%s does not run, or has its control socket elsewhere than in %s",
		d.name, strings.Join(d.sockets, ", "))
}

// refused says why nobody takes a connection to a file that exists.
func (d daemon) refused(socket string) error {
	if info, err := os.Stat(socket); err == nil && info.Mode().Type() != fs.ModeSocket {
		return errors.New("not a socket")
	}
	return certain{fmt.Errorf("nobody listens: %s has died and left its socket behind", d.name)}
}

// at adds the socket to err, unless the user has named it.
func (d daemon) at(socket string, err error) error {
	if len(d.sockets) == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", socket, err)
}

// failed says what err of an exchange on conn means.
func (d daemon) failed(conn *os.File, err error) error {
	switch {
	case timedOut(err):
		err = fmt.Errorf("connected, but no answer: %s is stopped or hangs", d.name)
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("a line of more than %d bytes: this is not %s", bufio.MaxScanTokenSize, d.name)
	}
	return d.at(conn.Name(), cause(err))
}

// dialUnix connects to a unix socket of that type and returns the process that listens there
// too, 0 when that is not to be known, as in another PID namespace (SO_PEERCRED, unix(7)).
// Reads and writes fail when ctx ends. It does without package net, which would make a start
// of kad-track 0.1 ms longer.
func dialUnix(ctx context.Context, path string, kind int) (conn *os.File, pid int, err error) {
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

package daemon

import (
	"errors"
	"os"
	"strings"

	"kad/forwarder/internal/source"

	"golang.org/x/sys/unix"
)

// An fdStore is systemd's file descriptor store (sd_pid_notify_with_fds(3)): it keeps our sockets open while we restart, with
// the clients that wait in them, and hands them to the next process as it does those of a socket unit.
type fdStore struct {
	stored map[string]int // how many sockets it has by each name
}

// inherit notes the files that systemd handed over: some of them may come out of the store.
func (s *fdStore) inherit(files []*os.File) {
	s.stored = map[string]int{}
	for _, f := range files {
		s.stored[f.Name()]++
	}
}

// keep makes the store hold these sockets and no others: a socket that nobody accepts from would keep its clients waiting.
func (s *fdStore) keep(sockets *source.Sockets) error {
	files := map[string][]*os.File{}
	for address, f := range sockets.All() {
		if strings.HasPrefix(address, "unix") {
			continue // its path is removed when it closes
		}
		name := strings.ReplaceAll(address, ":", "-") // a colon divides LISTEN_FDNAMES
		files[name] = append(files[name], f)
	}
	var errs []error
	for name, n := range s.stored {
		if len(files[name]) != n {
			errs = append(errs, notifyWithFiles("FDSTOREREMOVE=1\nFDNAME="+name, nil))
			delete(s.stored, name)
		}
	}
	for name, list := range files {
		if s.stored[name] == 0 {
			errs = append(errs, notifyWithFiles("FDSTORE=1\nFDNAME="+name, list))
			s.stored[name] = len(list)
		}
	}
	return errors.Join(errs...)
}

// notifyWithFiles sends systemd a state and what belongs to it. The files stay open meanwhile.
func notifyWithFiles(state string, files []*os.File) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	conn, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(conn)
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn() // Fd would make the socket block, ours too
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return err
		}
	}
	return unix.Sendmsg(conn, []byte(state), unix.UnixRights(fds...), &unix.SockaddrUnix{Name: socket}, 0)
}

// keepSockets lets the sockets of the sources outlive the process.
func (d *Daemon) keepSockets() {
	sockets := &source.Sockets{}
	defer sockets.Close()
	for _, r := range d.sources {
		if err := r.input.Lend(sockets); err != nil {
			d.logger.Warn("a socket will not outlive a restart", "source", r.name, "error", err)
		}
	}
	if err := d.store.keep(sockets); err != nil {
		d.logger.Warn("systemd does not keep the sockets", "error", err)
	}
}

package source

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// silent has the sessions whose clients have said nothing yet. It waits for all of them by an epoll(7) of its own, so that they need no
// goroutine, which takes more memory than the rest of a session. Go's poller waits for the epoll.
type silent struct {
	serve func(*session) // takes a session whose client says something; it does not wait

	file *os.File // nil: there is none, and nobody waits here
	raw  syscall.RawConn
	fd   int

	mu      sync.Mutex         // guards what follows
	waiting map[int32]*session // by file descriptor
}

func newSilent(serve func(*session)) *silent {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return &silent{serve: serve} // too many files are open
	}
	_ = unix.SetNonblock(fd, true) // for Go's poller
	s := &silent{serve: serve, file: os.NewFile(uintptr(fd), "epoll"), fd: fd, waiting: map[int32]*session{}}
	s.raw, _ = s.file.SyscallConn() // of an open file
	return s
}

// add has a session wait here, or tells that it cannot: it is to leave, or to end when it is idle, or is not read by its socket.
func (s *silent) add(one *session) (added bool) {
	if s.file == nil || one.raw == nil || one.idle > 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.ctx.Err() != nil {
		return false
	}
	err := one.raw.Control(func(fd uintptr) {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
		if unix.EpollCtl(s.fd, unix.EPOLL_CTL_ADD, int(fd), &event) == nil {
			s.waiting[event.Fd], added = one, true
		}
	})
	return added && err == nil
}

// run gives up whose client says something, or ends, until close.
func (s *silent) run() {
	if s.file == nil {
		return
	}
	var events [64]unix.EpollEvent
	for {
		n := 0
		err := s.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil {
			return
		}
		s.mu.Lock()
		for _, e := range events[:max(0, n)] {
			s.release(e.Fd)
		}
		s.mu.Unlock()
	}
}

// release gives up the session of a file, which is open.
func (s *silent) release(fd int32) {
	if one := s.waiting[fd]; one != nil {
		delete(s.waiting, fd)
		_ = unix.EpollCtl(s.fd, unix.EPOLL_CTL_DEL, int(fd), nil)
		s.serve(one)
	}
}

// wake gives up all.
func (s *silent) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for fd := range s.waiting {
		s.release(fd)
	}
}

// close ends run. Nobody waits here any more.
func (s *silent) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

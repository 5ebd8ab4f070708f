package source

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Sockets are open sockets that an input takes over instead of binding its own, by their addresses: those that systemd has
// opened, and, when a configuration takes the place of another one, those of the sources that end.
type Sockets struct{ files map[string][]*os.File }

// Add adds a socket and keeps f.
func (s *Sockets) Add(f *os.File) error {
	key, err := socketKey(f)
	if err != nil {
		return err
	}
	if s.files == nil {
		s.files = map[string][]*os.File{}
	}
	s.files[key] = append(s.files[key], f)
	return nil
}

// socketKey is the network and the address that f is bound to.
func socketKey(f *os.File) (string, error) {
	l, err := net.FileListener(f)
	if err == nil {
		return key(l.Addr().Network(), l.Addr().String()), l.Close()
	}
	p, packetErr := net.FilePacketConn(f)
	if packetErr != nil {
		return "", errors.Join(err, packetErr)
	}
	return key(p.LocalAddr().Network(), p.LocalAddr().String()), p.Close()
}

// key takes all addresses of either protocol for the same: systemd listens for both at once.
func key(network, address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().IsUnspecified() {
		address = ":" + strconv.Itoa(int(a.Port()))
	}
	return network + " " + address
}

func (s *Sockets) take(network, address string) *os.File {
	if s == nil {
		return nil
	}
	k := key(network, address)
	if len(s.files[k]) == 0 {
		return nil
	}
	f := s.files[k][0]
	s.files[k] = s.files[k][1:]
	return f
}

// All gives those that nobody took, with network and address.
func (s *Sockets) All() iter.Seq2[string, *os.File] {
	return func(yield func(string, *os.File) bool) {
		for address, files := range s.files {
			for _, f := range files {
				if !yield(address, f) {
					return
				}
			}
		}
	}
}

// Close closes those that nobody took.
func (s *Sockets) Close() {
	for _, files := range s.files {
		for _, f := range files {
			_ = f.Close() // it was not used
		}
	}
	s.files = nil
}

// A socket is open.
type socket interface {
	Close() error
	rawConn
}

// listen takes over a socket, or binds one.
func (in *Input) listen(lc *net.ListenConfig, network, address string) (l net.Listener, err error) {
	if f := in.Sockets.take(network, address); f != nil {
		defer f.Close()
		l, err = net.FileListener(f)
	} else if err = free(network, address); err == nil {
		l, err = lc.Listen(context.Background(), network, address)
	}
	if err == nil {
		in.open = append(in.open, l.(socket))
	}
	return l, err
}

// listenPacket is listen for datagrams.
func (in *Input) listenPacket(lc *net.ListenConfig, network, address string) (c net.PacketConn, err error) {
	if f := in.Sockets.take(network, address); f != nil {
		defer f.Close()
		c, err = net.FilePacketConn(f)
	} else if err = free(network, address); err == nil {
		c, err = lc.ListenPacket(context.Background(), network, address)
	}
	if err != nil {
		return nil, err
	}
	in.open = append(in.open, c.(socket))
	raw, err := c.(rawConn).SyscallConn()
	if err == nil {
		in.drops = append(in.drops, newDropCounter(raw))
	}
	return c, err
}

// free removes what is left of a socket that nobody has any more.
func free(network, address string) error {
	if network != "unix" && network != "unixgram" {
		return nil
	}
	return removeStale(network, address)
}

// Lend adds the input's sockets to those that may be taken over. The input keeps its own.
func (in *Input) Lend(to *Sockets) error {
	for _, open := range in.open {
		f, err := duplicate(open)
		if err != nil {
			return err
		}
		if err := to.Add(f); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return nil
}

// duplicate is a file of a socket. Its File method would make one that net.FileListener has block for a moment, and the socket with
// it: who calls accept(2) in that moment waits for the next client, whatever deadline is set meanwhile.
func duplicate(s socket) (f *os.File, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		var other int
		if other, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			f = os.NewFile(uintptr(other), "socket")
		}
	})
	return f, errors.Join(ctlErr, os.NewSyscallError("fcntl", err))
}

// HandOver says that the paths of the input's sockets are another one's.
func (in *Input) HandOver() {
	in.handedOver.Store(true)
	for _, open := range in.open {
		if l, ok := open.(*net.UnixListener); ok {
			l.SetUnlinkOnClose(false)
		}
	}
}

// Close closes the sockets of an input that does not run.
func (in *Input) Close() {
	for _, open := range in.open {
		_ = open.Close() // nothing was read
	}
}

package source

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"kad/forwarder/internal/logmsg"

	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams one system call takes.
const batchSize = 64

// maxOrigins is how many senders are remembered at most.
const maxOrigins = 4096

// A receiver reads many datagrams by one recvmmsg(2).
type receiver struct {
	headers  [batchSize]mmsghdr
	iovecs   [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrAny
	buffers  [][]byte
	senders  map[netip.AddrPort]*logmsg.Origin
	received int
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

func newReceiver(maxSize int) *receiver {
	v := &receiver{senders: map[netip.AddrPort]*logmsg.Origin{}}
	all := make([]byte, batchSize*maxSize)
	for i := range batchSize {
		buf := all[i*maxSize : (i+1)*maxSize]
		v.buffers = append(v.buffers, buf)
		v.iovecs[i].Base = &buf[0]
		v.iovecs[i].SetLen(maxSize)
		h := &v.headers[i].hdr
		h.Iov = &v.iovecs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
	}
	return v
}

// receive waits for datagrams and takes what is there.
func (v *receiver) receive(raw syscall.RawConn) error {
	var errno syscall.Errno
	err := raw.Read(func(fd uintptr) bool {
		for i := range v.headers {
			v.headers[i].hdr.Namelen = unix.SizeofSockaddrAny
		}
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&v.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		errno, v.received = e, int(n)
		return e != unix.EAGAIN && e != unix.EINTR
	})
	if err != nil {
		return err
	}
	if errno != 0 {
		return os.NewSyscallError("recvmmsg", errno)
	}
	return nil
}

// sender is the address from which datagram i came.
func (v *receiver) sender(i int) netip.AddrPort {
	switch v.names[i].Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(&v.names[i]))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), 0)
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(&v.names[i]))
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), 0)
	}
	return netip.AddrPort{}
}

// read takes datagrams through the log paths until ctx ends.
func (u *udp) read(ctx context.Context, conn *net.UDPConn) {
	local := addrPort(conn.LocalAddr())
	u.datagrams(ctx, conn, u.maxSize, func(from netip.AddrPort) *logmsg.Origin { return u.origin(from, local) })
}

// A rawConn is a socket.
type rawConn interface {
	SyscallConn() (syscall.RawConn, error)
}

// datagrams takes the datagrams of a socket through the log paths until ctx ends.
func (in *Input) datagrams(ctx context.Context, conn rawConn, maxSize int, origin func(netip.AddrPort) *logmsg.Origin) {
	raw, err := conn.SyscallConn()
	if err != nil {
		in.Logger.Error("socket cannot be read", "error", err)
		return
	}
	r, v := in.newReader(), newReceiver(maxSize)
	defer r.end()
	for {
		err := v.receive(raw)
		if err != nil && ctx.Err() != nil {
			return
		}
		if err != nil {
			in.Logger.Warn("datagrams are not received", "error", err)
			continue
		}
		r.begin()
		for i := range v.received {
			from := v.sender(i)
			r.origin = v.senders[from]
			if r.origin == nil {
				if len(v.senders) >= maxOrigins {
					clear(v.senders)
				}
				r.origin = origin(from)
				v.senders[from] = r.origin
			}
			if frame := bytes.TrimRight(v.buffers[i][:v.headers[i].len], "\n\x00"); len(frame) > 0 {
				r.handle(frame)
			}
		}
		r.flush()
	}
}

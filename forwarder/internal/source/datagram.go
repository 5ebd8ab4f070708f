package source

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
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
		errno = v.take(fd)
		return errno != unix.EAGAIN && errno != unix.EINTR
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("recvmmsg", errno)
	}
	return err
}

// receiveRest takes what is there without waiting; nothing is no error.
func (v *receiver) receiveRest(raw syscall.RawConn) error {
	var errno syscall.Errno
	err := raw.Control(func(fd uintptr) { errno = v.take(fd) })
	if errno != 0 {
		v.received = 0
	}
	if err == nil && errno != 0 && errno != unix.EAGAIN {
		err = os.NewSyscallError("recvmmsg", errno)
	}
	return err
}

func (v *receiver) take(fd uintptr) syscall.Errno {
	for i := range v.headers {
		v.headers[i].hdr.Namelen = unix.SizeofSockaddrAny
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&v.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	v.received = int(n)
	return errno
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

// datagrams takes the datagrams of a socket through the log paths until ctx ends, and then those that the kernel has for us
// already.
func (in *Input) datagrams(ctx context.Context, conn rawConn, maxSize int, origin func(netip.AddrPort) *logmsg.Origin) {
	raw, err := conn.SyscallConn()
	if err != nil {
		in.Logger.Error("socket cannot be read", "error", err)
		return
	}
	d := &datagrams{reader: in.newReader(), receiver: newReceiver(maxSize), describe: origin}
	defer d.end()
	for {
		err := d.receive(raw)
		switch {
		case err != nil && ctx.Err() != nil:
			d.rest(raw)
			return
		case err != nil:
			in.tell(&in.onsets.receive, "datagrams are not received", "error", err)
			time.Sleep(time.Millisecond) // it may fail at once again
			continue
		}
		d.handleAll()
		if d.received == batchSize {
			in.watchDrops()
		}
	}
}

// datagrams are what is read of one socket.
type datagrams struct {
	*reader
	*receiver
	describe func(netip.AddrPort) *logmsg.Origin
}

// rest takes what is there, for as long as a source that stops may read.
func (d *datagrams) rest(raw syscall.RawConn) {
	for end := time.Now().Add(d.options.leaveTimeout); time.Now().Before(end); {
		if err := d.receiveRest(raw); err != nil || d.received == 0 {
			return
		}
		d.handleAll()
	}
}

// handleAll takes what was received through the log paths.
func (d *datagrams) handleAll() {
	d.begin()
	for i := range d.received {
		from := d.sender(i)
		d.origin = d.senders[from]
		if d.origin == nil {
			if len(d.senders) >= maxOrigins {
				clear(d.senders)
			}
			d.origin = d.describe(from)
			d.senders[from] = d.origin
		}
		h := &d.headers[i]
		if h.hdr.Flags&unix.MSG_TRUNC != 0 {
			d.counts.truncated++
		}
		if frame := bytes.TrimRight(d.buffers[i][:h.len], "\n\x00"); len(frame) > 0 {
			d.handle(frame)
		}
	}
	d.flush()
}

// A dropCounter counts the datagrams that the kernel drops because a socket's buffer is full.
type dropCounter struct {
	raw syscall.RawConn

	mu    sync.Mutex // guards what follows
	last  uint32     // as the kernel counts, since the socket was made
	total uint64     // since we have it
}

// socketDrops is SK_MEMINFO_DROPS: where SO_MEMINFO has the number that SO_RXQ_OVFL would put beside each datagram.
const socketDrops = 8

func newDropCounter(raw syscall.RawConn) *dropCounter {
	d := &dropCounter{raw: raw}
	d.last, _ = d.ask()
	return d
}

func (d *dropCounter) ask() (n uint32, ok bool) {
	var info [socketDrops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	err := d.raw.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		ok = errno == 0 && size == uint32(unsafe.Sizeof(info))
	})
	return info[socketDrops], ok && err == nil
}

// count is the number as of now, or as it was when the socket was closed.
func (d *dropCounter) count() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.ask(); ok {
		d.total += uint64(n - d.last)
		d.last = n
	}
	return d.total
}

// watchDrops logs when the kernel begins to drop datagrams.
func (in *Input) watchDrops() {
	var n uint64
	for _, d := range in.drops {
		n += d.count()
	}
	if n > in.dropped.Swap(n) {
		in.tell(&in.onsets.drops, "the kernel drops datagrams, the socket's buffer is full", "dropped", n)
	}
}

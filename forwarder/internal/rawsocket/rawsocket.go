// Package rawsocket reads and writes sockets, and asks about them, without telling Go's scheduler, and without waiting.
//
// Before a system call that may last, the scheduler prepares for giving its processor to another goroutine, and wakes the thread
// that watches over that, if it sleeps. At a low rate it always does: it is woken, and then looks twice, for each read. That is
// more than the read costs. A call that cannot wait needs none of it.
//
// The calls have MSG_DONTWAIT, so they do not wait whatever the mode of the socket is, and no thread is kept longer than the kernel
// copies. Where nothing is to be had they return EAGAIN; [syscall.RawConn] is for waiting.
//
// # Safety
//
// What the kernel gets are the addresses of the first element of a slice that is not empty, with its length, and of a Msghdr, a TCPInfo
// or a number of Go. They are made in the expression of the call, as the rules of package unsafe have it for system calls (its
// pattern 4), so that what they point to lives, and stays where it is, until the call returns. The addresses in a Msghdr and its Iovecs
// are pointers of Go. The kernel keeps none after the call.
package rawsocket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxBuffers is how many buffers are sent at once (sendmsg(2), UIO_MAXIOV).
const maxBuffers = 1024

// Receive reads what there is, up to the length of b, which is not empty. 0 is the end of a stream.
func Receive(fd uintptr, b []byte) (n int, err error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// TCPInfo fills what the kernel knows of a connection, as far as it knows it: tcp(7), TCP_INFO.
func TCPInfo(fd uintptr, info *unix.TCPInfo) error {
	size := uint32(unsafe.Sizeof(*info))
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Send writes of the buffers, one after the other, what there is room for, and returns how many bytes those are.
func Send(fd uintptr, buffers [][]byte) (n int, err error) {
	var few [16]unix.Iovec
	vector := few[:0]
	for _, b := range buffers {
		if len(b) == 0 {
			continue
		}
		if len(vector) == maxBuffers {
			break
		}
		part := unix.Iovec{Base: &b[0]}
		part.SetLen(len(b))
		vector = append(vector, part)
	}
	if len(vector) == 0 {
		return 0, nil
	}
	message := unix.Msghdr{Iov: &vector[0]}
	message.SetIovlen(len(vector))
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&message)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

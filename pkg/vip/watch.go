package vip

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// settle is the least time between two lists: a burst of events costs one list each
// settle, while the first event after a quiet time is listed at once.
const settle = 10 * time.Millisecond

// Watch calls changed with the addresses of the network namespace ns (see List), and with
// the new list after each change, until ctx ends; then it returns nil. Changes that follow
// each other within 10 ms may come as one. It keeps the namespace alive meanwhile.
// changed may keep the slice, but must not change it.
func Watch(ctx context.Context, ns string, changed func([]Address)) error {
	var h *netlink.Handle
	var ev *events
	err := inNamespace(ns, func() (err error) {
		if ev, err = subscribe(); err != nil {
			return err
		}
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if ev != nil {
		defer ev.Close()
	}
	if err != nil {
		return err
	}
	defer h.Close()
	defer context.AfterFunc(ctx, func() { ev.SetReadDeadline(time.Unix(0, 1)) })()

	var last []Address
	for ctx.Err() == nil {
		addrs, err := list(h)
		torn := errors.Is(err, netlink.ErrDumpInterrupted)
		if err != nil && !torn {
			return err
		}
		if !torn && (last == nil || !slices.Equal(addrs, last)) {
			changed(addrs)
			last = addrs
		}
		select {
		case <-ctx.Done():
		case <-time.After(settle):
		}
		if torn {
			continue
		}
		if err := ev.wait(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("wait for address changes: %w", err)
		}
	}
	return nil
}

// events is a netlink socket that hears of changes to addresses and interfaces. What they
// say is not read: a list after them is right also when the kernel had to drop some.
type events struct{ *os.File }

func subscribe() (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	const groups = unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_LINK // links: names
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return &events{os.NewFile(uintptr(fd), "netlink")}, nil
}

// wait returns when at least one event has come, with all of them taken off the socket.
// ENOBUFS says that some were dropped, and is an event.
func (e *events) wait() error {
	conn, err := e.SyscallConn()
	if err != nil {
		return err
	}
	var buf [4096]byte // cuts longer messages, which is fine
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		for got := false; ; got = true {
			_, _, failed = unix.Recvfrom(int(fd), buf[:], 0)
			switch failed {
			case nil, unix.ENOBUFS, unix.EINTR:
			case unix.EAGAIN:
				failed = nil
				return got
			default:
				return true
			}
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// onDeath calls do in a goroutine when the process ends, at once when it has ended already, and
// never after ctx ends. The error is that the kernel cannot tell (pidfd_open(2), Linux 5.3).
func onDeath(ctx context.Context, pid int, do func()) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		go do()
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	unix.SetNonblock(fd, true) // so that the runtime polls it
	f := os.NewFile(uintptr(fd), "pidfd")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer f.Close()
		defer stop()
		if raw.Read(ended) == nil {
			do()
		}
	}()
	return nil
}

// ended reports whether the process of a pidfd has: it becomes readable then.
func ended(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}

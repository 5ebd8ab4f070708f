package vip

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNamespace calls open with the thread in the network namespace ns. Sockets opened
// there stay there; the thread comes back.
func inNamespace(ns string, open func() error) error {
	if ns == "" {
		return open()
	}
	target, err := netns.GetFromPath(ns)
	if err != nil {
		return namespaceError(ns, err)
	}
	defer target.Close()
	done := make(chan error)
	go func() { done <- visit(ns, target, open) }()
	return <-done
}

// visit runs on a goroutine of its own: when the way back is shut, the goroutine stays
// locked to its thread and the thread ends with it instead of serving others.
func visit(ns string, target netns.NsHandle, open func() error) error {
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return namespaceError("our own", err)
	}
	defer own.Close()
	if own.Equal(target) { // needs no privilege
		runtime.UnlockOSThread()
		return open()
	}
	if err := netns.Set(target); err != nil {
		runtime.UnlockOSThread()
		return namespaceError(ns, err)
	}
	err = open()
	if netns.Set(own) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// namespaceError keeps what errors.Is looks for, without the path twice.
func namespaceError(ns string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("network namespace %s: not a network namespace: %w", ns, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("network namespace %s: %w, entering it needs root", ns, err)
	}
	return fmt.Errorf("network namespace %s: %w", ns, err)
}

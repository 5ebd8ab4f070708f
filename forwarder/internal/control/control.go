// Package control is the control socket of a forwarder that runs, and its client: HTTP over a unix socket. Handler has what
// can be asked.
package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"kad/forwarder/internal/option"
)

// Listen binds the socket, for its owner and for a group, by default that of the process.
func Listen(path, group string) (net.Listener, error) {
	_, gid, err := option.LookupOwner("", group)
	if err != nil {
		return nil, fmt.Errorf("control_group: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close() // it was only to see whether somebody listens
		return nil, fmt.Errorf("%s is in use by another process", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o660)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// checkProbe returns a probe of ADDR=FILE: it sends a message with a mark to ADDR and passes
// when the mark arrives in FILE. ADDR is HOST:PORT for TCP, or has udp:// or unix:// before it
// (the latter a path, of a datagram socket such as /dev/log).
func checkProbe(value string, _ setting) (probe, error) {
	address, file, ok := strings.Cut(value, "=")
	if !ok || file == "" {
		return nil, errors.New("want ADDR=FILE")
	}
	network, rest, ok := strings.Cut(address, "://")
	if !ok {
		network, rest = "tcp", address
	}
	switch network {
	case "tcp", "udp":
		if err := validAddress(rest); err != nil {
			return nil, err
		}
	case "unix":
		network = "unixgram"
	default:
		return nil, fmt.Errorf("unknown protocol %q, want tcp, udp or unix", network)
	}
	return detached(func(ctx context.Context) (int, error) {
		arrivals, err := follow(file)
		if err != nil {
			return 0, err
		}
		mark := fmt.Sprintf("kad-track-%016x", rand.Uint64())
		if err := send(ctx, network, rest, mark); err != nil {
			return 0, err
		}
		if err := arrivals.await(ctx, mark); err != nil {
			return 0, fmt.Errorf("sent, but has not arrived in %s: %w", file, err)
		}
		return 0, nil
	}), nil
}

// send writes one message in the form that every syslog daemon takes (RFC 3164), with the
// priority syslog.info.
func send(ctx context.Context, network, address, mark string) error {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conn, "<46>%s %s kad-track[%d]: probe %s\n",
		time.Now().Format(time.Stamp), host, os.Getpid(), mark)
	return cause(err)
}

// tail reads what is appended to a file, also when the file is made or replaced meanwhile.
type tail struct {
	path   string
	info   fs.FileInfo // of the file that offset belongs to; nil before there is one
	offset int64
	last   []byte // the end of what was read, where a mark may have begun
}

// follow returns a tail of what comes after now.
func follow(path string) (*tail, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &tail{path: path}, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return &tail{path: path, info: info, offset: info.Size()}, nil
}

// await returns when mark has come, or an error when ctx ends before.
func (t *tail) await(ctx context.Context, mark string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if found, err := t.read([]byte(mark)); found || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// read reads on to the end of the file and reports whether mark was there.
func (t *tail) read(mark []byte) (bool, error) {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if t.info == nil || !os.SameFile(t.info, info) || info.Size() < t.offset {
		t.offset, t.last = 0, nil
	}
	t.info = info
	chunk := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(chunk, t.offset)
		t.offset += int64(n)
		text := append(t.last, chunk[:n]...)
		if bytes.Contains(text, mark) {
			return true, nil
		}
		t.last = bytes.Clone(text[max(0, len(text)-len(mark)):])
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

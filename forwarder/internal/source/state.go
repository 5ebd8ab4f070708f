package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A state is a file that tells a source, when it starts, how far it was: JSON, replaced as a whole. It is locked: nobody else
// has it meanwhile. A nil one keeps nothing.
type state struct {
	path string
	lock *os.File
}

// openState opens the one of a source that reads from what is named, when nobody else has it: at a reload that is the source
// before. When ctx ends first the state is nil.
func openState(ctx context.Context, dir, source, named string, logger *slog.Logger) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-%08x.json", url.PathEscape(source), crc32.ChecksumIEEE([]byte(named))))
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(5*time.Second, func() { logger.Warn("somebody else has the state of this source, it waits", "file", path) })
	defer late.Stop()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &state{path, lock}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(os.NewSyscallError("flock", err), lock.Close())
		}
		select {
		case <-ctx.Done():
			return nil, lock.Close()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// load reads the state into what v points to, which stays as it is if there is none yet. Damage is an error.
func (s *state) load(v any) error {
	if s == nil {
		return nil
	}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if err = json.Unmarshal(data, v); err != nil {
			err = fmt.Errorf("%s: %w", s.path, err)
		}
	}
	return err
}

// save replaces the state: whatever happens, the file has the one before or this one.
func (s *state) save(v any) error {
	if s == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temporary := s.path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, s.path)
}

func (s *state) close() {
	if s != nil {
		_ = s.lock.Close() // nothing was written to it
	}
}

package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// File reads files and what is appended to them. A file that is replaced or cut is read from its beginning.
type File struct {
	Common
	Path       string          `toml:"path"` // with a pattern in its last part
	FollowFreq option.Duration `toml:"follow_freq"`
	ReadOld    bool            `toml:"read_old_records"` // from the beginning when no position is known
}

func newFile(g *option.Globals) Driver {
	return &File{Common: common(g), FollowFreq: option.Duration(time.Second), ReadOld: true}
}

// Init checks the options.
func (f *File) Init() error {
	if f.Path == "" {
		return option.Errorf("path", "the path of a file is required")
	}
	if _, err := filepath.Match(filepath.Base(f.Path), ""); err != nil {
		return option.Errorf("path", "%q is not a pattern", f.Path)
	}
	if f.FollowFreq < option.Duration(time.Millisecond) {
		return option.Errorf("follow_freq", "%v is below the minimum 1ms", time.Duration(f.FollowFreq))
	}
	return f.Common.Init()
}

// Open makes ready; the files need not be there yet.
func (f *File) Open(in *Input) (Runner, error) {
	return &follower{Input: in, options: f, files: map[string]*followed{}}, nil
}

// A follower looks at its files at intervals.
type follower struct {
	*Input
	options *File
	files   map[string]*followed
	failed  string // the last error that was logged
}

// A followed file is read as far as its last whole line.
type followed struct {
	*os.File
	inode  uint64
	offset int64 // of what is handled
	buf    []byte
	framer syslog.Framer
}

// Run follows until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	r := f.newReader()
	defer r.end()
	tick := time.NewTicker(time.Duration(f.options.FollowFreq))
	defer tick.Stop()
	old := f.options.ReadOld
	for {
		f.look(ctx, r, old)
		old = true // a file that appears later is new
		select {
		case <-ctx.Done():
			for _, file := range f.files {
				_ = file.Close() // it was only read
			}
			return nil
		case <-tick.C:
		}
	}
}

// look reads what is new.
func (f *follower) look(ctx context.Context, r *reader, old bool) {
	names, _ := filepath.Glob(f.options.Path) // Init has checked the pattern
	if len(names) == 0 {
		names = []string{f.options.Path}
	}
	for _, name := range names {
		if err := f.follow(ctx, r, name, old); err != nil && !errors.Is(err, fs.ErrNotExist) && err.Error() != f.failed {
			f.failed = err.Error()
			f.Logger.Warn("file cannot be read", "error", err)
		}
	}
}

func (f *follower) follow(ctx context.Context, r *reader, name string, old bool) error {
	r.file = []byte(name)
	info, err := os.Stat(name)
	file := f.files[name]
	if file != nil && (err != nil || inode(info) != file.inode) {
		readErr := file.read(ctx, r) // what was appended before it was replaced
		delete(f.files, name)
		file.end(r)
		if err := errors.Join(readErr, file.Close()); err != nil {
			return err
		}
		file = nil
	}
	if err != nil {
		return err
	}
	if file == nil {
		h, err := os.Open(name)
		if err != nil {
			return err
		}
		file = &followed{File: h, inode: inode(info), framer: syslog.Framer{MaxSize: f.options.LogMsgSize}}
		if !old {
			file.offset = info.Size()
		}
		f.files[name] = file
	}
	if info.Mode().IsRegular() && info.Size() < file.offset+int64(len(file.buf)) { // it was cut
		file.offset, file.buf = 0, nil
	}
	return file.read(ctx, r)
}

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// read handles all whole lines that are there.
func (f *followed) read(ctx context.Context, r *reader) error {
	for ctx.Err() == nil {
		start := len(f.buf)
		f.buf = append(f.buf, make([]byte, readSize)...)
		n, err := f.ReadAt(f.buf[start:], f.offset+int64(start))
		f.buf = f.buf[:start+n]
		r.begin()
		used, frameErr := r.frames(&f.framer, f.buf)
		r.flush()
		f.offset += int64(used)
		f.buf = append(f.buf[:0], f.buf[used:]...)
		switch {
		case frameErr != nil:
			return frameErr
		case n == 0 || errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// end handles a last line without an end.
func (f *followed) end(r *reader) {
	if last := f.framer.Last(f.buf); len(last) > 0 {
		r.begin()
		r.handle(last)
		r.flush()
	}
}

// Stdin reads standard input to its end.
type Stdin struct{ Common }

// Open makes ready.
func (s *Stdin) Open(in *Input) (Runner, error) { return &stdin{in, s}, nil }

type stdin struct {
	*Input
	options *Stdin
}

// Run reads to the end, or until ctx ends.
func (s *stdin) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		r := s.newReader()
		defer r.end()
		done <- r.stream(os.Stdin, syslog.Framer{MaxSize: s.options.LogMsgSize})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // a read of a terminal cannot be ended, the process will
		return nil
	}
}

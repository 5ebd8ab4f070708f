package destination

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/template"
)

// File writes to a file, or to many whose names are made from the messages.
type File struct {
	Common
	Path       *template.Template `toml:"path"`
	CreateDirs bool               `toml:"create_dirs"`
	Perm       option.Mode        `toml:"perm"`
	DirPerm    option.Mode        `toml:"dir_perm"`
	Owner      string             `toml:"owner"`
	Group      string             `toml:"group"`
	Fsync      bool               `toml:"fsync"`
	RotateSize option.Size        `toml:"rotate_size"` // 0: never
	RotateAge  option.Duration    `toml:"rotate_age"`  // 0: never
	RotateKeep int                `toml:"rotate_keep"` // old files that stay
	TimeReap   option.Duration    `toml:"time_reap"`   // an unused file is closed

	LocalZone option.Zone `toml:"local_time_zone"` // of times in the path; none: that of the stamp

	uid, gid int
}

func newFile(g *option.Globals) Driver {
	return &File{
		Common: common(g), CreateDirs: g.CreateDirs, Perm: g.Perm, DirPerm: g.DirPerm, Owner: g.Owner, Group: g.Group,
		RotateKeep: 5, TimeReap: option.Duration(time.Minute), LocalZone: g.LocalTimeZone,
	}
}

// Init checks the options.
func (f *File) Init() (err error) {
	if f.Path == nil || f.Path.String() == "" {
		return option.Errorf("path", "the path of a file is required")
	}
	if f.RotateKeep < 1 {
		return option.Errorf("rotate_keep", "%d is below the minimum 1", f.RotateKeep)
	}
	if f.uid, f.gid, err = option.LookupOwner(f.Owner, f.Group); err != nil {
		return err
	}
	return f.Common.Init()
}

// Format says how a message is written.
func (f *File) Format() Format {
	format := Format{Append: f.text(false)}
	if _, ok := f.Path.Literal(); !ok {
		format.Key, format.KeyZone = f.Path.Append, f.LocalZone.Location
	}
	return format
}

// Connect makes ready for the files, which are opened when they are needed.
func (f *File) Connect(_ context.Context, logger *slog.Logger) (Conn, error) {
	literal, _ := f.Path.Literal()
	return &files{options: f, literal: literal, logger: logger, open: map[string]*file{}}, nil
}

// files are those that are open.
type files struct {
	options *File
	literal string // the path, if it is not made from messages
	logger  *slog.Logger
	open    map[string]*file
	reaped  time.Time
	dropper
}

type file struct {
	*os.File
	size   int64
	opened time.Time
	used   time.Time
}

// Write writes each batch to its file. A name that leads out of its directory is refused, and what was for it is lost.
func (f *files) Write(batches []*queue.Batch) error {
	now := time.Now()
	for _, b := range batches {
		name := f.literal
		if name == "" {
			name = b.Key
		}
		if strings.Contains(name, "../") || strings.Contains(name, "/..") || strings.ContainsRune(name, 0) {
			f.logger.Warn("file name from a message is refused", "path", name)
			f.drop(badName, len(b.Ends))
			continue
		}
		if err := f.write(name, b.Data, now); f.literal == "" && isName(err) {
			f.logger.Warn("file name from a message cannot be opened", "path", name, "error", err)
			f.drop(badName, len(b.Ends))
		} else if err != nil {
			return err
		}
		b.Data = b.Data[:0] // the rest comes again if another file fails
	}
	f.reap(now)
	return nil
}

// isName tells whether the name itself is what is wrong: other files must not wait for it.
func isName(err error) bool {
	for _, reason := range []error{syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ENOENT, syscall.EACCES, syscall.ELOOP, syscall.EINVAL} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

func (f *files) write(name string, data []byte, now time.Time) error {
	file, err := f.file(name, now)
	if err != nil {
		return err
	}
	n, err := file.Write(data)
	file.size += int64(n)
	if err != nil {
		// what was written of the batch is taken back, since the batch comes again
		return errors.Join(err, file.Truncate(file.size-int64(n)))
	}
	if f.options.Fsync {
		return file.Sync()
	}
	return nil
}

// file is the open file of a name, rotated if it is time.
func (f *files) file(name string, now time.Time) (*file, error) {
	file := f.open[name]
	if file == nil {
		var err error
		if file, err = f.options.openFile(name, now); err != nil {
			return nil, err
		}
		f.open[name] = file
	}
	file.used = now
	o := f.options
	tooLong := o.RotateSize > 0 && file.size >= int64(o.RotateSize)
	tooOld := o.RotateAge > 0 && file.size > 0 && now.Sub(file.opened) >= time.Duration(o.RotateAge)
	if !tooLong && !tooOld {
		return file, nil
	}
	delete(f.open, name)
	if err := errors.Join(file.Close(), rotate(name, o.RotateKeep)); err != nil {
		return nil, err
	}
	return f.file(name, now)
}

func (f *File) openFile(name string, now time.Time) (*file, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	h, err := os.OpenFile(name, flags, fs.FileMode(f.Perm))
	if errors.Is(err, fs.ErrNotExist) && f.CreateDirs {
		if err = os.MkdirAll(filepath.Dir(name), fs.FileMode(f.DirPerm)); err == nil {
			h, err = os.OpenFile(name, flags, fs.FileMode(f.Perm))
		}
	}
	if err != nil {
		return nil, err
	}
	info, err := h.Stat()
	if err == nil && (f.uid >= 0 || f.gid >= 0) {
		err = h.Chown(f.uid, f.gid)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &file{File: h, size: info.Size(), opened: now, used: now}, nil
}

// rotate makes name.1 of name, name.2 of name.1, and so on; the oldest goes.
func rotate(name string, keep int) error {
	for i := keep; i > 1; i-- {
		old, new := fmt.Sprintf("%s.%d", name, i-1), fmt.Sprintf("%s.%d", name, i)
		if err := os.Rename(old, new); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(name, name+".1")
}

// reap closes files that were not used for a while.
func (f *files) reap(now time.Time) {
	limit := time.Duration(f.options.TimeReap)
	if now.Sub(f.reaped) < limit/2 {
		return
	}
	f.reaped = now
	for name, file := range f.open {
		if now.Sub(file.used) > limit {
			f.close(name, file)
		}
	}
}

func (f *files) close(name string, file *file) {
	if err := file.Close(); err != nil {
		f.logger.Warn("file is not closed well", "path", name, "error", err)
	}
	delete(f.open, name)
}

// Reopen closes all files: they are opened anew by their names.
func (f *files) Reopen() {
	for name, file := range f.open {
		f.close(name, file)
	}
}

// Close closes all files.
func (f *files) Close() error {
	f.Reopen()
	return nil
}

package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kad/pkg/syslog"
)

// A follower looks at its files at intervals. A file is known by its device and inode, and by a fingerprint of its beginning
// that tells whether it is still the file that was read: so it is followed when it gets another name, and read anew when it
// is cut. All files share one buffer: what is read of a line without an end is read again.
type follower struct {
	*Input
	options *File
	state   *state
	r       *reader
	buf     []byte
	files   map[fileID]*followed
	leaving []*followed // that have no name any more
	changed bool        // since the positions were saved
	failed  string      // the last error that was logged
}

// A followed file is open and read up to a position.
type followed struct {
	*os.File
	position
	size     int64     // when it was read last
	modified time.Time // then
	quiet    time.Time // leaving: since when nothing has come
}

// afterlife is how long a file without a name is followed after the last line has come: the program that writes it may know
// of the new one late.
const afterlife = 10 * time.Second

// saveInterval is how often positions are saved at most.
const saveInterval = time.Second

// Run follows until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	f.r = f.newReader()
	defer f.r.end()
	f.buf = make([]byte, max(readSize, (&syslog.Framer{MaxSize: f.options.LogMsgSize}).BufferSize()))
	saved := f.load(ctx)
	defer f.state.close()
	if ctx.Err() != nil {
		return nil
	}
	tick := time.NewTicker(time.Duration(f.options.FollowFreq))
	defer tick.Stop()
	old := f.options.ReadOld || len(saved) > 0 // where positions are known, what has none is new
	var last time.Time
	for ; ; old = true { // a file that appears later is new
		f.look(ctx, saved, old)
		if time.Since(last) >= saveInterval {
			f.save()
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			f.save()
			for _, file := range f.all() {
				_ = file.Close() // it was only read
			}
			return nil
		case <-tick.C:
		}
	}
}

// warn logs an error that is not the last one.
func (f *follower) warn(text string, err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) || err.Error() == f.failed {
		return
	}
	f.failed = err.Error()
	f.Logger.Warn(text, "error", err)
}

// load waits until nobody else has the positions, and reads them.
func (f *follower) load(ctx context.Context) map[fileID]position {
	var err error
	if f.state, err = openState(ctx, f.options.stateDir, f.Name, f.options.Path, f.Logger); err != nil {
		f.Logger.Warn("positions in files are not kept", "error", err)
	}
	saved := positions{Schema: positionsSchema}
	list := map[fileID]position{}
	if err = f.state.load(&saved); err == nil {
		list, err = saved.byID()
	}
	if err != nil {
		f.Logger.Error("positions in files are lost, read_old_records says where to begin", "error", err)
	}
	return list
}

func (f *follower) all() []*followed {
	all := append([]*followed{}, f.leaving...)
	for _, file := range f.files {
		all = append(all, file)
	}
	return all
}

func (f *follower) save() {
	if !f.changed {
		return
	}
	now := positions{Schema: positionsSchema}
	for _, file := range f.all() {
		now.Files = append(now.Files, file.position)
	}
	err := f.state.save(now)
	f.changed = err != nil
	f.warn("positions in files are not saved", err)
}

// A found file is at a name.
type found struct {
	name string
	info fs.FileInfo
}

// find returns the files that the pattern matches, in the order of their names.
func (f *follower) find() (list []found) {
	names, _ := filepath.Glob(f.options.Path) // Init has checked the pattern
	if len(names) == 0 {
		names = []string{f.options.Path}
	}
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err == nil && info.Mode().IsRegular():
			list = append(list, found{name, info})
		case err == nil && !info.IsDir():
			err = fmt.Errorf("%s is no regular file", name)
		}
		f.warn("file cannot be read", err)
	}
	return list
}

// catchUp finds the files that were moved away, or copied away and cut, while nobody followed them. What it leaves in saved has
// its name still.
func (f *follower) catchUp(saved map[fileID]position, list []found) {
	here := map[fileID]string{}
	for _, at := range list {
		here[idOf(at.info)] = at.name
	}
	for _, p := range slices.SortedFunc(maps.Values(saved), func(a, b position) int { return a.age - b.age }) {
		id := p.fileID
		name, ok := here[id]
		if ok && !p.wasCut(name) {
			continue
		}
		same, content := p.moved()
		if content == "" {
			f.Logger.Info("file has gone or was cut; if it was not read to its end, the rest is lost", "file", p.Path, "position", p.Offset)
		}
		f.recover(content, p)
		fresh := position{Path: p.Path, fileID: id}
		delete(saved, id)
		switch {
		case ok:
			saved[id] = fresh
		case same != content: // it was cut before it was moved
			f.recover(same, fresh)
		}
	}
}

// recover has a file followed that has no name of ours any more, from p on.
func (f *follower) recover(name string, p position) {
	if name == "" {
		return
	}
	file, info, err := openFile(name)
	if err != nil {
		f.warn("file cannot be read", err)
		return
	}
	p.fileID = idOf(info) // a copy has its own
	f.leaving = append(f.leaving, &followed{File: file, position: p, quiet: time.Now()})
}

// look reads what is new.
func (f *follower) look(ctx context.Context, saved map[fileID]position, old bool) {
	list := f.find()
	if len(saved) > 0 { // at first, and when one was moved in the meantime
		f.catchUp(saved, list)
	}
	gone := maps.Clone(f.files)
	var here []*followed
	for _, at := range list {
		file, err := f.at(at, saved, old)
		f.warn("file cannot be read", err)
		if file != nil {
			delete(gone, file.fileID)
			here = append(here, file)
		}
	}
	for id, file := range gone {
		file.quiet = time.Now()
		f.leaving = append(f.leaving, file)
		delete(f.files, id)
	}
	f.lookLeaving(ctx) // before those that have taken their place
	for _, file := range here {
		f.warn("file cannot be read", f.follow(ctx, file))
	}
}

// lookLeaving reads files that have no name any more.
func (f *follower) lookLeaving(ctx context.Context) {
	leaving := f.leaving
	f.leaving = nil
	for _, file := range leaving {
		before := file.Offset
		f.warn("file cannot be read", f.follow(ctx, file))
		if file.Offset != before {
			file.quiet = time.Now()
		}
		if time.Since(file.quiet) < afterlife || ctx.Err() != nil {
			f.leaving = append(f.leaving, file)
			continue
		}
		f.finish(file)
		_ = file.Close() // it was only read
	}
}

// at is the file that was found; it is opened if it is new to us. It is nil if the name is another one's meanwhile.
func (f *follower) at(at found, saved map[fileID]position, old bool) (*followed, error) {
	id := idOf(at.info)
	if file := f.files[id]; file != nil {
		return file, nil
	}
	h, info, err := openFile(at.name)
	if err != nil {
		return nil, err
	}
	if idOf(info) != id {
		return nil, h.Close()
	}
	file := &followed{File: h, position: position{Path: at.name, fileID: id}}
	if p, ok := saved[id]; ok {
		file.position, file.Path = p, at.name
		delete(saved, id)
	} else if !old {
		err = file.skip(h, info.Size())
	}
	f.files[id] = file
	f.changed = true
	return file, err
}

// follow reads a file if it has changed.
func (f *follower) follow(ctx context.Context, file *followed) error {
	info, err := file.Stat()
	if err != nil || info.Size() == file.size && info.ModTime().Equal(file.modified) {
		return err
	}
	if !file.isOf(file.File, info) { // it was cut
		_, content := file.moved()
		f.recover(content, file.position)
		f.lookLeaving(ctx)
		file.position = position{Path: file.Path, fileID: file.fileID}
	}
	if err := f.read(ctx, file); err != nil {
		return err
	}
	file.size, file.modified = info.Size(), info.ModTime()
	return nil
}

// read handles all whole lines that are there.
func (f *follower) read(ctx context.Context, file *followed) error {
	f.r.file = []byte(file.Path)
	for ctx.Err() == nil {
		n, err := file.ReadAt(f.buf, file.Offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		framer := syslog.Framer{MaxSize: f.options.LogMsgSize, KeepEmpty: f.options.header.EmptyLines}
		f.r.begin()
		used, _ := f.r.frames(&framer, f.buf[:n]) // lines have no errors
		f.r.flush()
		if used > 0 {
			f.changed = true
			file.advance(f.buf[:used])
		}
		if n < len(f.buf) {
			return nil
		}
	}
	return ctx.Err()
}

// finish handles a last line without an end.
func (f *follower) finish(file *followed) {
	n, _ := file.ReadAt(f.buf, file.Offset) // what cannot be read any more is lost
	if last := (&syslog.Framer{}).Last(f.buf[:n]); len(last) > 0 {
		f.r.file = []byte(file.Path)
		f.r.begin()
		f.r.handle(last)
		f.r.flush()
	}
	f.changed = true
}

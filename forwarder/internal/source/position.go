package source

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A fileID is a file while it exists.
type fileID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

func idOf(info fs.FileInfo) fileID {
	s, _ := info.Sys().(*syscall.Stat_t) // it is one on Linux
	return fileID{uint64(s.Dev), s.Ino}
}

// A position is how far a file is handled: up to there its messages are in the queues of their destinations.
type position struct {
	Path string `json:"path"`
	fileID
	Offset      int64  `json:"offset"`
	Length      int64  `json:"length"`      // of the beginning that has the fingerprint, at most fingerprintSize
	Fingerprint uint32 `json:"fingerprint"` // CRC-32C

	age int // the older the lower, as the state has them
}

// positions is the state of a file source.
type positions struct {
	Schema int        `json:"schema"`
	Files  []position `json:"files"`
}

const positionsSchema = 1

// byID are the positions by their files. What cannot have been saved is an error.
func (p positions) byID() (map[fileID]position, error) {
	if p.Schema != positionsSchema {
		return nil, fmt.Errorf("schema %d is not known", p.Schema)
	}
	list := map[fileID]position{}
	for i, f := range p.Files {
		f.age = i
		if f.Offset < 0 || f.Length < 0 || f.Length > min(f.Offset, fingerprintSize) {
			return nil, fmt.Errorf("position %d of %s cannot be", f.Offset, f.Path)
		}
		list[f.fileID] = f
	}
	return list, nil
}

// fingerprintSize is how much of a file's beginning makes its fingerprint.
const fingerprintSize = 1024

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// advance moves p over what was read there. The fingerprint is of what was read, not of what the file has by now.
func (p *position) advance(read []byte) {
	beginning := read[:min(int64(len(read)), fingerprintSize-p.Length)]
	p.Fingerprint = crc32.Update(p.Fingerprint, castagnoli, beginning)
	p.Length += int64(len(beginning))
	p.Offset += int64(len(read))
}

// skip moves p, from the beginning, to an offset without what is before.
func (p *position) skip(file io.ReaderAt, offset int64) (err error) {
	p.Offset, p.Length = offset, min(offset, fingerprintSize)
	p.Fingerprint, err = fingerprint(file, p.Length)
	return err
}

// isBeginning tells whether a file begins as the one of p.
func (p *position) isBeginning(file io.ReaderAt) bool {
	sum, err := fingerprint(file, p.Length)
	return err == nil && sum == p.Fingerprint
}

func fingerprint(file io.ReaderAt, length int64) (uint32, error) {
	var b [fingerprintSize]byte
	if _, err := file.ReadAt(b[:length], 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return crc32.Checksum(b[:length], castagnoli), nil
}

// isOf tells whether an open file begins as the one of p and has what p counts: whether it was not cut, or is a copy.
func (p *position) isOf(file *os.File, info fs.FileInfo) bool {
	return info.Size() >= p.Offset && p.isBeginning(file)
}

// hasContent is isOf for the file of that name. What cannot be read has not.
func (p *position) hasContent(name string) bool {
	file, info, err := openFile(name)
	if err != nil {
		return false
	}
	defer file.Close()
	return p.isOf(file, info)
}

// wasCut tells whether the file of p, which has that name, has no longer what was read of it. When it cannot be told now, it
// was not.
func (p *position) wasCut(name string) bool {
	file, info, err := openFile(name)
	if err != nil {
		return false
	}
	defer file.Close()
	return idOf(info) == p.fileID && !p.isOf(file, info)
}

// openFile opens a file that is only read.
func openFile(name string) (*os.File, fs.FileInfo, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// moved looks for what p describes beside its path, among the names that begin as its own: the same file, and the one that
// has what was read, which is the same, or its newest copy if the file was cut since. Empty: there is none.
func (p *position) moved() (same, content string) {
	dir, base := filepath.Split(p.Path)
	entries, _ := os.ReadDir(filepath.Clean(dir)) // else there is nothing to find
	var newest time.Time
	for _, e := range entries {
		name := dir + e.Name()
		info, err := e.Info()
		if err != nil || e.Name() == base || !strings.HasPrefix(e.Name(), base) || !info.Mode().IsRegular() {
			continue
		}
		isSame, hasContent := idOf(info) == p.fileID, false
		if isSame || p.Length > 0 {
			hasContent = p.hasContent(name)
		}
		switch {
		case isSame && hasContent:
			return name, name
		case isSame:
			same = name
		case hasContent && info.ModTime().After(newest):
			content, newest = name, info.ModTime()
		}
	}
	return same, content
}

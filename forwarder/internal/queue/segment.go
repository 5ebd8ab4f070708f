package queue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	segmentMagic   = "kadqueue"
	segmentVersion = 1
	segmentSuffix  = ".segment"
	recordMark     = "\xd8kad"
	recordHeader   = 32
	positionMagic  = "kadqpos1"
	positionFile   = "position"
	lockFile       = "lock"
	quarantineDir  = "quarantine"
	temporary      = ".tmp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A file is an *os.File, or one that fails in a test.
type file interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

type osFile struct{ *os.File }

// Sync writes the data and what is needed to read it, not the time stamps.
func (f osFile) Sync() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func openFile(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// syncDir makes names in a directory outlive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A segment is a file of records.
type segment struct {
	path  string
	first uint64 // number of its first message
	end   uint64 // no message in it has this number or a later one
	salt  uint32
	size  int64 // bytes that hold records, and the header
	start int64 // of the records
	file  file  // nil: it is not appended to
}

// parseName reads the name of a segment.
func parseName(name string) (first uint64, salt uint32, ok bool) {
	base, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(base) != 25 {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(base, "%016x-%08x", &first, &salt)
	return first, salt, err == nil && n == 2 && base == fmt.Sprintf("%016x-%08x", first, salt)
}

// listSegments finds the segments of a directory, in order. Their ends are guessed from what follows.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, e := range entries {
		first, salt, ok := parseName(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // acknowledged since
		}
		if err != nil {
			return nil, err
		}
		list = append(list, &segment{path: filepath.Join(dir, e.Name()), first: first, salt: salt, size: info.Size()})
	}
	// one without records may have the first number of the next one
	slices.SortStableFunc(list, func(a, b *segment) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.size, b.size)) })
	for i, s := range list[:max(0, len(list)-1)] {
		s.end = list[i+1].first
	}
	return list, nil
}

// createSegment makes a segment whose name is on the disk.
func createSegment(o *Options, first uint64) (*segment, error) {
	s := &segment{first: first, end: first, salt: rand.Uint32()}
	s.path = filepath.Join(o.dir, fmt.Sprintf("%016x-%08x%s", first, s.salt, segmentSuffix))
	header := appendHeader(nil, o.name, time.Now())
	s.size, s.start = int64(len(header)), int64(len(header))
	if err := s.create(o, header); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *segment) create(o *Options, header []byte) (err error) {
	f, err := o.open(s.path+temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), remove(s.path+temporary), remove(s.path))
		}
	}()
	if _, err := f.WriteAt(header, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(s.path+temporary, s.path); err != nil {
		return err
	}
	s.file = f
	return syncDir(o.dir)
}

// remove removes a file that may not be there.
func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func appendHeader(b []byte, name string, now time.Time) []byte {
	b = append(b, segmentMagic...)
	sum := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, segmentVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(now.UnixNano()))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	binary.LittleEndian.PutUint32(b[sum:], crc32.Checksum(b[sum+4:], castagnoli))
	return b
}

const (
	fixedHeader = 26
	maxHeader   = fixedHeader + 1<<16
)

// A header is what stands at the begin of a segment.
type header struct {
	name    string
	created time.Time
	size    int64
}

var errHeader = errors.New("the header is damaged")

// parseHeader reads the header of a segment. Records can be read without it.
func parseHeader(b []byte) (header, error) {
	if len(b) < fixedHeader || string(b[:8]) != segmentMagic {
		return header{}, errHeader
	}
	end := fixedHeader + int(binary.LittleEndian.Uint16(b[24:]))
	if len(b) < end || crc32.Checksum(b[12:end], castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return header{}, errHeader
	}
	if v := binary.LittleEndian.Uint32(b[12:]); v != segmentVersion {
		return header{}, fmt.Errorf("version %d of the format, want %d", v, segmentVersion)
	}
	return header{string(b[fixedHeader:end]), time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:]))), int64(end)}, nil
}

// A record is a batch as it lies in a segment.
type record struct {
	first uint64 // number of the first message
	time  int64
	count int // of the messages
	key   []byte
	sizes []byte // of the messages, varints
	data  []byte
}

func (r *record) end() uint64 { return r.first + uint64(r.count) }

// appendRecord writes a batch.
func appendRecord(dst []byte, b *Batch, first uint64, salt uint32, now int64) []byte {
	start := len(dst)
	dst = append(dst, recordMark...)
	dst = append(dst, make([]byte, recordHeader-len(recordMark))...)
	dst = binary.AppendUvarint(dst, uint64(len(b.Ends)))
	dst = binary.AppendUvarint(dst, uint64(len(b.Key)))
	last := 0
	for _, end := range b.Ends {
		dst = binary.AppendUvarint(dst, uint64(end-last))
		last = end
	}
	dst = append(append(dst, b.Key...), b.Data...)
	head, body := dst[start:start+recordHeader], dst[start+recordHeader:]
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(body)))
	binary.LittleEndian.PutUint64(head[16:], first)
	binary.LittleEndian.PutUint64(head[24:], uint64(now))
	binary.LittleEndian.PutUint32(head[4:], headSum(head, salt))
	return dst
}

// recordSize is at least the size of b as a record.
func recordSize(b *Batch) int64 {
	const most = 3 // bytes of the size of a message below 2 MiB; longer ones weigh more than their size
	return recordHeader + 2*binary.MaxVarintLen32 + most*int64(len(b.Ends)) + int64(len(b.Key)+len(b.Data))
}

func headSum(head []byte, salt uint32) uint32 {
	return crc32.Update(salt, castagnoli, head[8:recordHeader])
}

var (
	errShort  = errors.New("ends in the middle of a record")
	errRecord = errors.New("no record")
	errBody   = errors.New("the body of the record is damaged")
)

// parseRecord reads the record at the begin of b. With errShort, b ends before the record does; with errBody, size is that
// of the record, whose body alone is damaged.
func parseRecord(b []byte, salt uint32, r *record) (size int, err error) {
	if len(b) < recordHeader {
		return 0, errShort
	}
	head := b[:recordHeader]
	if string(head[:4]) != recordMark || headSum(head, salt) != binary.LittleEndian.Uint32(head[4:]) {
		return 0, errRecord
	}
	size = recordHeader + int(binary.LittleEndian.Uint32(head[12:]))
	if len(b) < size {
		return size, errShort
	}
	body := b[recordHeader:size]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
		return size, errBody
	}
	r.first, r.time = binary.LittleEndian.Uint64(head[16:]), int64(binary.LittleEndian.Uint64(head[24:]))
	if !r.parseBody(body) {
		return size, errBody
	}
	return size, nil
}

func (r *record) parseBody(b []byte) bool {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return false
	}
	b = b[n:]
	key, n := binary.Uvarint(b)
	if n <= 0 || key > uint64(len(b)) {
		return false
	}
	b = b[n:]
	r.count = int(count)
	total, sizes := uint64(0), b
	for range r.count {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(sizes)) {
			return false
		}
		total += size
		b = b[n:]
	}
	r.sizes = sizes[:len(sizes)-len(b)]
	if uint64(len(b)) != key+total {
		return false
	}
	r.key, r.data = b[:key], b[key:]
	return true
}

// appendTo adds the messages to a batch.
func (r *record) appendTo(b *Batch) {
	end, sizes := len(b.Data), r.sizes
	for range r.count {
		size, n := binary.Uvarint(sizes)
		sizes = sizes[n:]
		end += int(size)
		b.Ends = append(b.Ends, end)
	}
	b.Data = append(b.Data, r.data...)
}

// damage is the length of what lies at the begin of b before the next record. b has no record at its begin; it goes to the
// end of the segment.
func damage(b []byte, salt uint32) int {
	for at := 1; ; at++ {
		next := bytes.Index(b[min(at, len(b)):], []byte(recordMark))
		if next < 0 {
			return len(b)
		}
		at += next
		if len(b)-at >= recordHeader && headSum(b[at:at+recordHeader], salt) == binary.LittleEndian.Uint32(b[at+4:]) {
			return at
		}
	}
}

// extent is the length of the damage at the begin of b, which goes to the end of the segment. The other arguments are of
// parseRecord.
func extent(b []byte, size int, salt uint32, err error) int {
	switch {
	case errors.Is(err, errBody):
		return size
	case errors.Is(err, errShort):
		return len(b) // a length that passes the checksum is right: nothing follows
	}
	return damage(b, salt)
}

// walk calls each for the records in b, which goes from offset to the end of the segment, and bad for what is damaged
// between them. It returns how many bytes at the end are part of a record that was not written wholly.
func walk(b []byte, offset int64, salt uint32, each func(offset int64, size int, r *record), bad func(offset int64, b []byte)) (torn int) {
	var r record
	for len(b) > 0 {
		size, err := parseRecord(b, salt, &r)
		switch {
		case err == nil:
			each(offset, size, &r)
		case errors.Is(err, errShort) || isZero(b):
			return len(b)
		default:
			size = extent(b, size, salt, err)
			bad(offset, b[:size])
		}
		b, offset = b[size:], offset+int64(size)
	}
	return 0
}

func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// readPosition reads the number of the oldest message that is not acknowledged. Without a position it is 0.
func readPosition(dir string) (uint64, error) {
	b, err := os.ReadFile(filepath.Join(dir, positionFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) != 20 || string(b[:8]) != positionMagic || crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, errPosition
	}
	return binary.LittleEndian.Uint64(b[8:]), nil
}

var errPosition = errors.New("the position is damaged: what is left is sent from its begin")

func writePosition(o *Options, position uint64) (err error) {
	b := append(make([]byte, 0, 20), positionMagic...)
	b = binary.LittleEndian.AppendUint64(b, position)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	name := filepath.Join(o.dir, positionFile)
	f, err := o.open(name+temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(name+temporary, name)
}

// removeTemporary removes what a crash has left.
func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), temporary) {
			err = errors.Join(err, remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// quarantine keeps bytes that are no record, under the name of their segment and their offset in it.
func quarantine(s *segment, offset int64, b []byte) error {
	dir := filepath.Join(filepath.Dir(s.path), quarantineDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	name := fmt.Sprintf("%s.%d", strings.TrimSuffix(filepath.Base(s.path), segmentSuffix), offset)
	return os.WriteFile(filepath.Join(dir, name), b, 0o600)
}

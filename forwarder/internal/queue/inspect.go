package queue

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// A Status is what the directory of a queue has. It is read without the lock, while a forwarder may work there.
type Status struct {
	Name        string    `json:"name"` // of the queue; empty: it has no segment that tells it
	Directory   string    `json:"directory"`
	Segments    int       `json:"segments"`
	Bytes       int64     `json:"bytes"`            // of the segments
	Messages    int       `json:"messages"`         // that are not acknowledged, as far as the position is saved
	Oldest      time.Time `json:"oldest,omitzero"`  // when the oldest segment was made; zero: there is none
	Quarantined int64     `json:"quarantine_bytes"` // set aside since they are no record
	Damage      []Damage  `json:"damage,omitempty"`
}

// Damage is bytes of a segment that are no record.
type Damage struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Bytes  int    `json:"bytes"`
}

// A Message is one as it lies in a queue.
type Message struct {
	Number       uint64
	Written      time.Time
	Key          string
	Data         []byte // as it is sent; good until the next one
	Acknowledged bool
}

// List finds the directories of queues in dir, the Dir of Options.
func List(dir string) (queues []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(path, lockFile)); err == nil {
			queues = append(queues, path)
		}
	}
	return queues, nil
}

// Inspect reads the whole queue in a directory that List found. It calls each, if there is one, for its messages, those too
// that are acknowledged and still there.
func Inspect(directory string, each func(m Message) error) (Status, error) {
	s := Status{Directory: directory}
	position, err := readPosition(directory)
	if errors.Is(err, errPosition) {
		s.Damage = append(s.Damage, Damage{File: filepath.Join(directory, positionFile)})
	} else if err != nil {
		return s, err
	}
	segments, err := listSegments(directory)
	if err != nil {
		return s, err
	}
	for i, segment := range segments {
		b, err := os.ReadFile(segment.path)
		if errors.Is(err, os.ErrNotExist) {
			continue // acknowledged since
		}
		if err != nil {
			return s, err
		}
		if err := s.add(segment, b, position, i == len(segments)-1, each); err != nil {
			return s, err
		}
	}
	entries, err := os.ReadDir(filepath.Join(directory, quarantineDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			s.Quarantined += info.Size()
		}
	}
	return s, nil
}

// add reads a segment.
func (s *Status) add(segment *segment, b []byte, position uint64, last bool, each func(m Message) error) error {
	s.Segments++
	s.Bytes += int64(len(b))
	start := 0
	if h, err := parseHeader(b); err == nil {
		start = int(h.size)
		s.Name = h.name
		if s.Oldest.IsZero() {
			s.Oldest = h.created
		}
	} else if !errors.Is(err, errHeader) {
		return err
	}
	var failed error
	damaged := func(offset int64, b []byte) {
		s.Damage = append(s.Damage, Damage{segment.path, offset, len(b)})
	}
	torn := walk(b[start:], int64(start), segment.salt, func(_ int64, _ int, r *record) {
		if r.end() > position {
			s.Messages += r.count
		}
		if each != nil && failed == nil {
			failed = r.dump(position, each)
		}
	}, damaged)
	if torn > 0 && !last { // the last one may be written just now
		damaged(int64(len(b)-torn), b[len(b)-torn:])
	}
	return failed
}

func (r *record) dump(position uint64, each func(m Message) error) error {
	b := Get(0)
	defer Put(b)
	r.appendTo(b)
	m := Message{Number: r.first, Written: time.Unix(0, r.time), Key: string(r.key), Acknowledged: r.end() <= position}
	start := 0
	for _, end := range b.Ends {
		m.Data = b.Data[start:end]
		if err := each(m); err != nil {
			return err
		}
		start = end
		m.Number++
	}
	return nil
}

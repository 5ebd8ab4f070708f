package queue

import (
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Path is the directory of a queue.
func Path(dir, name string) string {
	base := url.PathEscape(name)
	if strings.HasPrefix(base, ".") {
		base = "%2E" + base[1:]
	}
	return filepath.Join(dir, base)
}

// fetch reads what comes next into front, and tells whether the disk could be read. It unlocks meanwhile.
func (q *Disk) fetch() bool {
	at, limit := q.read, q.read.segment.size
	if at.offset >= limit {
		q.turn()
		return true
	}
	q.mu.Unlock()
	c := &chunk{at: at, limit: limit, damaged: q.damaged}
	q.reading.Lock()
	err := q.load(c)
	q.reading.Unlock()
	q.mu.Lock()
	if q.read != at { // the segment was dropped
		return true
	}
	if q.report("read", err); err != nil {
		return false
	}
	q.advance(c.entries...)
	q.read, q.damaged = c.at, c.damaged
	q.waiting -= c.skipped
	q.lost += c.lost
	if c.lost > 0 {
		q.logger.Error("disk buffer is damaged, messages are lost", "messages", c.lost)
	}
	return true
}

// turn goes on with the next segment.
func (q *Disk) turn() {
	number := q.written
	i := slices.Index(q.segments, q.read.segment) + 1
	if i < len(q.segments) {
		s := q.segments[i]
		number = max(q.read.number, min(s.first, q.written))
		q.read.segment, q.read.offset = s, s.start
	}
	skipped := int(number - q.read.number)
	q.waiting -= skipped
	if q.damaged {
		q.lost += skipped
		q.damaged = false
	}
	q.read.number = number
}

// A chunk is what was read at once.
type chunk struct {
	at      place // after it
	limit   int64
	entries []*entry
	damaged bool // there is damage before at
	skipped int  // numbers of no message
	lost    int  // of them, those of messages that were damaged
}

// load reads records until there are enough.
func (q *Disk) load(c *chunk) error {
	b, err := q.readAt(c, readSize)
	var r record
	for err == nil && len(b) > 0 {
		size, bad := parseRecord(b, c.at.segment.salt, &r)
		rest := int(c.limit - c.at.offset)
		switch {
		case bad == nil:
			c.add(&r)
		case errors.Is(bad, errShort) && len(b) < rest && size <= rest:
			if len(c.entries) > 0 {
				return nil
			}
			b, err = q.readAt(c, max(size, readSize))
			continue
		default:
			if b, err = q.readAt(c, rest); err != nil {
				return err
			}
			size = extent(b, size, c.at.segment.salt, bad)
			c.damaged = true
			q.setAside(c.at.segment, c.at.offset, b[:size])
		}
		b = b[size:]
		c.at.offset += int64(size)
	}
	return err
}

// add takes a record, and joins it to the one before if both are small.
func (c *chunk) add(r *record) {
	if r.end() <= c.at.number {
		return // acknowledged
	}
	if r.first > c.at.number {
		skipped := int(r.first - c.at.number)
		c.skipped += skipped
		if c.damaged {
			c.lost += skipped
		}
	}
	c.damaged, c.at.number = false, r.end()
	if n := len(c.entries); n > 0 {
		if e := c.entries[n-1]; e.end() == r.first && e.Key == string(r.key) && len(e.Data)+len(r.data) <= mergeSize {
			r.appendTo(e.Batch)
			e.size += recordHeader + int64(len(r.data))
			return
		}
	}
	b := Get(len(r.data))
	b.Key, b.Received = string(r.key), time.Unix(0, r.time)
	r.appendTo(b)
	c.entries = append(c.entries, &entry{Batch: b, first: r.first, size: recordHeader + int64(len(r.data)), written: true})
}

// readAt reads up to n bytes at c. Pages that the disk has lost are zero, unless it has lost all.
func (q *Disk) readAt(c *chunk, n int) ([]byte, error) {
	n = min(n, int(c.limit-c.at.offset))
	if cap(q.buffer) < n || cap(q.buffer) > maxScratch {
		q.buffer = make([]byte, max(n, readSize))
	}
	b := q.buffer[:n]
	if err := q.openSource(c.at.segment); err != nil {
		return nil, err
	}
	got, err := q.source.ReadAt(b, c.at.offset)
	if err == nil {
		return b, nil
	}
	if errors.Is(err, io.EOF) { // somebody has cut it
		clear(b[got:])
		return b, nil
	}
	alive := false
	for at := 0; at < n; {
		offset := c.at.offset + int64(at)
		page := b[at:min(n, at+pageSize-int(offset%pageSize))]
		at += len(page)
		if _, err := q.source.ReadAt(page, offset); err != nil {
			clear(page)
		} else {
			alive = true
		}
	}
	if alive {
		return b, nil
	}
	return nil, err
}

// openSource opens the segment that is read.
func (q *Disk) openSource(s *segment) error {
	if q.sourceOf == s {
		return nil
	}
	if err := q.closeSource(); err != nil {
		return err
	}
	f, err := q.options.open(s.path, os.O_RDONLY)
	if err == nil {
		q.source, q.sourceOf = f, s
	}
	return err
}

// leave closes the segment that is read if it is one of old.
func (q *Disk) leave(old []*segment) error {
	q.reading.Lock()
	defer q.reading.Unlock()
	if q.sourceOf == nil || !slices.Contains(old, q.sourceOf) {
		return nil
	}
	return q.closeSource()
}

func (q *Disk) closeSource() (err error) {
	if q.source != nil {
		err = q.source.Close()
	}
	q.source, q.sourceOf = nil, nil
	return err
}

// setAside puts damage into quarantine.
func (q *Disk) setAside(s *segment, offset int64, b []byte) {
	q.logger.Error("disk buffer is damaged", "file", s.path, "offset", offset, "bytes", len(b))
	if isZero(b) {
		return
	}
	if err := quarantine(s, offset, b); err != nil {
		q.logger.Error("damage is not kept in quarantine", "file", s.path, "offset", offset, "error", err)
	}
}

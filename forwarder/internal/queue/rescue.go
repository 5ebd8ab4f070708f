package queue

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// openIdle opens a queue in dir that no forwarder works with, to change what it has.
func openIdle(dir, name string, logger *slog.Logger) (*Disk, error) {
	if _, err := os.Stat(Path(dir, name)); err != nil {
		return nil, err
	}
	o := &Options{Dir: dir, Reliable: true, Capacity: math.MaxInt64}
	if err := o.Init(); err != nil {
		return nil, err
	}
	return Open(name, o, logger)
}

// Adopt moves what the queue from has, in order, to the end of the queue to, and removes from: when a destination got
// another name. Both are in dir, and neither may be in use.
func Adopt(dir, from, to string, logger *slog.Logger) (moved int, err error) {
	target, err := openIdle(dir, to, logger)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	source, err := openIdle(dir, from, logger)
	if err != nil {
		return 0, err
	}
	moved, err = source.moveTo(target)
	if err = errors.Join(err, source.Close()); err != nil || source.Len() > 0 {
		return moved, err
	}
	err = remove(filepath.Join(source.options.dir, lockFile))
	if err == nil && !exists(filepath.Join(source.options.dir, quarantineDir)) {
		err = remove(source.options.dir)
	}
	return moved, err
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func (q *Disk) moveTo(target *Disk) (moved int, err error) {
	q.Drain()
	for {
		batches := q.Next(readSize)
		if len(batches) == 0 {
			return moved, nil
		}
		for _, b := range batches {
			if err := target.rescue(&Batch{Key: b.Key, Data: slices.Clone(b.Data), Ends: slices.Clone(b.Ends)}); err != nil {
				return moved, err
			}
			moved += len(b.Ends)
			q.Ack(1)
		}
	}
}

// rescue appends b, or tells why that is not possible.
func (q *Disk) rescue(b *Batch) error {
	if q.Append(b) == 0 {
		return nil
	}
	return fmt.Errorf("queue %s: %s", q.options.name, q.failing["written"])
}

// Requeue appends the messages of damaged records to their queue, and removes from quarantine what it could read. One byte
// of them may be wrong: the checksum of their record was. It tells how many files stay, since nothing in them can be read.
func Requeue(dir, name string, logger *slog.Logger) (messages, left int, err error) {
	q, err := openIdle(dir, name, logger)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	entries, err := os.ReadDir(filepath.Join(q.options.dir, quarantineDir))
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil
	}
	for _, e := range entries {
		file := filepath.Join(q.options.dir, quarantineDir, e.Name())
		b, err := os.ReadFile(file)
		if err != nil {
			return messages, left, err
		}
		batches := salvage(b)
		for _, b := range batches {
			n := len(b.Ends)
			if err := q.rescue(b); err != nil {
				return messages, left, err
			}
			messages += n
		}
		if len(batches) == 0 {
			left++
		} else if err := remove(file); err != nil {
			return messages, left, err
		}
	}
	return messages, left, err
}

// salvage reads records without regard to their checksums, where the sizes of their messages fit.
func salvage(b []byte) (batches []*Batch) {
	for len(b) > recordHeader {
		end := len(b)
		if next := bytes.Index(b[recordHeader:], []byte(recordMark)); next >= 0 {
			end = recordHeader + next
		}
		var r record
		if r.parseBody(b[recordHeader:end]) && r.count > 0 {
			batch := Get(0)
			batch.Key = string(r.key)
			r.appendTo(batch)
			batches = append(batches, batch)
		}
		b = b[end:]
	}
	return batches
}

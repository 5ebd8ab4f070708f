package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An exportReader reads entries in the journal export format (systemd, docs/JOURNAL_EXPORT_FORMATS.md): a field is
//
//	NAME=text LF
//	NAME LF, 8 bytes of length, least first, bytes, LF
//
// and an empty line ends an entry. Longer values are cut to maxValue, and what is beyond maxEntry or maxFields of an entry is
// left out, so that an entry has a bounded size.
type exportReader struct {
	*bufio.Reader
	maxValue int

	fields []exportField
	buf    []byte // has the values
	cut    uint64 // fields that were cut or left out
}

// An exportField is a field of an entry. Its value is good until the next one is read.
type exportField struct {
	name  string
	value []byte
}

// The bounds of an entry.
const (
	maxName   = 255 // bytes; journald takes 64
	maxFields = 1024
	maxEntry  = 8 << 20
)

func newExportReader(r io.Reader, maxValue int) *exportReader {
	return &exportReader{Reader: bufio.NewReaderSize(r, readSize), maxValue: maxValue}
}

// next reads an entry, which has at least one field. At the end of the stream the error is io.EOF, within an entry
// io.ErrUnexpectedEOF.
func (e *exportReader) next() ([]exportField, error) {
	e.fields, e.buf = e.fields[:0], e.buf[:0]
	for {
		more, err := e.field()
		switch {
		case errors.Is(err, io.EOF) && len(e.fields) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case !more && len(e.fields) > 0:
			return e.fields, nil
		}
	}
}

// field reads a field, or the end of an entry.
func (e *exportReader) field() (more bool, err error) {
	name, end, err := e.name()
	if err != nil || name == "" {
		return false, err
	}
	at := len(e.buf)
	if end == '=' {
		err = e.text()
	} else {
		err = e.bytes()
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return false, err
	}
	if len(e.fields) == maxFields || at >= maxEntry {
		e.cut++
		e.buf = e.buf[:at]
		return true, nil
	}
	e.fields = append(e.fields, exportField{name, e.buf[at:len(e.buf):len(e.buf)]})
	return true, nil
}

// name reads the name of a field and what ends it; an empty line has none.
func (e *exportReader) name() (name string, end byte, err error) {
	var b [maxName]byte
	for n := 0; ; n++ {
		c, err := e.ReadByte()
		switch {
		case err != nil && n > 0 && errors.Is(err, io.EOF):
			return "", 0, io.ErrUnexpectedEOF
		case err != nil:
			return "", 0, err
		case c == '\n' && n == 0:
			return "", c, nil
		case (c == '=' || c == '\n') && n > 0:
			return string(b[:n]), c, nil
		case n == maxName || c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z'):
			return "", 0, fmt.Errorf("%q is no name of a journal field", append(b[:n:n], c))
		}
		b[n] = c
	}
}

// text reads a value to the end of its line.
func (e *exportReader) text() error {
	at, isCut := len(e.buf), false
	for {
		part, err := e.ReadSlice('\n')
		part = bytes.TrimSuffix(part, []byte("\n"))
		room := e.maxValue - (len(e.buf) - at)
		if len(part) > room {
			part = part[:room]
			isCut = true
		}
		e.buf = append(e.buf, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if isCut {
			e.cut++
		}
		return err
	}
}

// bytes reads a value with its length.
func (e *exportReader) bytes() error {
	var size [8]byte
	if _, err := io.ReadFull(e, size[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > 1<<40 {
		return fmt.Errorf("a journal field of %d bytes", n)
	}
	keep := int(min(n, uint64(e.maxValue)))
	at := len(e.buf)
	e.buf = append(e.buf, make([]byte, keep)...)
	if _, err := io.ReadFull(e, e.buf[at:]); err != nil {
		return err
	}
	if rest := int64(n) - int64(keep); rest > 0 {
		e.cut++
		if _, err := io.CopyN(io.Discard, e, rest); err != nil {
			return err
		}
	}
	if c, err := e.ReadByte(); err != nil || c != '\n' {
		return errors.Join(err, errors.New("a journal field has no end"))
	}
	return nil
}

// Package relp has the frames and the session of RELP, the Reliable Event Logging Protocol, version 1 (librelp, doc/relp.md):
// a client sends commands, each with a transaction number, and the server answers each one with a response of that number.
// [Reader] takes a stream apart, [Client] is the one side and [Session] the other.
package relp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// MaxNumber is the largest number in a header. The transaction after that one is number 1.
const MaxNumber = 999_999_999

// maxCommand is the length of the longest name.
const maxCommand = 32

// MaxHeader is the size of the longest header, with the blank behind it.
const MaxHeader = 9 + 1 + maxCommand + 1 + 9 + 1

// A Frame is a command or a response:
//
//	FRAME = TXNR SP COMMAND SP DATALEN [SP DATA] LF
type Frame struct {
	Txnr    int // transaction number; 0: a hint, which is not answered
	Command []byte
	Data    []byte
	Cut     int // bytes of data that followed and were too many
}

// Append appends a frame.
func Append(dst []byte, txnr int, command string, data []byte) []byte {
	return append(append(AppendHeader(dst, txnr, command, len(data)), data...), '\n')
}

// AppendHeader appends what stands before the data, and before the newline that ends the frame.
func AppendHeader(dst []byte, txnr int, command string, size int) []byte {
	dst = append(strconv.AppendInt(dst, int64(txnr), 10), ' ')
	dst = append(append(dst, command...), ' ')
	dst = strconv.AppendInt(dst, int64(size), 10)
	if size > 0 {
		dst = append(dst, ' ')
	}
	return dst
}

// Next is the number of the transaction after txnr.
func Next(txnr int) int { return txnr%MaxNumber + 1 }

// A SyntaxError is a byte that cannot stand where it does. The stream cannot be read on.
type SyntaxError struct {
	Offset int64 // in the stream
	Found  byte
	Want   string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("relp: byte %d is %q, want %s", e.Offset, e.Found, e.Want)
}

// How much is read at once: as much as waits, up to the greater size.
const readSize, maxReadSize = 64 << 10, 256 << 10

// A Reader reads frames.
type Reader struct {
	from       io.Reader
	maxData    int
	buf        []byte
	begin, end int
	offset     int64 // of begin in the stream
	full       bool  // the last read filled buf
	skip       int   // bytes of data to be passed over, and the newline after them
	skipped    Frame // which frame that is of
}

// NewReader makes a reader that gives maxData bytes of a frame's data at most, and passes over what follows.
func NewReader(from io.Reader, maxData int) *Reader {
	return &Reader{from: from, maxData: maxData, buf: make([]byte, max(readSize, 2*(MaxHeader+maxData+1)))}
}

// Fill reads once. The frames that Next gave before are overwritten.
func (r *Reader) Fill() error {
	if r.full && len(r.buf) < maxReadSize {
		larger := make([]byte, 2*len(r.buf))
		r.end = copy(larger, r.buf[r.begin:r.end])
		r.buf, r.begin = larger, 0
	} else if r.begin > 0 {
		r.end = copy(r.buf, r.buf[r.begin:r.end])
		r.begin = 0
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	r.full = r.end == len(r.buf)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // it comes again
	}
	return err
}

// Next returns the next frame of what was read; ok tells whether there is a whole one.
func (r *Reader) Next() (f Frame, ok bool, err error) {
	if r.skip > 0 {
		return r.pass()
	}
	b := r.buf[r.begin:r.end]
	f, data, size, bad := parse(b)
	if bad != nil {
		bad.Offset += r.offset
		return Frame{}, false, bad
	}
	switch {
	case data == 0:
		return Frame{}, false, nil
	case size > r.maxData && len(b)-data >= r.maxData:
		f.Data, f.Cut = b[data:data+r.maxData], size-r.maxData
		r.skip, r.skipped = f.Cut+1, f
		r.advance(data + r.maxData)
		if f, ok, err = r.pass(); !ok { // it goes on in the next read
			r.skipped.Command, r.skipped.Data = bytes.Clone(r.skipped.Command), bytes.Clone(r.skipped.Data)
		}
		return f, ok, err
	case size > r.maxData || len(b) <= data+size:
		return Frame{}, false, nil
	case b[data+size] != '\n':
		return Frame{}, false, &SyntaxError{r.offset + int64(data+size), b[data+size], "a newline at the end of the data"}
	}
	f.Data = b[data : data+size : data+size]
	r.advance(data + size + 1)
	return f, true, nil
}

// pass goes over data that is too long.
func (r *Reader) pass() (f Frame, ok bool, err error) {
	n := min(r.skip, r.end-r.begin)
	last := n == r.skip
	if last && r.buf[r.begin+n-1] != '\n' {
		return Frame{}, false, &SyntaxError{r.offset + int64(n-1), r.buf[r.begin+n-1], "a newline at the end of the data"}
	}
	r.skip -= n
	r.advance(n)
	if !last {
		return Frame{}, false, nil
	}
	return r.skipped, true, nil
}

func (r *Reader) advance(n int) {
	r.begin += n
	r.offset += int64(n)
}

// parse reads a header at the begin of b. The data begins at data, 0 if b ends before that, and has so many bytes.
func parse(b []byte) (f Frame, data, size int, err *SyntaxError) {
	txnr, i, err := number(b, 0)
	if err != nil || i == len(b) {
		return Frame{}, 0, 0, err
	}
	if b[i] != ' ' {
		return Frame{}, 0, 0, &SyntaxError{int64(i), b[i], "a blank after the transaction number"}
	}
	start := i + 1
	for i = start; i < len(b) && isLetter(b[i]) && i-start < maxCommand; i++ {
	}
	if i == len(b) {
		return Frame{}, 0, 0, nil
	}
	if b[i] != ' ' || i == start {
		return Frame{}, 0, 0, &SyntaxError{int64(i), b[i], "a command of 1 to 32 letters"}
	}
	f = Frame{Txnr: txnr, Command: b[start:i:i]}
	size, i, err = number(b, i+1)
	if err != nil || i == len(b) {
		return Frame{}, 0, 0, err
	}
	if size == 0 {
		return f, i, 0, nil // the newline follows
	}
	if b[i] != ' ' {
		return Frame{}, 0, 0, &SyntaxError{int64(i), b[i], "a blank before the data"}
	}
	return f, i + 1, size, nil
}

// number reads the digits at i and returns where they end.
func number(b []byte, i int) (n, end int, err *SyntaxError) {
	start := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9' && i-start < 9; i++ {
		n = 10*n + int(b[i]-'0')
	}
	if i == start && i < len(b) {
		return 0, i, &SyntaxError{int64(i), b[i], "a number of 1 to 9 digits"}
	}
	return n, i, nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

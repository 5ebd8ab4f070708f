package syslog

import (
	"bytes"
	"fmt"
	"strconv"
)

// Framing is how messages are told apart in a byte stream (RFC 6587, section 3.4).
type Framing uint8

// The kinds of framing.
const (
	// Newline ends a message with LF; NUL ends one too, and a CR before the end is left out.
	Newline Framing = iota
	// OctetCounting puts the length of a message and a blank before it.
	OctetCounting
	// Detect takes a stream for octet counting if it begins with a number, a blank and "<", else for Newline.
	Detect
)

// DefaultMaxSize is the greatest length of a message unless another is set.
const DefaultMaxSize = 65536

// maxCountDigits is the greatest number of digits of a frame's length.
const maxCountDigits = 10

// A Framer finds the frames of one stream. Whatever the pieces in which the stream arrives, the frames are the same.
type Framer struct {
	Framing Framing
	// MaxSize is the greatest length of a message in bytes; zero: DefaultMaxSize. With Newline a longer line is cut into
	// messages of that size, with OctetCounting it is an error. Not less than 16 with Detect.
	MaxSize int
	// Trim cuts a longer message of OctetCounting to MaxSize and drops its rest.
	Trim bool
	// KeepEnd leaves the newline at the end of a line that nothing else ends, and that is not empty.
	KeepEnd bool
	// KeepEmpty makes messages of empty lines.
	KeepEmpty bool
	// Cut counts the times that a message was cut.
	Cut uint64

	scanned int    // bytes at the beginning of the buffer that are known to hold no end of line
	skip    uint64 // bytes that remain of a trimmed message
}

// BufferSize is the least size of the caller's buffer with which each frame fits.
func (f *Framer) BufferSize() int { return f.maxSize() + maxCountDigits + 1 }

func (f *Framer) maxSize() int {
	if f.MaxSize > 0 {
		return f.MaxSize
	}
	return DefaultMaxSize
}

// A FrameError says why a stream cannot be read on: its frames are lost from here.
type FrameError struct {
	Header []byte // the beginning of the frame, a part of the buffer
	Size   uint64 // the length it announced; zero: it is not a number
	Max    int
}

func (e *FrameError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("frame header %q is not a length and a blank", e.Header)
	}
	return fmt.Sprintf("frame of %d bytes is longer than the greatest message, %d", e.Size, e.Max)
}

// Next finds the first frame in b, the bytes of the stream that are not used up yet. It returns the message and how many
// bytes of b are used up; empty messages are passed over, unless they are to be kept. A nil message asks for more bytes: call again with the rest of b
// and what came after it. An error, a *FrameError, is final.
func (f *Framer) Next(b []byte) (msg []byte, used int, err error) {
	if f.Framing == Detect && !f.detect(b) {
		return nil, 0, nil
	}
	if f.Framing == OctetCounting {
		return f.nextCounted(b)
	}
	for {
		n := f.nextLine(b[used:])
		if n == 0 {
			return nil, used, nil
		}
		line := b[used : used+n]
		msg = trimEnd(line)
		used += n
		if f.KeepEnd && len(msg) == n-1 && n > 1 && line[n-1] == '\n' {
			msg = line
		}
		if len(msg) > 0 || f.KeepEmpty {
			return msg, used, nil
		}
	}
}

// Last returns the message in b, the rest of a stream that has ended. Lines need no end there; an unfinished frame of octet
// counting is no message.
func (f *Framer) Last(b []byte) []byte {
	if f.Framing == OctetCounting {
		return nil
	}
	return trimEnd(b)
}

// nextLine returns how many bytes the first line of b has, its end included, 0 if it is not complete.
func (f *Framer) nextLine(b []byte) int {
	window := b[:min(len(b), f.maxSize())]
	end := len(window)
	if i := bytes.IndexByte(window[f.scanned:], '\n'); i >= 0 {
		end = f.scanned + i
	}
	if i := bytes.IndexByte(window[f.scanned:end], 0); i >= 0 {
		end = f.scanned + i
	}
	if end < len(window) {
		f.scanned = 0
		return end + 1
	}
	if end < f.maxSize() {
		f.scanned = end
		return 0
	}
	f.scanned = 0
	f.Cut++
	return end
}

// trimEnd leaves out what ends a line.
func trimEnd(line []byte) []byte {
	for len(line) > 0 {
		if c := line[len(line)-1]; c != '\n' && c != '\r' && c != 0 {
			break
		}
		line = line[:len(line)-1]
	}
	return line
}

// detect settles the framing; false: it takes more bytes.
func (f *Framer) detect(b []byte) bool {
	i := 0
	for i < len(b) && i < maxCountDigits && isDigit(b[i]) {
		i++
	}
	if i+1 >= len(b) && (i == len(b) || b[i] == ' ' && i > 0) {
		return false
	}
	if i > 0 && b[i] == ' ' && b[i+1] == '<' {
		f.Framing = OctetCounting
	} else {
		f.Framing = Newline
	}
	return true
}

func (f *Framer) nextCounted(b []byte) (msg []byte, used int, err error) {
	for {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(b)-used))
			f.skip -= n
			used += int(n)
		}
		header, size, err := scanCount(b[used:])
		if header == 0 || err != nil {
			return nil, used, err
		}
		if size > uint64(f.maxSize()) {
			if !f.Trim {
				return nil, used, &FrameError{Header: b[used : used+header], Size: size, Max: f.maxSize()}
			}
			f.skip = size - uint64(f.maxSize())
			size = uint64(f.maxSize())
		}
		end := used + header + int(size)
		if end > len(b) {
			f.skip = 0
			return nil, used, nil
		}
		if f.skip > 0 {
			f.Cut++
		}
		msg, used = b[used+header:end], end
		if size > 0 {
			return msg, used, nil
		}
	}
}

// scanCount reads a frame's length and returns how many bytes it has with its blank, 0 if it is not complete.
func scanCount(b []byte) (header int, size uint64, err error) {
	for i, c := range b {
		switch {
		case c == ' ':
			return i + 1, size, nil
		case !isDigit(c) || i == maxCountDigits:
			return 0, 0, &FrameError{Header: b[:i+1]}
		}
		size = size*10 + uint64(c-'0')
	}
	return 0, 0, nil
}

// InsertCount makes a frame of octet counting out of the message b[start:]: the length goes before it.
func InsertCount(b []byte, start int) []byte {
	var count [maxCountDigits + 1]byte
	head := append(strconv.AppendInt(count[:0], int64(len(b)-start), 10), ' ')
	b = append(b, head...)
	copy(b[start+len(head):], b[start:len(b)-len(head)])
	copy(b[start:], head)
	return b
}

// CountRoom has the room of the length that most messages have, and of its blank.
const CountRoom = "000 "

// FillCount is InsertCount where the length has CountRoom before the message already.
func FillCount(b []byte, start int) []byte {
	msg := start + len(CountRoom)
	n := len(b) - msg
	if n < 100 || n > 999 {
		return InsertCount(append(b[:start], b[msg:]...), start)
	}
	b[start], b[start+1], b[start+2] = byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10)
	return b
}

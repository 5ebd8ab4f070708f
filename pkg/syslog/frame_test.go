package syslog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// split feeds the stream in pieces, as a connection does, and returns its messages, and an error in brackets.
func split(f Framer, stream []byte, piece func() int) (messages []string) {
	var b []byte
	for {
		msg, used, err := f.Next(b)
		if msg != nil {
			messages = append(messages, string(msg))
		}
		b = b[used:]
		if err != nil {
			return append(messages, "["+err.Error()+"]")
		}
		if msg != nil {
			continue
		}
		if len(stream) == 0 {
			if msg := f.Last(b); len(msg) > 0 {
				messages = append(messages, string(msg))
			}
			return messages
		}
		n := min(piece(), len(stream))
		b = append(b, stream[:n]...)
		stream = stream[n:]
	}
}

func TestFramer(t *testing.T) {
	for _, c := range []struct {
		name   string
		framer Framer
		in     string
		want   []string
	}{
		{"lines", Framer{}, "one\ntwo\r\n\n\r\n  \nlast", []string{"one", "two", "  ", "last"}},
		{"empty lines are kept", Framer{KeepEmpty: true}, "one\n\n\r\ntwo\n", []string{"one", "", "", "two"}},
		{"the ends of lines are kept", Framer{KeepEnd: true}, "one\n\ntwo\r\nthree\x00four\n\nlast", []string{"one\n", "two", "three", "four\n", "last"}},
		{"the ends of lines and empty lines are kept", Framer{KeepEnd: true, KeepEmpty: true}, "one\n\ntwo\n", []string{"one\n", "", "two\n"}},
		{"NUL ends a line", Framer{}, "before\x00after\n\x00\x00lead\n", []string{"before", "after", "lead"}},
		{"long lines are cut", Framer{MaxSize: 4}, "1234\n12345\n12345678\n1", []string{"1234", "1234", "5", "1234", "5678", "1"}},
		{"frames", Framer{Framing: OctetCounting}, "3 one0 4 two\n", []string{"one", "two\n"}},
		{"half a frame is lost", Framer{Framing: OctetCounting}, "3 one50 two", []string{"one"}},
		{"not a length", Framer{Framing: OctetCounting}, "3 one<13>two\n", []string{"one", `[frame header "<" is not a length and a blank]`}},
		{"too many digits", Framer{Framing: OctetCounting}, "00000000003 one", []string{`[frame header "00000000003" is not a length and a blank]`}},
		{"too long a frame", Framer{Framing: OctetCounting, MaxSize: 4}, "3 one5 12345", []string{"one", "[frame of 5 bytes is longer than the greatest message, 4]"}},
		{"too long a frame, trimmed", Framer{Framing: OctetCounting, MaxSize: 4, Trim: true}, "3 one11 123456789013 two", []string{"one", "1234", "two"}},
		{"detected lines", Framer{Framing: Detect}, "<13>one\n<13>two\n", []string{"<13>one", "<13>two"}},
		{"detected lines that begin with a number", Framer{Framing: Detect}, "2023 one\n", []string{"2023 one"}},
		{"detected frames", Framer{Framing: Detect}, "7 <13>one7 <13>two", []string{"<13>one", "<13>two"}},
		{"nothing to detect", Framer{Framing: Detect}, "12 ", []string{"12 "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.in); size++ {
				got := split(c.framer, []byte(c.in), func() int { return size })
				if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
					t.Fatalf("in pieces of %d: got %q, want %q", size, got, c.want)
				}
			}
		})
	}
}

// FuzzFramer: the frames are the same however the stream is cut, and no longer than they may be.
func FuzzFramer(f *testing.F) {
	f.Add([]byte("3 one4 two\n"), []byte{1, 5}, uint8(1), uint8(10), false)
	f.Add([]byte("one\ntwo\x00three\r\n"), []byte{2}, uint8(0), uint8(3), true)
	f.Add([]byte("7 <13>one3 two"), []byte{1}, uint8(2), uint8(7), true)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, framing, maxSize uint8, trim bool) {
		framer := Framer{Framing: Framing(framing % 3), MaxSize: int(maxSize) + 16, Trim: trim}
		whole := split(framer, stream, func() int { return len(stream) })
		i := 0
		pieces := split(framer, stream, func() int {
			i++
			if len(cuts) == 0 {
				return 1
			}
			return int(cuts[i%len(cuts)])%16 + 1
		})
		if fmt.Sprintf("%q", whole) != fmt.Sprintf("%q", pieces) {
			t.Fatalf("%q as a whole is %q, in pieces %q", stream, whole, pieces)
		}
		for _, msg := range whole {
			if len(msg) > framer.maxSize() && !strings.HasPrefix(msg, "[frame") {
				t.Errorf("%q has %d bytes, want at most %d", msg, len(msg), framer.maxSize())
			}
		}
	})
}

// FuzzInsertCount: a frame holds the message it was made of.
func FuzzInsertCount(f *testing.F) {
	for _, n := range []int{1, 9, 99, 100, 999, 1000} {
		f.Add([]byte("before"), bytes.Repeat([]byte("m"), n))
	}
	f.Fuzz(func(t *testing.T, before, msg []byte) {
		if len(msg) == 0 {
			return
		}
		b := InsertCount(append(append([]byte(nil), before...), msg...), len(before))
		if filled := FillCount(append(append(append([]byte(nil), before...), CountRoom...), msg...), len(before)); string(filled) != string(b) {
			t.Errorf("%q is framed as %q, and with room for the length as %q", msg, b[len(before):], filled[len(before):])
		}
		framer := Framer{Framing: OctetCounting, MaxSize: len(msg)}
		got, used, err := framer.Next(b[len(before):])
		if string(b[:len(before)]) != string(before) || string(got) != string(msg) || used != len(b)-len(before) || err != nil {
			t.Errorf("%q is framed as %q", msg, b[len(before):])
		}
	})
}

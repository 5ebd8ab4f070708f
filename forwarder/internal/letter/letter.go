// Package letter has what waits to be published to a log that other servers keep, JetStream or Kafka: an address, headers and
// a text. Its lines are
//
//	logs.web1.sshd\nNats-Msg-Id: web1-1f2e3d4c-17\nSyslog-Facility: auth\n\n<38>1 ...
package letter

import (
	"bytes"
	"errors"
	"strings"
)

// The headers that letters to both logs have.
const (
	FacilityHeader  = "Syslog-Facility"
	SeverityHeader  = "Syslog-Severity"
	HostHeader      = "Syslog-Host"
	ProgramHeader   = "Syslog-Program"
	TruncatedHeader = "Syslog-Truncated" // bytes of the text before it was cut
	PartHeader      = "Syslog-Part"      // "2/3" of a text that was split
)

// maxValue is the length of the longest value of a header: JetStream takes 64 KiB of them all.
const maxValue = 1024

// AppendHeader appends a line of the head. Values have no line breaks then, and are cut.
func AppendHeader[T string | []byte](dst []byte, name string, value T) []byte {
	dst = append(append(dst, '\n'), name...)
	dst = append(dst, ": "...)
	start := len(dst)
	dst = append(dst, value[:min(len(value), maxValue)]...)
	for i, c := range dst[start:] {
		if c < ' ' || c == 0x7f {
			dst[start+i] = ' '
		}
	}
	return dst
}

// AppendEnd appends the end of the head.
func AppendEnd(dst []byte) []byte { return append(dst, "\n\n"...) }

// A Letter is what was taken apart.
type Letter struct {
	Address string // a subject, a topic
	Headers []Header
	Text    []byte // of the bytes that it was taken from
	Head    int    // length of what stands before the text
}

// A Header is a line of the head.
type Header struct{ Name, Value string }

// errNoLetter is said of what a queue may hold that somebody else has written.
var errNoLetter = errors.New("it has no address, headers and text")

// Parse takes a letter apart.
func Parse(b []byte) (Letter, error) {
	end := bytes.Index(b, []byte("\n\n"))
	if end < 1 {
		return Letter{}, errNoLetter
	}
	address, lines, _ := strings.Cut(string(b[:end]), "\n")
	l := Letter{Address: address, Headers: make([]Header, 0, 8), Text: b[end+2:], Head: end + 2}
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\n")
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return Letter{}, errNoLetter
		}
		l.Headers = append(l.Headers, Header{name, value})
	}
	if address == "" {
		return Letter{}, errNoLetter
	}
	return l, nil
}

package destination

import (
	"bytes"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// A Format writes messages.
type Format struct {
	// Append appends one message with its framing.
	Append func(dst []byte, m *logmsg.Message, c *template.Context) []byte
	// Key, if set, says which of several files m is for.
	Key     func(dst []byte, m *logmsg.Message, c *template.Context) []byte
	KeyZone *time.Location // of times in it; nil: that of the stamp

	IsBSD     bool // Append writes a message's Line as it is, if it has one
	IsCounted bool // messages have their length before them (RFC 6587, section 3.4.1)
}

// isBSD tells whether text(true) writes a message's Line as it is.
func (c *Common) isBSD() bool {
	return !c.syslogProtocol && c.Template == nil && c.Zone.Location == nil && c.FracDigits == 0 && c.TruncateSize <= 0 && !c.noMultiLine
}

type appendFunc = func(dst []byte, m *logmsg.Message, c *template.Context) []byte

// text is the format of files, sockets and programs: the template, or the BSD format with a newline.
func (c *Common) text(priority bool) appendFunc {
	write := appendFunc(appendLine)
	switch {
	case c.syslogProtocol:
		write = newline(c.syslog())
	case c.Template != nil:
		write = c.Template.Append
	case priority:
		write = appendBSD
	}
	return c.truncated(c.oneLine(write))
}

// truncated cuts what is longer than truncate_size.
func (c *Common) truncated(write appendFunc) appendFunc {
	if c.TruncateSize <= 0 {
		return write
	}
	return func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		size := len(dst) + int(c.TruncateSize)
		dst = write(dst, m, ctx)
		return dst[:min(len(dst), size)]
	}
}

// oneLine makes blanks of the ends of lines in a message if the flag no_multi_line says so; the last byte stays.
func (c *Common) oneLine(write appendFunc) appendFunc {
	if !c.noMultiLine {
		return write
	}
	return func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		start := len(dst)
		dst = write(dst, m, ctx)
		for line := dst[start:max(start, len(dst)-1)]; ; {
			i := bytes.IndexAny(line, "\r\n")
			if i < 0 {
				return dst
			}
			line[i] = ' '
			line = line[i+1:]
		}
	}
}

func newline(write appendFunc) appendFunc {
	return func(dst []byte, m *logmsg.Message, c *template.Context) []byte {
		return append(write(dst, m, c), '\n')
	}
}

func counted(write appendFunc) appendFunc {
	return func(dst []byte, m *logmsg.Message, c *template.Context) []byte {
		start := len(dst)
		return syslog.FillCount(write(append(dst, syslog.CountRoom...), m, c), start)
	}
}

// appendLine is the format of a log file.
func appendLine(dst []byte, m *logmsg.Message, c *template.Context) []byte {
	return appendText(c.AppendTime(dst, m.Timestamp, c.TimeFormat), m)
}

// appendText is what follows the stamp.
func appendText(dst []byte, m *logmsg.Message) []byte {
	dst = append(append(append(dst, ' '), m.Hostname...), ' ')
	dst = m.AppendHeader(dst)
	return append(append(dst, m.Msg...), '\n')
}

// appendBSD is RFC 3164, whose stamp ts_format does not change.
func appendBSD(dst []byte, m *logmsg.Message, c *template.Context) []byte {
	if c.Zone == nil && c.FracDigits == 0 { // see isBSD
		if line := m.Line(); line != nil {
			return append(dst, line...)
		}
	}
	return appendText(c.AppendTime(syslog.AppendPriority(dst, m.Priority), m.Timestamp, template.RFC3164), m)
}

const byteOrderMark = "\xef\xbb\xbf"

// syslog is RFC 5424 without framing; a template writes MSG. As syslog-ng, it puts a blank before an empty MSG. What it returns is for one goroutine.
func (c *Common) syslog() appendFunc {
	var data []byte
	return func(dst []byte, m *logmsg.Message, ctx *template.Context) []byte {
		elements := ctx.StructuredData(m)
		if c.messageID != nil {
			data = c.messageID.append(data[:0], elements)
			elements = data
		}
		dst = append(ctx.AppendRFC5424Header(dst, &m.Message, ctx.InZone(m.Timestamp), elements), ' ')
		if m.UTF8 && (c.Template != nil || len(m.Msg) > 0) {
			dst = append(dst, byteOrderMark...)
		}
		if c.Template == nil {
			return append(dst, m.Msg...)
		}
		return c.Template.Append(dst, m, ctx)
	}
}

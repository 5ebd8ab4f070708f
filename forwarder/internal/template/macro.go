package template

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/pkg/syslog"
)

// macros are those that are not about time.
var macros = map[string]macro{
	"PRI": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		return strconv.AppendUint(dst, uint64(m.Priority), 10)
	},
	"FACILITY": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		return append(dst, m.Priority.Facility().String()...)
	},
	"FACILITY_NUM": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		return strconv.AppendUint(dst, uint64(m.Priority.Facility()), 10)
	},
	"LEVEL": level, "PRIORITY": level, "SEVERITY": level,
	"LEVEL_NUM": levelNumber, "SEVERITY_NUM": levelNumber,
	"TAG": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		if m.Priority < 16 {
			dst = append(dst, '0')
		}
		return strconv.AppendUint(dst, uint64(m.Priority), 16)
	},
	"BSDTAG": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		return append(dst, '0'+byte(m.Priority.Severity()), 'A'+byte(m.Priority.Facility()))
	},
	"SOURCEIP": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		if !m.Origin.Peer.IsValid() {
			return append(dst, "127.0.0.1"...)
		}
		return m.Origin.Peer.AppendTo(dst)
	},
	"DESTIP": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		if !m.Origin.Dest.IsValid() {
			return append(dst, "127.0.0.1"...)
		}
		return m.Origin.Dest.AppendTo(dst)
	},
	"DESTPORT": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		return strconv.AppendUint(dst, uint64(m.Origin.Port), 10)
	},
	"PROTO": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		return strconv.AppendUint(dst, uint64(m.Origin.Protocol), 10)
	},
	"MSGHDR": func(dst []byte, m *logmsg.Message, c *Context) []byte {
		if c.Escape {
			return c.appendValue(dst, m.AppendHeader(nil))
		}
		return m.AppendHeader(dst)
	},
	"SDATA": func(dst []byte, m *logmsg.Message, c *Context) []byte {
		if c.Escape {
			return c.appendValue(dst, c.StructuredData(m))
		}
		if c.Sequence > 0 {
			return append(dst, c.StructuredData(m)...)
		}
		return m.AppendStructuredData(dst)
	},
	"SEQNUM": func(dst []byte, m *logmsg.Message, c *Context) []byte {
		if c.Sequence > 0 {
			return strconv.AppendUint(dst, c.Sequence, 10)
		}
		if n, err := strconv.Atoi(string(m.Value(sequenceID))); err == nil {
			dst = strconv.AppendInt(dst, int64(n), 10)
		}
		return dst
	},
	"TAGS": func(dst []byte, m *logmsg.Message, _ *Context) []byte {
		for i, tag := range m.Tags() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendItem(dst, []byte(tag), ",")
		}
		return dst
	},
	"LOGHOST":   func(dst []byte, _ *logmsg.Message, _ *Context) []byte { return append(dst, hostname()...) },
	"SYSUPTIME": func(dst []byte, _ *logmsg.Message, _ *Context) []byte { return appendUptime(dst) },
}

var sequenceID = logmsg.NameOf(logmsg.SDataPrefix + "meta.sequenceId")

// StructuredData is that of m, with the number of a message of this host (RFC 5424, section 7.3.1), if it has none yet.
func (c *Context) StructuredData(m *logmsg.Message) []byte {
	data := m.StructuredDataBytes()
	if c.Sequence == 0 || m.Value(sequenceID) != nil {
		return data
	}
	number := append(strconv.AppendUint([]byte(` sequenceId="`), c.Sequence, 10), '"')
	for p := range syslog.Params(data) {
		if string(p.ID) == "meta" {
			after := cap(data) - cap(p.ID) + len(p.ID) // p.ID is a part of data
			return slices.Concat(data[:after], number, data[after:])
		}
	}
	return slices.Concat(data, []byte("[meta"), number, []byte("]"))
}

var started = time.Now()

// appendUptime appends hundredths of a second since the start.
func appendUptime(dst []byte) []byte {
	return strconv.AppendInt(dst, int64(time.Since(started)/(10*time.Millisecond)), 10)
}

var hostname = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	name, _, _ = strings.Cut(name, ".")
	return name
})

func level(dst []byte, m *logmsg.Message, _ *Context) []byte {
	return append(dst, m.Priority.Severity().String()...)
}

func levelNumber(dst []byte, m *logmsg.Message, _ *Context) []byte {
	return append(dst, '0'+byte(m.Priority.Severity()))
}

// A clock says which of the times of a message a macro is about.
type clock func(m *logmsg.Message) syslog.Time

var clocks = map[string]clock{
	"S_": func(m *logmsg.Message) syslog.Time { return m.Timestamp },
	"R_": func(m *logmsg.Message) syslog.Time { return m.Received },
	"P_": func(*logmsg.Message) syslog.Time { return syslog.TimeOf(time.Now()) },
	"C_": func(*logmsg.Message) syslog.Time { return syslog.TimeOf(time.Now()) },
}

// stampNames are the macros that the formatter writes, which keeps the text of the last second.
var stampNames = []string{"DATE", "STAMP", "FULLDATE", "ISODATE", "UNIXTIME"}

// macroOf is the macro of a name, nil if there is none.
func macroOf(name string) macro {
	if m := macros[name]; m != nil {
		return m
	}
	at := clocks["S_"]
	if len(name) > 2 && clocks[name[:2]] != nil {
		at, name = clocks[name[:2]], name[2:]
	}
	if slices.Contains(stampNames, name) {
		return stampMacro(name, at)
	}
	write := dateParts[name]
	if write == nil {
		return nil
	}
	return func(dst []byte, m *logmsg.Message, c *Context) []byte {
		t := c.InZone(at(m))
		return write(dst, time.Unix(t.Sec+int64(t.Offset), 0).UTC(), t)
	}
}

func stampMacro(name string, at clock) macro {
	formats := map[string]TimeFormat{"DATE": RFC3164, "FULLDATE": Full, "ISODATE": RFC3339, "UNIXTIME": Unix}
	format, fixed := formats[name]
	return func(dst []byte, m *logmsg.Message, c *Context) []byte {
		if !fixed {
			return c.AppendTime(dst, at(m), c.TimeFormat)
		}
		return c.AppendTime(dst, at(m), format)
	}
}

// InZone is t in the zone of the context.
func (c *Context) InZone(t syslog.Time) syslog.Time {
	if c.Zone != nil {
		_, offset := time.Unix(t.Sec, 0).In(c.Zone).Zone()
		t.Offset = int32(offset)
	}
	return t
}

// AppendTime appends t in a format, in the zone of the context and with its digits of a second.
func (c *Context) AppendTime(dst []byte, t syslog.Time, format TimeFormat) []byte {
	t = c.InZone(t)
	switch format {
	case RFC3339:
		return c.AppendISO(dst, t)
	case Full:
		dst = strconv.AppendInt(dst, int64(t.Time().Year()), 10)
		return c.AppendBSD(append(dst, ' '), t)
	case Unix:
		dst = strconv.AppendInt(dst, t.Sec, 10)
		if c.FracDigits > 0 {
			fraction := strconv.Itoa(1_000_000 + int(t.Usec))
			dst = append(append(dst, '.'), fraction[1:1+min(c.FracDigits, 6)]...)
		}
		return dst
	}
	return c.AppendBSD(dst, t)
}

// dateParts write one part of s, of which t is the wall clock.
var dateParts = map[string]func(dst []byte, t time.Time, s syslog.Time) []byte{
	"YEAR":         func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, t.Year(), 4) },
	"YEAR_DAY":     func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, t.YearDay(), 3) },
	"MONTH":        func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, int(t.Month()), 2) },
	"MONTH_ABBREV": func(dst []byte, t time.Time, _ syslog.Time) []byte { return append(dst, t.Month().String()[:3]...) },
	"MONTH_NAME":   func(dst []byte, t time.Time, _ syslog.Time) []byte { return append(dst, t.Month().String()...) },
	"MONTH_WEEK":   func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, monthWeek(t), 1) },
	"WEEK": func(dst []byte, t time.Time, _ syslog.Time) []byte {
		return pad(dst, (t.YearDay()+6-(int(t.Weekday())+6)%7)/7, 2)
	},
	"ISOWEEK":         func(dst []byte, t time.Time, _ syslog.Time) []byte { _, w := t.ISOWeek(); return pad(dst, w, 2) },
	"WEEK_DAY":        func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, int(t.Weekday())+1, 1) },
	"WEEKDAY":         weekdayAbbrev,
	"WEEK_DAY_ABBREV": weekdayAbbrev,
	"WEEK_DAY_NAME":   func(dst []byte, t time.Time, _ syslog.Time) []byte { return append(dst, t.Weekday().String()...) },
	"DAY":             func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, t.Day(), 2) },
	"HOUR":            func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, t.Hour(), 2) },
	"HOUR12":          func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, (t.Hour()+11)%12+1, 2) },
	"AMPM":            func(dst []byte, t time.Time, _ syslog.Time) []byte { return append(dst, "AMPM"[t.Hour()/12*2:][:2]...) },
	"MIN":             func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, t.Minute(), 2) },
	"SEC":             func(dst []byte, t time.Time, _ syslog.Time) []byte { return pad(dst, t.Second(), 2) },
	"MSEC":            func(dst []byte, _ time.Time, s syslog.Time) []byte { return pad(dst, int(s.Usec)/1000, 3) },
	"USEC":            func(dst []byte, _ time.Time, s syslog.Time) []byte { return pad(dst, int(s.Usec), 6) },
	"TZ":              zoneOffset,
	"TZOFFSET":        zoneOffset,
}

func weekdayAbbrev(dst []byte, t time.Time, _ syslog.Time) []byte {
	return append(dst, t.Weekday().String()[:3]...)
}

func zoneOffset(dst []byte, _ time.Time, s syslog.Time) []byte {
	minutes := int(s.Offset) / 60
	if minutes < 0 {
		dst, minutes = append(dst, '-'), -minutes
	} else {
		dst = append(dst, '+')
	}
	return pad(append(pad(dst, minutes/60, 2), ':'), minutes%60, 2)
}

// monthWeek counts the weeks of the month from its first Sunday.
func monthWeek(t time.Time) int {
	firstWeekday := (int(t.Weekday()) - (t.Day() - 1) + 35) % 7
	return (t.Day() - 1 + (firstWeekday+6)%7) / 7
}

func pad(dst []byte, n, width int) []byte {
	var buf [20]byte
	digits := strconv.AppendInt(buf[:0], int64(n), 10)
	for i := len(digits); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

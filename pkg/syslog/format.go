package syslog

import "strconv"

// A Formatter writes messages. The zero value is ready for use, by one goroutine at a time: it keeps the text of the last
// seconds.
type Formatter struct {
	// FracDigits is the number of digits of a second, 0 to 6.
	FracDigits int

	iso, bsd stampTexts
}

// StampTexts keeps the text of a few seconds, since the clocks of senders differ; of those in one place the last one.
type stampTexts [4]stampText

// A stampText is the text of one second.
type stampText struct {
	wall int64
	size int
	text [20]byte
}

// at is the place of a second; it has the text if known.
func (s *stampTexts) at(wall int64) (text *stampText, known bool) {
	text = &s[uint64(wall)%uint64(len(s))]
	return text, text.wall == wall && text.size > 0
}

// AppendRFC5424 appends m by RFC 5424, without framing. Empty fields are written as "-".
func (f *Formatter) AppendRFC5424(dst []byte, m *Message) []byte {
	dst = f.AppendRFC5424Header(dst, m, m.Timestamp, m.StructuredData)
	if m.UTF8 || len(m.Msg) > 0 {
		dst = append(dst, ' ')
	}
	if m.UTF8 {
		dst = append(dst, byteOrderMark...)
	}
	return append(dst, m.Msg...)
}

// AppendRFC5424Header appends what stands before MSG and its blank. stamp and data stand for those of m.
func (f *Formatter) AppendRFC5424Header(dst []byte, m *Message, stamp Time, data []byte) []byte {
	dst = AppendPriority(dst, m.Priority)
	dst = append(dst, "1 "...)
	dst = f.AppendISO(dst, stamp)
	for _, field := range [...][]byte{m.Hostname, m.AppName, m.ProcID, m.MsgID, data} {
		dst = append(dst, ' ')
		if len(field) == 0 {
			dst = append(dst, '-')
		}
		dst = append(dst, field...)
	}
	return dst
}

// AppendRFC3164 appends m by RFC 3164, without framing: priority, stamp, host, Tag and Msg.
func (f *Formatter) AppendRFC3164(dst []byte, m *Message) []byte {
	dst = AppendPriority(dst, m.Priority)
	dst = f.AppendBSD(dst, m.Timestamp)
	dst = append(dst, ' ')
	dst = append(dst, m.Hostname...)
	dst = append(dst, ' ')
	dst = append(dst, m.Tag...)
	return append(dst, m.Msg...)
}

// AppendPriority appends "<13>".
func AppendPriority(dst []byte, p Priority) []byte {
	switch {
	case p < 10:
		return append(dst, '<', byte('0'+p), '>')
	case p < 100:
		return append(dst, '<', byte('0'+p/10), byte('0'+p%10), '>')
	case p < 1000:
		return append(dst, '<', byte('0'+p/100), byte('0'+p/10%10), byte('0'+p%10), '>')
	}
	return append(strconv.AppendUint(append(dst, '<'), uint64(p), 10), '>')
}

// AppendISO appends t as RFC 3339 has it, 2023-10-11T22:14:15.123+02:00; UTC is +00:00.
func (f *Formatter) AppendISO(dst []byte, t Time) []byte {
	wall := t.wall()
	stamp, known := f.iso.at(wall)
	if !known {
		year, month, day, clock := splitWall(wall)
		b := appendYear(stamp.text[:0], year)
		b = append2(append(b, '-'), month)
		b = append2(append(b, '-'), day)
		b = appendClock(append(b, 'T'), clock)
		stamp.wall, stamp.size = wall, len(b)
	}
	dst = append(dst, stamp.text[:stamp.size]...)
	dst = f.appendFraction(dst, t.Usec)
	return appendOffset(dst, t.Offset)
}

// AppendBSD appends t as RFC 3164 has it, "Oct  1 22:14:15".
func (f *Formatter) AppendBSD(dst []byte, t Time) []byte {
	wall := t.wall()
	stamp, known := f.bsd.at(wall)
	if !known {
		_, month, day, clock := splitWall(wall)
		b := append(stamp.text[:0], months[3*month-3:3*month]...)
		b = append2(append(b, ' '), day)
		if day < 10 {
			b[len(b)-2] = ' '
		}
		b = appendClock(append(b, ' '), clock)
		stamp.wall, stamp.size = wall, len(b)
	}
	dst = append(dst, stamp.text[:stamp.size]...)
	return f.appendFraction(dst, t.Usec)
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// splitWall takes the seconds of a wall clock apart into a date and the second of the day.
func splitWall(wall int64) (year, month, day, clock int) {
	days := floorDiv(int(wall), 86400)
	year, month, day = dateOf(int64(days))
	return year, month, day, int(wall) - days*86400
}

func append2(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func appendYear(dst []byte, year int) []byte {
	year = max(0, min(year, 9999)) // RFC 3339 has four digits
	return append2(append2(dst, year/100), year%100)
}

func appendClock(dst []byte, clock int) []byte {
	dst = append2(dst, clock/3600)
	dst = append2(append(dst, ':'), clock/60%60)
	return append2(append(dst, ':'), clock%60)
}

func (f *Formatter) appendFraction(dst []byte, usec int32) []byte {
	if f.FracDigits <= 0 {
		return dst
	}
	var digits [7]byte
	digits[0] = '.'
	for i := 6; i > 0; i-- {
		digits[i] = byte('0' + usec%10)
		usec /= 10
	}
	return append(dst, digits[:1+min(f.FracDigits, 6)]...)
}

func appendOffset(dst []byte, offset int32) []byte {
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append2(append(dst, sign), int(min(offset/3600, 99)))
	return append2(append(dst, ':'), int(offset/60%60))
}

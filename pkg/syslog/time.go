package syslog

import "time"

// A Time is a moment and the offset of the zone in which it was written. RFC 5424 has at most six digits of a second
// (section 6.2.3), so has this; further digits are cut.
type Time struct {
	Sec    int64 // seconds since 1970-01-01 UTC
	Usec   int32 // microseconds, 0 to 999999
	Offset int32 // seconds east of UTC
}

// TimeOf is t in t's own zone.
func TimeOf(t time.Time) Time {
	_, offset := t.Zone()
	return Time{Sec: t.Unix(), Usec: int32(t.Nanosecond() / 1000), Offset: int32(offset)}
}

// wall is what a clock in the zone of t shows, as seconds since 1970 on it.
func (t Time) wall() int64 { return t.Sec + int64(t.Offset) }

// Time is t as the standard library has it, in a zone without a name.
func (t Time) Time() time.Time {
	return time.Unix(t.Sec, int64(t.Usec)*1000).In(time.FixedZone("", int(t.Offset)))
}

// A civil is a date and a time of day as written; numbers out of range are carried over, as mktime(3) does.
type civil struct {
	year, month, day, hour, minute, second int
	usec                                   int32
	offset                                 int32 // seconds east of UTC
	hasYear, hasOffset                     bool
}

// wall is the number of seconds from 1970-01-01 00:00:00 in c's own zone.
func (c *civil) wall() int64 {
	return daysTo(c.year, c.month, c.day)*86400 + int64(c.hour*3600+c.minute*60+c.second)
}

// daysTo counts the days from 1970-01-01 to a date of the Gregorian calendar; the year is taken to begin in March, so
// that the leap day is its last.
func daysTo(year, month, day int) int64 {
	if month < 1 {
		year, month = year-1, month+12
	}
	for month > 12 {
		year, month = year+1, month-12
	}
	if month < 3 {
		year, month = year-1, month+12
	}
	era := floorDiv(year, 400)
	inEra := year - era*400
	inYear := (153*(month-3)+2)/5 + day - 1
	return int64(era)*146097 + int64(inEra*365+inEra/4-inEra/100+inYear) - 719468
}

// dateOf is the inverse of daysTo.
func dateOf(days int64) (year, month, day int) {
	days += 719468
	era := floorDiv(int(days), 146097)
	inEra := int(days) - era*146097
	y := (inEra - inEra/1460 + inEra/36524 - inEra/146096) / 365
	inYear := inEra - (365*y + y/4 - y/100)
	m := (5*inYear + 2) / 153
	day = inYear - (153*m+2)/5 + 1
	year, month = y+era*400, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// scanNumber reads a number of exactly width characters, of which the first ones may be blanks.
func scanNumber(b []byte, width int) (n int, ok bool) {
	if len(b) < width {
		return 0, false
	}
	i := 0
	for i < width && b[i] == ' ' {
		i++
	}
	for ; i < width; i++ {
		d := b[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, true
}

// scanTwo reads a number of two characters as scanNumber does.
func scanTwo(b []byte) (n int, ok bool) {
	if tens, ones := b[0]-'0', b[1]-'0'; tens <= 9 && ones <= 9 {
		return int(tens)*10 + int(ones), true
	}
	return scanNumber(b, 2)
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// scanClock reads HH:MM:SS.
func (c *civil) scanClock(b []byte) bool {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return false
	}
	var hour, minute, second bool
	c.hour, hour = scanTwo(b)
	c.minute, minute = scanTwo(b[3:])
	c.second, second = scanTwo(b[6:])
	return hour && minute && second
}

// scanFraction reads the digits after a dot, or a comma as Aruba writes it, and returns how many bytes that were.
func (c *civil) scanFraction(b []byte) int {
	if len(b) == 0 || b[0] != '.' && b[0] != ',' {
		return 0
	}
	i, unit := 1, int32(100000)
	for ; i < len(b) && isDigit(b[i]); i++ {
		c.usec += int32(b[i]-'0') * unit
		unit /= 10
	}
	return i
}

// isoSize is the length of "yyyy-mm-ddThh:mm:ss".
const isoSize = 19

// scanISO reads YYYY-MM-DDTHH:MM:SS[.frac][Z|+HH:MM] (RFC 3339, section 5.6), a blank in place of the T included, and
// returns how many bytes that were, 0 if it is something else.
func (c *civil) scanISO(b []byte) int {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' {
		return 0
	}
	var year, month, day bool
	c.year, year = scanNumber(b, 4)
	c.month, month = scanTwo(b[5:])
	c.day, day = scanTwo(b[8:])
	if !year || !month || !day || !c.scanClock(b[11:]) {
		return 0
	}
	c.hasYear = true
	n := 19 + c.scanFraction(b[19:])
	return n + c.scanOffset(b[n:])
}

// scanOffset reads Z or +HH:MM and returns how many bytes that were.
func (c *civil) scanOffset(b []byte) int {
	if len(b) > 0 && b[0] == 'Z' {
		c.hasOffset = true
		return 1
	}
	if len(b) < 6 || b[0] != '+' && b[0] != '-' || b[3] != ':' || len(b) > 6 && isDigit(b[6]) ||
		!isDigit(b[1]) || !isDigit(b[2]) || !isDigit(b[4]) || !isDigit(b[5]) {
		return 0
	}
	c.offset = int32(b[1]-'0')*36000 + int32(b[2]-'0')*3600 + int32(b[4]-'0')*600 + int32(b[5]-'0')*60
	if b[0] == '-' {
		c.offset = -c.offset
	}
	c.hasOffset = true
	return 6
}

// bsdSize is the length of "Mmm dd hh:mm:ss".
const bsdSize = 15

// scanBSD reads the stamps that begin with the name of a month and returns how many bytes that were, 0 if it is something
// else: "Mmm dd hh:mm:ss[.frac]" (RFC 3164, section 4.1.2), "Mmm dd yyyy hh:mm:ss" followed by a colon or a blank (Cisco
// PIX and ASA; the colon is part of it), "Mmm dd hh:mm:ss yyyy " (LinkSys).
func (c *civil) scanBSD(b []byte) int {
	if len(b) < bsdSize || b[3] != ' ' || b[6] != ' ' {
		return 0
	}
	var day bool
	c.month = scanMonth(b)
	c.day, day = scanTwo(b[4:])
	if c.month == 0 || !day {
		return 0
	}
	if len(b) >= 21 && b[11] == ' ' && (b[20] == ':' || b[20] == ' ') && c.scanYear(b[7:]) && c.scanClock(b[12:]) {
		if b[20] == ':' {
			return 21
		}
		return 20
	}
	if !c.scanClock(b[7:]) {
		return 0
	}
	if len(b) >= 21 && b[15] == ' ' && (b[20] == ' ' || '\t' <= b[20] && b[20] <= '\r') && c.scanYear(b[16:]) {
		return 20
	}
	return bsdSize + c.scanFraction(b[bsdSize:])
}

func (c *civil) scanYear(b []byte) bool {
	if !isDigit(b[0]) {
		return false
	}
	c.year, c.hasYear = scanNumber(b, 4)
	return c.hasYear
}

// scanMonth knows the twelve abbreviations by a capital and two letters of any case.
func scanMonth(b []byte) int {
	switch uint32(b[0])<<16 | uint32(b[1]|0x20)<<8 | uint32(b[2]|0x20) {
	case 'J'<<16 | 'a'<<8 | 'n':
		return 1
	case 'F'<<16 | 'e'<<8 | 'b':
		return 2
	case 'M'<<16 | 'a'<<8 | 'r':
		return 3
	case 'A'<<16 | 'p'<<8 | 'r':
		return 4
	case 'M'<<16 | 'a'<<8 | 'y':
		return 5
	case 'J'<<16 | 'u'<<8 | 'n':
		return 6
	case 'J'<<16 | 'u'<<8 | 'l':
		return 7
	case 'A'<<16 | 'u'<<8 | 'g':
		return 8
	case 'S'<<16 | 'e'<<8 | 'p':
		return 9
	case 'O'<<16 | 'c'<<8 | 't':
		return 10
	case 'N'<<16 | 'o'<<8 | 'v':
		return 11
	case 'D'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return 0
}

// A zone tells the offset of a time zone; it keeps the span for which the last answer was good.
type zone struct {
	loc      *time.Location
	from, to int64 // Unix seconds
	offset   int32
}

// offsetAt is the offset that the clocks of loc had when they showed wall.
func (z *zone) offsetAt(loc *time.Location, wall int64) int32 {
	if sec := wall - int64(z.offset); z.loc == loc && z.from <= sec && sec < z.to {
		return z.offset
	}
	day := floorDiv(int(wall), 86400)
	t := time.Date(1970, 1, 1+day, 0, 0, int(wall)-day*86400, 0, loc)
	_, offset := t.Zone()
	from, to := t.ZoneBounds()
	*z = zone{loc: loc, from: -1 << 62, to: 1 << 62, offset: int32(offset)}
	if !from.IsZero() {
		z.from = from.Unix()
	}
	if !to.IsZero() {
		z.to = to.Unix()
	}
	return z.offset
}

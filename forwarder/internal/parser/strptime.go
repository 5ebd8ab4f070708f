package parser

import (
	"strings"
	"time"

	"kad/forwarder/internal/option"
)

// A tm is what strptime has read.
type tm struct {
	year, month, day, yearDay  int // month, day and yearDay 0: not given
	hour, minute, second, nsec int
	hasYear, hour12, pm        bool
	split                      bool // the century and the rest of the year come one by one
	unix                       *int64
	ignored                    int
	loc                        *time.Location
}

// timeVerbs are the letters that may follow % in a format, as in strptime(3); f is a fraction of a second.
const timeVerbs = "aAbBcCdDefFGghHIjklmMnprRsSTtuUVwWxXyYzZ%"

// strptime reads all of text by format. A date without a year is the one nearest to now; of a date that is there in part
// the rest is the first month and day, and without any date it is that of now.
func strptime(text, format string, loc *time.Location, now time.Time) (time.Time, bool) {
	t := tm{loc: loc}
	rest, ok := t.read(text, format)
	if !ok || rest != "" {
		return time.Time{}, false
	}
	if t.unix != nil {
		return time.Unix(*t.unix, int64(t.nsec)).In(t.loc), true
	}
	if t.hour12 {
		t.hour %= 12
		if t.pm {
			t.hour += 12
		}
	}
	now = now.In(loc)
	switch {
	case t.yearDay > 0:
		t.month, t.day = 1, t.yearDay
	case !t.hasYear && t.month == 0 && t.day == 0:
		t.month, t.day = int(now.Month()), now.Day()
	}
	if t.hasYear {
		return t.in(t.year), true
	}
	return t.nearest(now), true
}

// in is the moment in a year.
func (t *tm) in(year int) time.Time {
	return time.Date(year, time.Month(max(1, t.month)), max(1, t.day), t.hour, t.minute, t.second, t.nsec, t.loc)
}

// nearest is the moment in the year that puts it nearest to now.
func (t *tm) nearest(now time.Time) time.Time {
	const halfYear = 183 * 24 * time.Hour
	got := t.in(now.Year())
	switch distance := got.Sub(now); {
	case distance > halfYear:
		return t.in(now.Year() - 1)
	case distance < -halfYear:
		return t.in(now.Year() + 1)
	}
	return got
}

const spaces = " \t\r\n\v\f"

func (t *tm) read(text, format string) (rest string, ok bool) {
	for i := 0; i < len(format); i++ {
		switch c := format[i]; {
		case strings.IndexByte(spaces, c) >= 0:
			text = strings.TrimLeft(text, spaces)
		case c == '%':
			i++
			if text, ok = t.verb(text, format[i]); !ok {
				return text, false
			}
		case text == "" || text[0] != c:
			return text, false
		default:
			text = text[1:]
		}
	}
	return text, true
}

// composed are verbs that stand for others.
var composed = map[byte]string{
	'T': "%H:%M:%S", 'X': "%H:%M:%S", 'R': "%H:%M", 'r': "%I:%M:%S %p", 'D': "%m/%d/%y", 'x': "%m/%d/%y", 'F': "%Y-%m-%d",
	'c': "%a %b %e %H:%M:%S %Y",
}

// numbers are verbs that stand for a number in a range, with so many digits at most. It has no influence if no field is set.
var numbers = map[byte]struct {
	least, most, digits int
	field               func(t *tm) *int
}{
	'm': {1, 12, 2, func(t *tm) *int { return &t.month }},
	'd': {1, 31, 2, func(t *tm) *int { return &t.day }},
	'e': {1, 31, 2, func(t *tm) *int { return &t.day }},
	'j': {1, 366, 3, func(t *tm) *int { return &t.yearDay }},
	'H': {0, 23, 2, func(t *tm) *int { return &t.hour }},
	'k': {0, 23, 2, func(t *tm) *int { return &t.hour }},
	'I': {1, 12, 2, func(t *tm) *int { t.hour12 = true; return &t.hour }},
	'l': {1, 12, 2, func(t *tm) *int { t.hour12 = true; return &t.hour }},
	'M': {0, 59, 2, func(t *tm) *int { return &t.minute }},
	'S': {0, 61, 2, func(t *tm) *int { return &t.second }},
	'Y': {0, 9999, 4, func(t *tm) *int { t.hasYear = true; return &t.year }},
	'u': {1, 7, 1, func(t *tm) *int { return &t.ignored }},
	'w': {0, 6, 1, func(t *tm) *int { return &t.ignored }},
	'U': {0, 53, 2, func(t *tm) *int { return &t.ignored }},
	'V': {0, 53, 2, func(t *tm) *int { return &t.ignored }},
	'W': {0, 53, 2, func(t *tm) *int { return &t.ignored }},
	'g': {0, 99, 2, func(t *tm) *int { return &t.ignored }},
	'G': {0, 9999, 4, func(t *tm) *int { return &t.ignored }},
}

// verb reads what one letter after % stands for.
func (t *tm) verb(text string, verb byte) (rest string, ok bool) {
	if format, ok := composed[verb]; ok {
		return t.read(text, format)
	}
	if n, ok := numbers[verb]; ok {
		value, rest, ok := number(text, n.digits)
		*n.field(t) = int(value)
		return rest, ok && n.least <= int(value) && int(value) <= n.most
	}
	switch verb {
	case '%':
		return strings.CutPrefix(text, "%")
	case 'n', 't':
		return strings.TrimLeft(text, spaces), true
	case 'y':
		value, rest, ok := number(text, 2)
		century := 1900
		switch {
		case t.split:
			century = t.year - t.year%100
		case value < 69:
			century = 2000
		}
		t.hasYear, t.split, t.year = true, true, century+int(value)
		return rest, ok
	case 'C':
		value, rest, ok := number(text, 2)
		t.hasYear, t.split, t.year = true, true, int(value)*100+t.year%100
		return rest, ok
	case 'f':
		value, rest, ok := number(text, 9)
		for n := len(text) - len(rest); n < 9; n++ {
			value *= 10
		}
		t.nsec = int(value)
		return rest, ok
	case 's':
		value, rest, ok := number(text, 18)
		t.unix = &value
		return rest, ok
	case 'p':
		return t.half(text)
	case 'b', 'h', 'B':
		return name(text, 12, func(i int) string { return time.Month(i + 1).String() }, func(i int) { t.month = i + 1 })
	case 'a', 'A':
		return name(text, 7, func(i int) string { return time.Weekday(i).String() }, func(int) {})
	}
	return t.zone(text)
}

// number reads at most so many digits.
func number(text string, digits int) (value int64, rest string, ok bool) {
	i := 0
	for i < len(text) && i < digits && text[i] >= '0' && text[i] <= '9' {
		value = value*10 + int64(text[i]-'0')
		i++
	}
	return value, text[i:], i > 0
}

// half reads am or pm, in any case.
func (t *tm) half(text string) (rest string, ok bool) {
	if len(text) < 2 || text[1]|0x20 != 'm' {
		return text, false
	}
	t.pm = text[0]|0x20 == 'p'
	return text[2:], t.pm || text[0]|0x20 == 'a'
}

// name reads one of n names, in full or its first three letters, in any case.
func name(text string, n int, of func(int) string, set func(int)) (rest string, ok bool) {
	for i := range n {
		full := of(i)
		for _, size := range []int{len(full), 3} {
			if len(text) >= size && strings.EqualFold(text[:size], full[:size]) {
				set(i)
				return text[size:], true
			}
		}
	}
	return text, false
}

// zoneHours are the zones that are known by name, besides the local one.
var zoneHours = map[string]int{
	"Z": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}

// zone reads "+0200", "+02:00", "+02", or a name.
func (t *tm) zone(text string) (rest string, ok bool) {
	end := strings.IndexAny(text, " ]),")
	if end < 0 {
		end = len(text)
	}
	word := text[:end]
	if hours, known := zoneHours[word]; known {
		t.loc = time.FixedZone(word, hours*3600)
		return text[end:], true
	}
	if strings.HasPrefix(word, "+") || strings.HasPrefix(word, "-") {
		if len(word) == 3 {
			word += "00"
		}
		var z option.Zone
		ok := z.UnmarshalText([]byte(word)) == nil
		t.loc = z.Location
		return text[end:], ok
	}
	for _, month := range []time.Month{time.January, time.July} {
		if local, offset := time.Date(2000, month, 1, 0, 0, 0, 0, t.loc).Zone(); word == local {
			t.loc = time.FixedZone(word, offset)
			return text[end:], true
		}
	}
	return text, false
}

package parser

import (
	"fmt"
	"strings"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// Date sets a time of the message from a text, by strptime(3)'s formats. A text that fits none is refused.
type Date struct {
	Common
	Format    []string    `toml:"format"`     // the first that fits counts
	Zone      option.Zone `toml:"time_zone"`  // of texts that name none; none: the local zone
	TimeStamp string      `toml:"time_stamp"` // stamp or recvd
	Value     string      `toml:"value"`      // the name of the text, instead of template
	Flags     []string    `toml:"flags"`

	name logmsg.Name
}

const dateVerbs = "YymdeHIMSfpbhBaAjzZsTDFR%nt"

// Init readies the parser.
func (d *Date) Init() error {
	if _, err := flagSet(d.Flags, "guess_timezone"); err != nil {
		return err
	}
	if len(d.Format) == 0 {
		return option.Errorf("format", "a list of formats is required")
	}
	for i, f := range d.Format {
		for j := 0; j < len(f); j++ {
			if f[j] != '%' {
				continue
			}
			if j++; j == len(f) || strings.IndexByte(dateVerbs, f[j]) < 0 {
				return option.Errorf(fmt.Sprintf("format[%d]", i), "%q has a %% without one of %s behind it", f, dateVerbs)
			}
		}
	}
	if d.TimeStamp != "stamp" && d.TimeStamp != "recvd" {
		return option.Errorf("time_stamp", "%q is neither stamp nor recvd", d.TimeStamp)
	}
	d.name = logmsg.NameOf(d.Value)
	return nil
}

// Process parses m.
func (d *Date) Process(m *logmsg.Message) bool {
	text := string(d.input(m))
	if d.Value != "" {
		text = string(m.Value(d.name))
	}
	loc := d.Zone.Location
	if loc == nil {
		loc = time.Local
	}
	for _, format := range d.Format {
		t, ok := strptime(text, format, loc, m.Received.Time())
		if !ok {
			continue
		}
		if d.TimeStamp == "recvd" {
			m.Received = syslog.TimeOf(t)
		} else {
			m.Timestamp, m.Stamped = syslog.TimeOf(t), true
		}
		return true
	}
	return false
}

// A tm is what strptime has read.
type tm struct {
	year, month, day, hour, minute, second, yearDay int
	nsec                                            int
	pm, hour12, hasYear, hasDate, hasUnix           bool
	unix                                            int64
	loc                                             *time.Location
}

// strptime reads all of text by format. A date without a year is the one nearest to now.
func strptime(text, format string, loc *time.Location, now time.Time) (time.Time, bool) {
	now = now.In(loc)
	t := tm{year: now.Year(), month: int(now.Month()), day: now.Day(), loc: loc}
	rest, ok := t.read(text, format)
	if !ok || rest != "" {
		return time.Time{}, false
	}
	if t.hasUnix {
		return time.Unix(t.unix, int64(t.nsec)).In(t.loc), true
	}
	if t.hour12 {
		t.hour %= 12
		if t.pm {
			t.hour += 12
		}
	}
	if t.yearDay > 0 {
		t.month, t.day = 1, t.yearDay
	}
	at := func(year int) time.Time {
		return time.Date(year, time.Month(t.month), t.day, t.hour, t.minute, t.second, t.nsec, t.loc)
	}
	got := at(t.year)
	if !t.hasYear {
		const halfYear = 183 * 24 * time.Hour
		if got.Sub(now) > halfYear {
			got = at(t.year - 1)
		} else if now.Sub(got) > halfYear {
			got = at(t.year + 1)
		}
	}
	return got, true
}

func (t *tm) read(text, format string) (rest string, ok bool) {
	for i := 0; i < len(format); i++ {
		c := format[i]
		if c == ' ' {
			text = strings.TrimLeft(text, " \t\n")
			continue
		}
		if c != '%' {
			if text == "" || text[0] != c {
				return text, false
			}
			text = text[1:]
			continue
		}
		i++
		if text, ok = t.verb(text, format[i]); !ok {
			return text, false
		}
	}
	return text, true
}

var composed = map[byte]string{'T': "%H:%M:%S", 'D': "%m/%d/%y", 'F': "%Y-%m-%d", 'R': "%H:%M"}

// verb reads what one letter after % stands for.
func (t *tm) verb(text string, verb byte) (rest string, ok bool) {
	if f, ok := composed[verb]; ok {
		return t.read(text, f)
	}
	switch verb {
	case '%':
		return strings.TrimPrefix(text, "%"), strings.HasPrefix(text, "%")
	case 'n', 't':
		return strings.TrimLeft(text, " \t\n"), true
	case 'Y':
		t.hasYear = true
		return number(text, 4, &t.year)
	case 'y':
		t.hasYear = true
		rest, ok = number(text, 2, &t.year)
		if t.year += 1900; t.year < 1969 {
			t.year += 100
		}
		return rest, ok
	case 'm':
		return within(1, 12, text, 2, &t.month)
	case 'd', 'e':
		return within(1, 31, strings.TrimLeft(text, " "), 2, &t.day)
	case 'H':
		return within(0, 23, strings.TrimLeft(text, " "), 2, &t.hour)
	case 'I':
		t.hour12 = true
		return within(1, 12, strings.TrimLeft(text, " "), 2, &t.hour)
	case 'M':
		return within(0, 59, text, 2, &t.minute)
	case 'S':
		return within(0, 60, text, 2, &t.second)
	case 'j':
		return within(1, 366, text, 3, &t.yearDay)
	case 'f':
		rest, ok = number(text, 9, &t.nsec)
		for n := len(text) - len(rest); n < 9; n++ {
			t.nsec *= 10
		}
		return rest, ok
	case 's':
		t.hasUnix = true
		var n int
		rest, ok = number(text, 18, &n)
		t.unix = int64(n)
		return rest, ok
	case 'p':
		if len(text) < 2 || text[1]|0x20 != 'm' {
			return text, false
		}
		t.pm = text[0]|0x20 == 'p'
		return text[2:], t.pm || text[0]|0x20 == 'a'
	case 'b', 'h', 'B':
		return name(text, 12, func(i int) string { return time.Month(i + 1).String() }, func(i int) { t.month = i + 1 })
	case 'a', 'A':
		return name(text, 7, func(i int) string { return time.Weekday(i).String() }, func(int) {})
	}
	return t.zone(text)
}

// number reads at most width digits.
func number(text string, width int, into *int) (rest string, ok bool) {
	n, i := 0, 0
	for i < len(text) && i < width && text[i] >= '0' && text[i] <= '9' {
		n = n*10 + int(text[i]-'0')
		i++
	}
	*into = n
	return text[i:], i > 0
}

// within reads a number that lies in a range.
func within(least, most int, text string, width int, into *int) (rest string, ok bool) {
	rest, ok = number(text, width, into)
	return rest, ok && least <= *into && *into <= most
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

// zone reads "+0200", "+02:00", "Z", or a name.
func (t *tm) zone(text string) (rest string, ok bool) {
	end := 0
	for end < len(text) && text[end] != ' ' && text[end] != ']' && text[end] != ')' && text[end] != ',' {
		end++
	}
	word := text[:end]
	if word == "Z" || word == "UTC" || word == "GMT" {
		t.loc = time.UTC
		return text[end:], true
	}
	var z option.Zone
	if len(word) == 3 && (word[0] == '+' || word[0] == '-') {
		word += "00"
	}
	if word == "" || z.UnmarshalText([]byte(word)) != nil {
		return text, false
	}
	t.loc = z.Location
	return text[end:], true
}

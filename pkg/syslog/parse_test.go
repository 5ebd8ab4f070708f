package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// received is the time of receipt in all tests: 2026-11-22 10:00:00 UTC.
var received = Time{Sec: 1795341600}

// show is a message on one line.
func show(m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>%d ", m.Priority, m.Version)
	if m.Stamped {
		fmt.Fprintf(&b, "%s ", m.Timestamp.Time().Format(time.RFC3339Nano))
	}
	fmt.Fprintf(&b, "host=%q app=%q pid=%q id=%q", m.Hostname, m.AppName, m.ProcID, m.MsgID)
	if len(m.StructuredData) > 0 {
		fmt.Fprintf(&b, " data=%q", m.StructuredData)
	}
	if len(m.Tag) > 0 {
		fmt.Fprintf(&b, " tag=%q", m.Tag)
	}
	if m.SequenceID != nil {
		fmt.Fprintf(&b, " seq=%s", m.SequenceID)
	}
	if m.Clock != ClockUnknown {
		fmt.Fprintf(&b, " clock=%d", m.Clock)
	}
	if m.UTF8 {
		b.WriteString(" utf8")
	}
	fmt.Fprintf(&b, " msg=%q", m.Msg)
	return b.String()
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name   string
		parser Parser
		in     string
		want   string // the message, or the error
	}{
		{"usual", Parser{}, "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
			`<34>0 2026-10-11T22:14:15Z host="mymachine" app="su" pid="" id="" tag="su: " msg="'su root' failed"`},
		{"day padded with a blank, PID", Parser{}, "<13>Oct  1 22:14:15 h1 sshd[42]: x",
			`<13>0 2026-10-01T22:14:15Z host="h1" app="sshd" pid="42" id="" tag="sshd[42]: " msg="x"`},
		{"day padded with zero", Parser{}, "<13>Oct 01 22:14:15 h1 a: x",
			`<13>0 2026-10-01T22:14:15Z host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"no priority", Parser{}, "Oct 11 22:14:15 h1 a: x",
			`<13>0 2026-10-11T22:14:15Z host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"no priority, another default", Parser{DefaultPriority: 30}, "x",
			`<30>0 host="" app="x" pid="" id="" tag="x" msg=""`},
		{"fraction", Parser{}, "<13>Oct 11 22:14:15.123456789 h1 a: x",
			`<13>0 2026-10-11T22:14:15.123456Z host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"Cisco ASA", Parser{}, "<166>Oct 11 2023 22:14:15: %ASA-6-302013: Built",
			`<166>0 2023-10-11T22:14:15Z host="" app="%ASA-6-302013" pid="" id="" tag="%ASA-6-302013: " msg="Built"`},
		{"Cisco IOS", Parser{}, "<189>29: *Oct 11 22:14:15.123: %SYS-5-CONFIG_I: Configured",
			`<189>0 2026-10-11T22:14:15.123Z host="" app="%SYS-5-CONFIG_I" pid="" id="" tag="%SYS-5-CONFIG_I: " seq=29 clock=1 msg="Configured"`},
		{"LinkSys", Parser{}, "<13>Oct 11 22:14:15 2023 h1 a: x",
			`<13>0 2023-10-11T22:14:15Z host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"ISO with zone", Parser{}, "<13>2023-10-11T22:14:15.003-07:00 h1 a: x",
			`<13>0 2023-10-11T22:14:15.003-07:00 host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"ISO with a blank and without zone", Parser{Location: time.FixedZone("", 19800)}, "<13>2023-10-11 22:14:15 h1 a: x",
			`<13>0 2023-10-11T22:14:15+05:30 host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"the nearest year", Parser{}, "<13>Feb 11 22:14:15 h1 a: x",
			`<13>0 2027-02-11T22:14:15Z host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"IPv6 host", Parser{}, "<13>Oct 11 22:14:15 2001:db8::1 a: x",
			`<13>0 2026-10-11T22:14:15Z host="2001:db8::1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"no host", Parser{}, "<13>Oct 11 22:14:15 a[7]: x",
			`<13>0 2026-10-11T22:14:15Z host="" app="a" pid="7" id="" tag="a[7]: " msg="x"`},
		{"senders without host", Parser{NoHostname: true}, "<13>Oct 11 22:14:15 a x",
			`<13>0 2026-10-11T22:14:15Z host="" app="a" pid="" id="" tag="a " msg="x"`},
		{"no such host name", Parser{CheckHostname: true}, "<13>Oct 11 22:14:15 (a) x y",
			`<13>0 2026-10-11T22:14:15Z host="" app="(a)" pid="" id="" tag="(a) " msg="x y"`},
		{"bad host name", Parser{BadHostname: func(w []byte) bool { return string(w) == "kernel" }}, "<13>Oct 11 22:14:15 kernel x y",
			`<13>0 2026-10-11T22:14:15Z host="" app="kernel" pid="" id="" tag="kernel " msg="x y"`},
		{"slash in the tag", Parser{}, "<13>Oct 11 22:14:15 h1 postfix/smtpd[1]: x",
			`<13>0 2026-10-11T22:14:15Z host="h1" app="postfix/smtpd" pid="1" id="" tag="postfix/smtpd[1]: " msg="x"`},
		{"repeated", Parser{}, "<13>Oct 11 22:14:15 last message repeated 3 times",
			`<13>0 2026-10-11T22:14:15Z host="" app="" pid="" id="" msg="last message repeated 3 times"`},
		{"forwarded by AIX", Parser{}, "<13>Oct 11 22:14:15 Message forwarded from h2: a[1]: x",
			`<13>0 2026-10-11T22:14:15Z host="h2" app="a" pid="1" id="" tag="a[1]: " msg="x"`},
		{"no stamp", Parser{}, "<13>a[7]: x",
			`<13>0 host="" app="a" pid="7" id="" tag="a[7]: " msg="x"`},
		{"kernel message of this host", Parser{Local: true}, "<6>eth0: link up",
			`<6>0 host="" app="kernel" pid="" id="" msg="eth0: link up"`},
		{"no header", Parser{NoHeader: true}, "<13>Oct 11 22:14:15 h1 a: x",
			`<13>0 host="" app="" pid="" id="" msg="Oct 11 22:14:15 h1 a: x"`},
		{"newlines and NULs at the end", Parser{}, "<13>a: x\r\n\x00\n",
			`<13>0 host="" app="a" pid="" id="" tag="a: " msg="x\r"`},
		{"priority of more than 191", Parser{}, "<999>a", `<999>0 host="" app="a" pid="" id="" tag="a" msg=""`},
		{"empty priority", Parser{}, "<>a", `<0>0 host="" app="a" pid="" id="" tag="a" msg=""`},
		{"open priority", Parser{}, "<13", `<13>0 host="" app="" pid="" id="" msg=""`},
		{"letters in the priority", Parser{}, "<abc>a", "offset 0: want digits and > after <"},
		{"nothing", Parser{}, "", `<13>0 host="" app="" pid="" id="" msg=""`},

		{"RFC 5424", Parser{RFC5424: true}, "<165>1 2003-10-11T22:14:15.003Z h1 evntslog 8 ID47 [ex@1 a=\"1\"][b] \xef\xbb\xbfx",
			`<165>1 2003-10-11T22:14:15.003Z host="h1" app="evntslog" pid="8" id="ID47" data="[ex@1 a=\"1\"][b]" utf8 msg="x"`},
		{"RFC 5424, all nil", Parser{RFC5424: true}, "<0>1 - - - - - -", `<0>1 host="" app="" pid="" id="" msg=""`},
		{"RFC 5424, fields too long", Parser{RFC5424: true}, "<0>1 - - " + strings.Repeat("a", 49) + " - - - x",
			`<0>1 host="" app="` + strings.Repeat("a", 48) + `" pid="" id="" msg="x"`},
		{"RFC 3164 among RFC 5424", Parser{RFC5424: true}, "<13>Oct 11 22:14:15 h1 a: x",
			`<13>0 2026-10-11T22:14:15Z host="h1" app="a" pid="" id="" tag="a: " msg="x"`},
		{"RFC 3164 where it is refused", Parser{RFC5424: true, NoFallback: true}, "<13>Oct 11 22:14:15 h1 a: x",
			"offset 0: want <PRI>1 and a blank"},
		{"RFC 5424, version only", Parser{RFC5424: true}, "<0>1", "offset 4: want a blank after VERSION"},
		{"RFC 5424, no stamp", Parser{RFC5424: true}, "<0>1 Oct 11 22:14:15 h1 a - - - x", "offset 5: want TIMESTAMP"},
		{"RFC 5424, stamp only", Parser{RFC5424: true}, "<0>1 -", "offset 6: want a blank after TIMESTAMP"},
		{"RFC 5424, host in brackets", Parser{RFC5424: true}, "<0>1 - [::1] a - - - x", "offset 8: want HOSTNAME and a blank"},
		{"RFC 5424, ends in the program", Parser{RFC5424: true}, "<0>1 - - app", "offset 12: want APP-NAME and a blank"},
		{"RFC 5424, ends in the PID", Parser{RFC5424: true}, "<0>1 - - - 1", "offset 12: want PROCID and a blank"},
		{"RFC 5424, ends in the id", Parser{RFC5424: true}, "<0>1 - - - - 1", "offset 14: want MSGID and a blank"},
		{"RFC 5424, no data", Parser{RFC5424: true}, "<0>1 - - - - - x", "offset 15: want a blank before MSG"},
		{"structured data without name", Parser{RFC5424: true}, "<0>1 - - - - - [] x", "offset 16: want SD-ID"},
		{"structured data without value", Parser{RFC5424: true}, "<0>1 - - - - - [a b] x", "offset 19: want ="},
		{"structured data without quotes", Parser{RFC5424: true}, "<0>1 - - - - - [a b=c] x", `offset 20: want " before PARAM-VALUE`},
		{"structured data without PARAM-NAME", Parser{RFC5424: true}, `<0>1 - - - - - [a  b="c"] x`, "offset 18: want PARAM-NAME"},
		{"structured data with a bare bracket", Parser{RFC5424: true}, `<0>1 - - - - - [a b="c]"] x`, `offset 23: want \ before ] in PARAM-VALUE`},
		{"structured data with an open value", Parser{RFC5424: true}, `<0>1 - - - - - [a b="c\"`, `offset 24: want " after PARAM-VALUE`},
		{"structured data with an open element", Parser{RFC5424: true}, `<0>1 - - - - - [a b="c"`, "offset 23: want ] or a blank and PARAM-NAME"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.parser.Location == nil {
				c.parser.Location = time.UTC
			}
			m := Message{Msg: []byte("of before")}
			err := c.parser.Parse([]byte(c.in), received, &m)
			got := errorText(err)
			if err == nil {
				got = show(&m)
			} else if show(&m) != show(&Message{}) {
				t.Errorf("an error and a message: %s", show(&m))
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestNearestYear(t *testing.T) {
	for _, c := range []struct{ now, stamp, want string }{
		{"2026-11-22T10:00:00Z", "Nov 22 10:00:00", "2026-11-22T10:00:00Z"},
		{"2026-11-22T10:00:00Z", "May 25 10:00:00", "2026-05-25T10:00:00Z"},
		{"2026-11-22T10:00:00Z", "May 20 10:00:00", "2027-05-20T10:00:00Z"},
		{"2026-12-31T23:59:59Z", "Jan  1 00:00:01", "2027-01-01T00:00:01Z"},
		{"2027-01-01T00:00:01Z", "Dec 31 23:59:59", "2026-12-31T23:59:59Z"},
		{"2027-01-01T00:00:01Z", "Jan  1 00:00:01", "2027-01-01T00:00:01Z"},
		{"2028-01-01T00:30:00+01:00", "Jan  1 00:29:00", "2028-01-01T00:29:00+01:00"},
		{"2028-03-01T00:00:00Z", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"},
		{"1970-01-01T00:00:00Z", "Dec 31 23:59:59", "1969-12-31T23:59:59Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		var m Message
		p := Parser{Location: now.Location()}
		if err := p.Parse([]byte(c.stamp+" h1 a: x"), TimeOf(now), &m); err != nil {
			t.Fatal(err)
		}
		if got := m.Timestamp.Time().Format(time.RFC3339); got != c.want {
			t.Errorf("%s at %s is %s, want %s", c.stamp, c.now, got, c.want)
		}
	}
}

// TestZones holds offsets against the standard library's, across changes of the clocks, and back again.
func TestZones(t *testing.T) {
	loc, err := time.LoadLocation("Europe/Berlin")
	testneed.That(t, err == nil, "time zones")
	p := Parser{Location: loc}
	for _, month := range []time.Month{1, 7, 1, 3, 12, 10} {
		for day := range 31 {
			want := time.Date(2025, month, day+1, 12, 30, 0, 0, loc)
			var m Message
			if err := p.Parse([]byte(want.Format("2006-01-02T15:04:05")+" h1 a: x"), received, &m); err != nil {
				t.Fatal(err)
			}
			if m.Timestamp != TimeOf(want) {
				t.Fatalf("%v is %+v, want %+v", want, m.Timestamp, TimeOf(want))
			}
		}
	}
}

func TestDates(t *testing.T) {
	for days := int64(-800000); days < 3000000; days += 13 {
		d := time.Unix(days*86400, 0).UTC()
		if y, m, day := dateOf(days); y != d.Year() || m != int(d.Month()) || day != d.Day() {
			t.Fatalf("dateOf(%d) = %d-%d-%d, want %v", days, y, m, day, d)
		}
		if got := daysTo(d.Year(), int(d.Month()), d.Day()); got != days {
			t.Fatalf("daysTo(%v) = %d, want %d", d, got, days)
		}
	}
}

// FuzzParse: an error or a message, never both; what was formatted is parsed into the same.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, rfc5424 bool) {
		p := Parser{RFC5424: rfc5424, Location: time.UTC}
		var m, again Message
		if err := p.Parse(b, received, &m); err != nil {
			if show(&m) != show(&Message{}) {
				t.Fatalf("%q: an error and a message", b)
			}
			return
		}
		format := Formatter{FracDigits: 6}
		var out []byte
		switch {
		case m.Version == 1 && plausible(m.Timestamp):
			out = format.AppendRFC5424(nil, &m)
		case m.Version == 0 && m.Stamped && len(m.Hostname) > 0 && plausible(m.Timestamp) && m.SequenceID == nil &&
			m.Clock == ClockUnknown && !strings.Contains(string(b), aixForward) && !strings.HasPrefix(string(m.Hostname), "last"):
			p.Location = m.Timestamp.Time().Location()
			out = format.AppendRFC3164(nil, &m)
		default:
			return
		}
		if err := p.Parse(out, m.Timestamp, &again); err != nil {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		m.Stamped = again.Stamped // a stamp of "-" is written as the time of receipt
		if show(&m) != show(&again) {
			t.Fatalf("%q became %q\n got %s\nwant %s", b, out, show(&again), show(&m))
		}
	})
}

// plausible is a time that both formats can write.
func plausible(t Time) bool {
	year := t.Time().Year()
	return year > 0 && year < 10000 && -86400 < t.Offset && t.Offset < 86400
}

func TestParams(t *testing.T) {
	var got []string
	for p := range Params([]byte(`[a@1 x="1" y="\"\]\\\n"][b][c z=""]`)) {
		got = append(got, fmt.Sprintf("%s %s %s", p.ID, p.Name, AppendUnescaped(nil, p.Value)))
	}
	want := []string{"a@1 x 1", `a@1 y "]\\n`, "b  ", "c z "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range Params([]byte(`[a x="1"][b]`)) {
		break
	}
}

// FuzzParams: escaping a value and taking it apart again gives the value.
func FuzzParams(f *testing.F) {
	f.Add([]byte(`a"\]b`), []byte(`[a b="c"]`))
	f.Fuzz(func(t *testing.T, value, data []byte) {
		for range Params(data) { // must end, whatever it is
		}
		element := append(AppendEscaped([]byte(`[a b="`), value), `"]`...)
		n := 0
		for p := range Params(element) {
			if got := AppendUnescaped(nil, p.Value); string(got) != string(value) || string(p.Name) != "b" {
				t.Errorf("%q came back as %q", value, got)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%q has %d parameters, want 1", element, n)
		}
		if end, err := scanStructuredData(element, 0); err != nil || end != len(element) {
			t.Errorf("%q ends at %d, %v", element, end, err)
		}
	})
}

func TestSanitized(t *testing.T) {
	for in, want := range map[string]string{
		"caf\xe9 \xff\xfe end":  `caf\xe9 \xff\xfe end`,
		"é\x00\x01\t\n\r\b\f\\": "é" + `\x00\x01\t\n\r\b\f\\`,
	} {
		if got := string(AppendSanitized(nil, []byte(in))); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if ValidUTF8([]byte(in)) {
			t.Errorf("%q is valid", in)
		}
	}
	if !ValidUTF8([]byte("é\t")) {
		t.Error("é and a tab are not valid")
	}
}

// TestNoStampInZone: the time of receipt, which stands for a stamp that is missing, is told in the zone of the parser.
func TestNoStampInZone(t *testing.T) {
	now := TimeOf(time.Date(2026, 10, 11, 22, 0, 0, 0, time.UTC))
	for location, want := range map[*time.Location]string{nil: "2026-10-11T22:00:00Z", time.FixedZone("", 5*3600): "2026-10-12T03:00:00+05:00"} {
		p := Parser{Location: location}
		var m Message
		if err := p.Parse([]byte("<13>hello there"), now, &m); err != nil {
			t.Fatal(err)
		}
		if got := m.Timestamp.Time().Format(time.RFC3339); got != want {
			t.Errorf("in %v: %s, want %s", location, got, want)
		}
	}
}

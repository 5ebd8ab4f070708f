package parser

import (
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
	"kad/pkg/testneed"
)

// TestDate has, but for the nearest year and where it says so, what syslog-ng 3.38 makes of the same texts.
func TestDate(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 23, 0, 0, time.UTC)
	const day = "2026-11-22T"
	for _, test := range []struct{ format, text, want string }{
		{"%Y-%m-%d %H:%M:%S", "2023-02-03 04:05:06", "2023-02-03T04:05:06+00:00"},
		{"%F %T", "2023-02-03 04:05:06", "2023-02-03T04:05:06+00:00"},
		{"%Y%m%d%H%M%S", "20230203040506", "2023-02-03T04:05:06+00:00"},
		{"%d/%b/%Y:%H:%M:%S %z", "03/Feb/2023:04:05:06 +0530", "2023-02-03T04:05:06+05:30"},
		{"%A, %B %d, %Y", "Friday, February 3, 2023", "2023-02-03T00:00:00+00:00"},
		{"%c", "Fri Feb  3 04:05:06 2023", "2023-02-03T04:05:06+00:00"},
		{"%x %r", "02/03/23 04:05:06 PM", "2023-02-03T16:05:06+00:00"},
		{"%D %X", "02/03/23 04:05:06", "2023-02-03T04:05:06+00:00"},
		{"%j %Y", "034 2023", "2023-02-03T00:00:00+00:00"},
		{"%y%m%d", "690203", "1969-02-03T00:00:00+00:00"},
		{"%y%m%d", "680203", "2068-02-03T00:00:00+00:00"},
		{"%C%y%m%d", "19680203", "1968-02-03T00:00:00+00:00"},
		{"%y%C-%m-%d", "6820-02-03", "2068-02-03T00:00:00+00:00"},
		{"%s", "1700000000", "2023-11-14T22:13:20+00:00"},
		{"%s.%f", "1700000000.5", "2023-11-14T22:13:20+00:00"},
		{"%Y-%m-%dT%H:%M:%S.%f%z", "2023-02-03T04:05:06.123456+02:00", "2023-02-03T04:05:06+02:00"},

		{"%Y", "2023", "2023-01-01T00:00:00+00:00"},
		{"%Y %H", "2023  4", "2023-01-01T04:00:00+00:00"},
		{"%e", "3", "2027-01-03T00:00:00+00:00"},
		{"%b %d", "Oct 3", "2026-10-03T00:00:00+00:00"},
		{"%b %e %H:%M", "Feb  3 04:05", "2027-02-03T04:05:00+00:00"},
		{"%B", "Sep", "2026-09-01T00:00:00+00:00"},
		{"%b", "september", "2026-09-01T00:00:00+00:00"},
		{"%R", "4:5", day + "04:05:00+00:00"},
		{"%I:%M %p", "12:30 AM", day + "00:30:00+00:00"},
		{"%I:%M %p", "12:30 pm", day + "12:30:00+00:00"},
		{"%l %p", "4 PM", day + "16:00:00+00:00"},
		{"%k", "4", day + "04:00:00+00:00"},
		{"%S", "61", day + "00:01:01+00:00"},
		{"%u %w %U %V %W %g %G", "5 5 05 05 05 23 2023", day + "00:00:00+00:00"},
		{"%%%n%H%t", "% 04 ", day + "04:00:00+00:00"},

		{"%Y-%m-%d %z", "2023-02-03 -08", "2023-02-03T00:00:00-08:00"},
		{"%Y-%m-%d %z", "2023-02-03 -0330", "2023-02-03T00:00:00-03:30"},
		{"%Y-%m-%d %z", "2023-02-03 Z", "2023-02-03T00:00:00+00:00"},
		{"%Y-%m-%d %Z", "2023-02-03 EST", "2023-02-03T00:00:00-05:00"},
		{"%Y-%m-%d %z", "2023-02-03 PDT", "2023-02-03T00:00:00-07:00"},
		{"(%Y-%m-%d %Z)", "(2023-02-03 GMT)", "2023-02-03T00:00:00+00:00"},
		{"%Y-%m-%d %Z", "2023-02-03 CET", "refused"},
		{"%Y-%m-%d %z", "2023-02-03 +1", "refused"},
		{"%Y-%m-%d %z", "2023-02-03 Europe/Berlin", "refused"},

		{"%Y-%m-%d", "2023-13-03", "refused"},
		{"%d", "32", "refused"},
		{"%H:%M", "24:00", "refused"},
		{"%M", "60", "refused"},
		{"%S", "62", "refused"},
		{"%Y-%m-%d", "2023-02-03x", "refused"},
		{"%Y-%m-%d", "  2023-02-03", "refused"},
		{"%Y-%m-%d%H", "2023-02-03 04", "refused"},
		{"%s", "-5", "refused"},
		{"%p", "xm", "refused"},
		{"%b", "Foo", "refused"},
		{"%Y-", "2023", "refused"},
		{"%H", "", "refused"},
	} {
		t.Run(test.format+" "+test.text, func(t *testing.T) {
			d := &Date{Format: []string{test.format}, TimeStamp: "stamp", Zone: option.Zone{Location: time.UTC}}
			if err := d.Init(); err != nil {
				t.Fatal(err)
			}
			m := message(test.text)
			m.Received = syslog.TimeOf(now)
			got := "refused"
			if d.Process(m) {
				got = string(template.Must("$ISODATE").Append(nil, m, nil))
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestDateOptions(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	testneed.That(t, err == nil, "time zones")
	d := &Date{Format: []string{"%F", "%F %T %Z", "%F %T"}, TimeStamp: "recvd", Value: "when", Zone: option.Zone{Location: berlin}}
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want string }{
		{"2023-07-03 04:05:06", "2023-07-03T04:05:06+02:00"},
		{"2023-07-03 04:05:06 CEST", "2023-07-03T04:05:06+02:00"},
		{"2023-07-03 04:05:06 CET", "2023-07-03T04:05:06+01:00"},
	} {
		m := message("no date")
		m.Set(d.name, []byte(test.text))
		if !d.Process(m) {
			t.Errorf("%s is refused", test.text)
		}
		if got := string(template.Must("$R_ISODATE").Append(nil, m, nil)); got != test.want {
			t.Errorf("%s: %s, want %s", test.text, got, test.want)
		}
	}
}

// FuzzDate writes a time by the verbs that have all of it, and reads it again.
func FuzzDate(f *testing.F) {
	f.Add(int64(1700000000), int32(3600))
	f.Add(int64(-1), int32(-12600))
	f.Fuzz(func(t *testing.T, sec int64, offset int32) {
		want := time.Unix(sec, 0).In(time.FixedZone("", int(offset/60*60)))
		if want.Year() < 1 || want.Year() > 9999 || offset <= -86400 || offset >= 86400 {
			return
		}
		for format, layout := range map[string]string{
			"%Y-%m-%dT%H:%M:%S%z":         "2006-01-02T15:04:05-07:00",
			"%a, %d %b %Y %I:%M:%S %p %z": "Mon, 02 Jan 2006 03:04:05 PM -0700",
			"%F %T %Z":                    "2006-01-02 15:04:05 -0700",
		} {
			text := want.Format(layout)
			got, ok := strptime(text, format, time.UTC, time.Unix(0, 0))
			if !ok || !got.Equal(want) {
				t.Errorf("%s by %s: %v %v, want %v", text, format, got, ok, want)
			}
		}
	})
}

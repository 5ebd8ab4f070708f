package syslog

import (
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	stamp := TimeOf(time.Date(2023, 2, 3, 4, 5, 6, 123456000, time.FixedZone("", -12600)))
	m := Message{Priority: 165, Timestamp: stamp, Hostname: []byte("h1"), AppName: []byte("sshd"), ProcID: []byte("42"),
		Tag: []byte("sshd[42]: "), Msg: []byte("text")}
	for _, c := range []struct {
		digits           int
		rfc5424, rfc3164 string
	}{
		{0, "<165>1 2023-02-03T04:05:06-03:30 h1 sshd 42 - - text", "<165>Feb  3 04:05:06 h1 sshd[42]: text"},
		{3, "<165>1 2023-02-03T04:05:06.123-03:30 h1 sshd 42 - - text", "<165>Feb  3 04:05:06.123 h1 sshd[42]: text"},
		{6, "<165>1 2023-02-03T04:05:06.123456-03:30 h1 sshd 42 - - text", "<165>Feb  3 04:05:06.123456 h1 sshd[42]: text"},
	} {
		f := Formatter{FracDigits: c.digits}
		if got := string(f.AppendRFC5424(nil, &m)); got != c.rfc5424 {
			t.Errorf("got  %s\nwant %s", got, c.rfc5424)
		}
		if got := string(f.AppendRFC3164(nil, &m)); got != c.rfc3164 {
			t.Errorf("got  %s\nwant %s", got, c.rfc3164)
		}
	}
}

// TestFormatTimes holds both stamps against the standard library's.
func TestFormatTimes(t *testing.T) {
	var f Formatter
	for i := range 3000 {
		sec := int64(i) * 3456789
		want := time.Unix(sec, 0).In(time.FixedZone("", i%48*1800-43200))
		for range 2 { // the second time it is remembered
			if got := string(f.AppendISO(nil, TimeOf(want))); got != want.Format("2006-01-02T15:04:05-07:00") {
				t.Fatalf("got %s, want %v", got, want)
			}
			if got := string(f.AppendBSD(nil, TimeOf(want))); got != want.Format("Jan _2 15:04:05") {
				t.Fatalf("got %s, want %v", got, want)
			}
		}
	}
}

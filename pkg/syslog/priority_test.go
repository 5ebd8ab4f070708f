package syslog

import "testing"

func TestParseFacility(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Facility
		err  string
	}{
		{in: "kern", want: 0},
		{in: "AuthPriv", want: 10},
		{in: "megasafe", want: 10},
		{in: "solaris-cron", want: 15},
		{in: "local7", want: 23},
		{in: "16", want: 16},
		{in: "8191", want: MaxFacility},
		{in: "8192", err: `facility "8192" is not known, want one of kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console solaris-cron local0 local1 local2 local3 local4 local5 local6 local7, or a number`},
		{in: "-1", err: `facility "-1" is not known, want one of kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console solaris-cron local0 local1 local2 local3 local4 local5 local6 local7, or a number`},
	} {
		got, err := ParseFacility(c.in)
		if got != c.want || errorText(err) != c.err {
			t.Errorf("ParseFacility(%q) = %v, %v, want %v, %s", c.in, got, err, c.want, c.err)
		}
	}
}

func TestParseSeverity(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Severity
		err  string
	}{
		{in: "emerg", want: Emerg},
		{in: "panic", want: Emerg},
		{in: "EMERGENCY", want: Emerg},
		{in: "critical", want: Crit},
		{in: "error", want: Err},
		{in: "warn", want: Warning},
		{in: "informational", want: Info},
		{in: "7", want: Debug},
		{in: "8", err: `severity "8" is not known, want one of emerg alert crit err warning notice info debug, or a number from 0 to 7`},
		{in: "", err: `severity "" is not known, want one of emerg alert crit err warning notice info debug, or a number from 0 to 7`},
	} {
		got, err := ParseSeverity(c.in)
		if got != c.want || errorText(err) != c.err {
			t.Errorf("ParseSeverity(%q) = %v, %v, want %v, %s", c.in, got, err, c.want, c.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestNamesComeBack(t *testing.T) {
	for p := Priority(0); p < 192; p++ {
		f, err := ParseFacility(p.Facility().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSeverity(p.Severity().String())
		if err != nil {
			t.Fatal(err)
		}
		if got := NewPriority(f, s); got != p {
			t.Errorf("priority %d comes back as %d", p, got)
		}
	}
	if got := Facility(124).String(); got != "7c" {
		t.Errorf("facility 124 is %s, want 7c", got)
	}
}

func TestSets(t *testing.T) {
	for _, c := range []struct{ a, b Facility }{{0, 0}, {4, 10}, {10, 4}, {0, 31}, {23, 100}, {40, 50}} {
		set := FacilityRange(c.a, c.b)
		for f := range Facility(64) {
			want := f < 32 && f >= min(c.a, c.b) && f <= max(c.a, c.b)
			if set.Has(f) != want {
				t.Errorf("FacilityRange(%d, %d).Has(%d) = %v, want %v", c.a, c.b, f, !want, want)
			}
		}
	}
	for a := range Severity(8) {
		for b := range Severity(8) {
			set := SeverityRange(a, b)
			for s := range Severity(8) {
				if want := s >= min(a, b) && s <= max(a, b); set.Has(s) != want {
					t.Errorf("SeverityRange(%v, %v).Has(%v) = %v, want %v", a, b, s, !want, want)
				}
			}
		}
	}
}

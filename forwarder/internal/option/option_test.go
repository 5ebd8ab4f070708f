package option

import (
	"encoding"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestUnmarshalText(t *testing.T) {
	offset := func(name string, seconds int) Zone { return Zone{time.FixedZone(name, seconds)} }
	for _, test := range []struct {
		text string
		want any
		err  string
	}{
		{"10", Duration(10 * time.Second), ""},
		{"0.5", Duration(500 * time.Millisecond), ""},
		{"1m30s", Duration(90 * time.Second), ""},
		{"0", Duration(0), ""},
		{"-1", Duration(0), `duration "-1" is not a number of seconds, nor one with a unit like "1m30s"`},
		{"-1s", Duration(0), `duration "-1s" is not a number of seconds, nor one with a unit like "1m30s"`},
		{"1e300", Duration(0), `duration "1e300" is not a number of seconds, nor one with a unit like "1m30s"`},
		{"NaN", Duration(0), `duration "NaN" is not a number of seconds, nor one with a unit like "1m30s"`},
		{"inf", Duration(0), `duration "inf" is not a number of seconds, nor one with a unit like "1m30s"`},
		{"", Duration(0), `duration "" is not a number of seconds, nor one with a unit like "1m30s"`},

		{"512", Size(512), ""},
		{"1B", Size(1), ""},
		{"64KiB", Size(64 << 10), ""},
		{"1 MiB", Size(1 << 20), ""},
		{"2GB", Size(2e9), ""},
		{"1kB", Size(1000), ""},
		{"8388607TiB", Size(8388607 << 40), ""},
		{"8388608TiB", Size(0), `size "8388608TiB" is not a number of bytes, nor one with a unit like "64KiB"`},
		{"-1", Size(0), `size "-1" is not a number of bytes, nor one with a unit like "64KiB"`},
		{"1.5MB", Size(0), `size "1.5MB" is not a number of bytes, nor one with a unit like "64KiB"`},
		{"KiB", Size(0), `size "KiB" is not a number of bytes, nor one with a unit like "64KiB"`},

		{"0640", Mode(0o640), ""},
		{"7777", Mode(0o7777), ""},
		{"10000", Mode(0), `permissions "10000" are not an octal number like "0640"`},
		{"0o640", Mode(0), `permissions "0o640" are not an octal number like "0640"`},
		{"rw", Mode(0), `permissions "rw" are not an octal number like "0640"`},

		{"", Zone{}, ""},
		{"UTC", Zone{time.UTC}, ""},
		{"+02:00", offset("+02:00", 7200), ""},
		{"-0330", offset("-0330", -12600), ""},
		{"+24:00", Zone{}, `time zone "+24:00" is neither an offset like "+02:00" nor a name like "Europe/Berlin" that this host knows`},
		{"+00:60", Zone{}, `time zone "+00:60" is neither an offset like "+02:00" nor a name like "Europe/Berlin" that this host knows`},
		{"+2", Zone{}, `time zone "+2" is neither an offset like "+02:00" nor a name like "Europe/Berlin" that this host knows`},
		{"Mars/Olympus", Zone{}, `time zone "Mars/Olympus" is neither an offset like "+02:00" nor a name like "Europe/Berlin" that this host knows`},
		{"../zone", Zone{}, `time zone "../zone" is neither an offset like "+02:00" nor a name like "Europe/Berlin" that this host knows`},
	} {
		got := reflect.New(reflect.TypeOf(test.want))
		err := got.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(test.text))
		if err == nil {
			err = errors.New("")
		}
		if !reflect.DeepEqual(got.Elem().Interface(), test.want) || err.Error() != test.err {
			t.Errorf("%T %q: %v, %v, want %v, %s", test.want, test.text, got.Elem(), err, test.want, test.err)
		}
	}
}

func TestError(t *testing.T) {
	err := Errorf("patterns[1]", "no good: %w", os.ErrNotExist)
	if got, want := err.Error(), "patterns[1]: no good: file does not exist"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.Key != "patterns[1]" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%#v has no key or no reason", err)
	}
}

func TestLookupOwner(t *testing.T) {
	for _, test := range []struct {
		owner, group string
		uid, gid     int
		err          string
	}{
		{"", "", -1, -1, ""},
		{"root", "0", 0, 0, ""},
		{"1234", "", 1234, -1, ""},
		{"no-such-user", "", 0, 0, "owner: user: unknown user no-such-user"},
		{"root", "no-such-group", 0, 0, "group: group: unknown group no-such-group"},
		{"-5", "", 0, 0, "owner: user: unknown user -5"},
	} {
		uid, gid, err := LookupOwner(test.owner, test.group)
		if err == nil {
			err = errors.New("")
		}
		if uid != test.uid || gid != test.gid || err.Error() != test.err {
			t.Errorf("%q %q: %d %d %v, want %d %d %s", test.owner, test.group, uid, gid, err, test.uid, test.gid, test.err)
		}
	}
}

func TestTLS(t *testing.T) {
	if v, err := TLSVersion("1.3"); err != nil || v != 0x0304 {
		t.Errorf("%#x, %v, want 0x304", v, err)
	}
	if _, err := TLSVersion("1.1"); err == nil || err.Error() != `tls.min_version: version "1.1" is not known, want 1.2 or 1.3` {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	empty := filepath.Join(dir, "README")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ file, dir, want string }{
		{empty, "", "tls.ca_file: " + empty + " has no certificate"},
		{dir + "/none", "", "tls.ca_file: open "},
		{"", dir, "tls.ca_dir: " + dir + " has no certificate"},
		{"", dir + "/none", "tls.ca_dir: open "},
	} {
		if _, err := LoadCAs(test.file, test.dir); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q %q: %v, want %s", test.file, test.dir, err, test.want)
		}
	}
	if pool, err := LoadCAs("", ""); pool != nil || err != nil {
		t.Errorf("%v, %v, want neither", pool, err)
	}
}

// FuzzUnmarshalText: no text gives a negative value.
func FuzzUnmarshalText(f *testing.F) {
	f.Add("9223372036.854775807")
	f.Add("9223372036854775807B")
	f.Fuzz(func(t *testing.T, text string) {
		var d Duration
		var s Size
		if err := d.UnmarshalText([]byte(text)); d < 0 || err != nil && d != 0 {
			t.Errorf("duration %q: %d, %v", text, d, err)
		}
		if err := s.UnmarshalText([]byte(text)); s < 0 || err != nil && s != 0 {
			t.Errorf("size %q: %d, %v", text, s, err)
		}
	})
}

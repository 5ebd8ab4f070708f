// Package option has the scalar types of the configuration, and the error that names the option it is about.
package option

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// An Error is about one option of a driver.
type Error struct {
	Key string // as in the configuration, "patterns[1]"
	Err error
}

func (e *Error) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap is the reason.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error for a key.
func Errorf(key, format string, args ...any) error { return &Error{key, fmt.Errorf(format, args...)} }

// In places the error of an option in the table that it stands in.
func In(table string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{table + "." + e.Key, e.Err}
	}
	return err
}

// A Duration is "1m30s", or a number of seconds.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseFloat(string(text), 64); err == nil && n >= 0 && n < math.MaxInt64/float64(time.Second) {
		*d = Duration(n * float64(time.Second))
		return nil
	}
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf(`duration %q is not a number of seconds, nor one with a unit like "1m30s"`, text)
	}
	*d = Duration(v)
	return nil
}

// A Size is a number of bytes, "64KiB", "1MB".
type Size int64

var units = []struct {
	name string
	size int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf(`size %q is not a number of bytes, nor one with a unit like "64KiB"`, text)
	}
	*s = Size(n * unit)
	return nil
}

// A Mode is the permissions of a file, "0640".
type Mode uint32

// UnmarshalText reads permissions.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 12)
	if err != nil {
		return fmt.Errorf(`permissions %q are not an octal number like "0640"`, text)
	}
	*m = Mode(n)
	return nil
}

// A Zone is a time zone: "+02:00", or a name like "Europe/Berlin". Its zero value is none.
type Zone struct{ *time.Location }

// UnmarshalText reads a time zone.
func (z *Zone) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		z.Location = nil
		return nil
	}
	if offset, ok := parseOffset(s); ok {
		z.Location = time.FixedZone(s, offset)
		return nil
	}
	loc, err := time.LoadLocation(s)
	if err != nil {
		return fmt.Errorf(`time zone %q is neither an offset like "+02:00" nor a name like "Europe/Berlin" that this host knows`, s)
	}
	z.Location = loc
	return nil
}

func parseOffset(s string) (seconds int, ok bool) {
	if len(s) == 6 && s[3] == ':' {
		s = s[:3] + s[4:]
	}
	if len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:], 10, 16)
	if err != nil || n/100 > 23 || n%100 > 59 {
		return 0, false
	}
	seconds = int(n/100*3600 + n%100*60)
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// Flag is a name from a list as syslog-ng reads it: _ and - are the same.
func Flag(name string) string { return strings.ReplaceAll(name, "-", "_") }

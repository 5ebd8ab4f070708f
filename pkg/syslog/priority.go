package syslog

import (
	"fmt"
	"strconv"
	"strings"
)

// A Priority is the number between the angle brackets (RFC 5424, section 6.2.1): facility * 8 + severity.
// Numbers above 191 are no facility of the RFC, yet they are kept as they came.
type Priority uint16

// DefaultPriority is user.notice, the priority of a message that comes without one (RFC 3164, section 4.3.3).
const DefaultPriority = Priority(User)<<3 | Priority(Notice)

// NewPriority joins a facility and a severity.
func NewPriority(f Facility, s Severity) Priority { return Priority(f)<<3 | Priority(s) }

// Facility is the upper part of the priority.
func (p Priority) Facility() Facility { return Facility(p >> 3) }

// Severity is the lower three bits of the priority.
func (p Priority) Severity() Severity { return Severity(p & 7) }

// A Facility is the kind of program that sent a message: 0 to 23 have names (RFC 5424, table 1).
type Facility uint16

// The facilities that have a name.
const (
	Kern Facility = iota
	User
	Mail
	Daemon
	Auth
	Syslog
	LPR
	News
	UUCP
	Cron
	AuthPriv
	FTP
	NTP
	Security
	Console
	SolarisCron
	Local0
	Local1
	Local2
	Local3
	Local4
	Local5
	Local6
	Local7
)

// MaxFacility is the greatest facility that fits into a Priority.
const MaxFacility Facility = 1<<13 - 1

var facilityNames = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
	"security", "console", "solaris-cron",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// String is syslog-ng's name of the facility, and the number in hexadecimal for one that has no name.
func (f Facility) String() string {
	if int(f) < len(facilityNames) {
		return facilityNames[f]
	}
	return strconv.FormatUint(uint64(f), 16)
}

// ParseFacility reads the name of a facility, in any case, one of syslog-ng's aliases, or a decimal number.
func ParseFacility(s string) (Facility, error) {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil && Facility(n) <= MaxFacility {
		return Facility(n), nil
	}
	name := strings.ToLower(s)
	if name == "megasafe" { // AdvFS of DEC Unix
		return AuthPriv, nil
	}
	for i, known := range facilityNames {
		if name == known {
			return Facility(i), nil
		}
	}
	return 0, fmt.Errorf("facility %q is not known, want one of %s, or a number", s, strings.Join(facilityNames[:], " "))
}

// A Severity says how bad it is, 0 is the worst (RFC 5424, table 2).
type Severity uint8

// The severities.
const (
	Emerg Severity = iota
	Alert
	Crit
	Err
	Warning
	Notice
	Info
	Debug
)

var severityNames = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

var severityAliases = map[string]Severity{
	"emergency": Emerg, "panic": Emerg, "critical": Crit, "error": Err, "warn": Warning, "informational": Info,
}

// String is syslog-ng's name of the severity.
func (s Severity) String() string { return severityNames[s&7] }

// ParseSeverity reads the name of a severity, in any case, one of syslog-ng's aliases, or a number from 0 to 7.
func ParseSeverity(s string) (Severity, error) {
	if len(s) == 1 && '0' <= s[0] && s[0] <= '7' {
		return Severity(s[0] - '0'), nil
	}
	name := strings.ToLower(s)
	if sev, ok := severityAliases[name]; ok {
		return sev, nil
	}
	for i, known := range severityNames {
		if name == known {
			return Severity(i), nil
		}
	}
	return 0, fmt.Errorf("severity %q is not known, want one of %s, or a number from 0 to 7", s, strings.Join(severityNames[:], " "))
}

// A FacilitySet is a set of the facilities 0 to 31.
type FacilitySet uint32

// FacilityRange is the set of the facilities from a to b, in either order.
func FacilityRange(a, b Facility) FacilitySet {
	a, b = min(a, b), max(a, b)
	return FacilitySet(uint64(1)<<(min(b, 31)+1) - uint64(1)<<min(a, 32))
}

// Has tells whether f is in the set.
func (s FacilitySet) Has(f Facility) bool { return f < 32 && s>>f&1 != 0 }

// A SeveritySet is a set of severities.
type SeveritySet uint8

// SeverityRange is the set of the severities from a to b, in either order.
func SeverityRange(a, b Severity) SeveritySet {
	a, b = min(a, b)&7, max(a, b)&7
	return SeveritySet(uint(2)<<b - uint(1)<<a)
}

// Has tells whether sev is in the set.
func (s SeveritySet) Has(sev Severity) bool { return s>>(sev&7)&1 != 0 }

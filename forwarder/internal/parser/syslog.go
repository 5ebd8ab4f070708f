package parser

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// Syslog reads a syslog message within the message, whose header it replaces; a host and a PID that it does not name
// stay.
type Syslog struct {
	Common
	Flags           []string    `toml:"flags"`
	DropInvalid     bool        `toml:"drop_invalid"` // refuse what is no message
	Zone            option.Zone `toml:"time_zone"`    // of stamps that name none
	DefaultPriority string      `toml:"default_priority"`

	noParse bool      // the text is the message, its header stays
	parsers sync.Pool // of *syslog.Parser
}

// Init readies the parser.
func (s *Syslog) Init() error {
	p, header, err := HeaderOptions(s.Flags)
	if err != nil {
		return err
	}
	s.noParse = header.NoParse
	if p.DefaultPriority, err = ParsePriority(s.DefaultPriority); err != nil {
		return option.Errorf("default_priority", "%w", err)
	}
	p.Location = s.Zone.Location
	s.parsers.New = func() any { q := p; return &q }
	return nil
}

// Process parses m.
func (s *Syslog) Process(m *logmsg.Message) bool {
	text := s.input(m)
	if s.noParse {
		m.Msg = text
		return true
	}
	p := s.parsers.Get().(*syslog.Parser)
	defer s.parsers.Put(p)
	var inner syslog.Message
	if err := p.Parse(text, m.Received, &inner); err != nil {
		if s.DropInvalid {
			return false
		}
		SetError(m, text, err)
		m.ClearTags()
		return true
	}
	if len(inner.ProcID) == 0 {
		inner.ProcID = m.ProcID
	}
	if inner.Version == 0 { // what RFC 3164 does not have stays
		inner.MsgID, inner.StructuredData = m.MsgID, m.StructuredDataBytes()
	}
	if len(inner.Hostname) == 0 {
		inner.Hostname = m.Hostname
	} else {
		m.Chained = false
	}
	m.ReplaceHeader(inner)
	return true
}

// SetError makes m the message that says that text is no message, so that text is not lost. Of m as it was only tags stay.
func SetError(m *logmsg.Message, text []byte, err error) {
	at := 0
	if bad, ok := errors.AsType[*syslog.SyntaxError](err); ok && bytes.IndexByte(text[:min(bad.Offset, len(text))], '>') >= 0 {
		at = min(bad.Offset, len(text)) - 1 // syslog-ng looks one byte back, and not at all into the priority
	}
	msg := append([]byte("Error processing log message: "), text[:at]...)
	if at > 0 {
		msg = append(msg, ">@<"...)
	}
	origin := *m.Origin
	origin.Local = true // we say it
	m.Origin = &origin
	m.ClearPairs()
	m.ReplaceHeader(syslog.Message{
		Priority:  syslog.NewPriority(syslog.Syslog, syslog.Err),
		Timestamp: m.Received,
		AppName:   []byte("syslog-ng"),
		ProcID:    strconv.AppendInt(nil, int64(os.Getpid()), 10),
		Msg:       append(msg, text[at:]...),
	})
}

// ParsePriority reads "facility.severity", "" is user.notice.
func ParsePriority(text string) (syslog.Priority, error) {
	if text == "" {
		return syslog.DefaultPriority, nil
	}
	facility, severity, ok := strings.Cut(text, ".")
	if !ok {
		return 0, fmt.Errorf("%q is not a facility, a dot and a severity", text)
	}
	f, err := syslog.ParseFacility(facility)
	if err != nil {
		return 0, err
	}
	s, err := syslog.ParseSeverity(severity)
	return syslog.NewPriority(f, s), err
}

// A Header says what is done with a message besides parsing it.
type Header struct {
	NoParse, NoMultiLine, SanitizeUTF8, NoLegacyHeader, StoreRaw, Kernel, EmptyLines bool

	AssumeUTF8, ValidateUTF8 bool // messages, or those that are UTF-8, leave with a byte order mark where they leave by RFC 5424
}

// HeaderOptions reads the flags of sources and of the syslog parser. Of two that contradict each other the first counts.
func HeaderOptions(flags []string) (p syslog.Parser, h Header, err error) {
	for i, f := range slices.Backward(flags) {
		switch option.Flag(f) {
		case "syslog_protocol":
			p.RFC5424 = true
		case "no_rfc3164_fallback":
			p.NoFallback = true
		case "no_parse":
			h.NoParse = true
		case "no_hostname":
			p.NoHostname = true
		case "expect_hostname":
			p.NoHostname = false
		case "no_header":
			p.NoHeader = true
		case "check_hostname":
			p.CheckHostname = true
		case "kernel":
			h.Kernel = true
		case "no_multi_line":
			h.NoMultiLine = true
		case "sanitize_utf8":
			h.SanitizeUTF8 = true
		case "dont_store_legacy_msghdr":
			h.NoLegacyHeader = true
		case "store_legacy_msghdr":
			h.NoLegacyHeader = false
		case "store_raw_message":
			h.StoreRaw = true
		case "assume_utf8":
			h.AssumeUTF8 = true
		case "validate_utf8":
			h.ValidateUTF8 = true
		case "empty_lines":
			h.EmptyLines = true
		case "guess_timezone", "threaded":
		default:
			return p, h, option.Errorf(fmt.Sprintf("flags[%d]", i), "flag %q is not known, want %s", f, strings.Join(headerFlags, ", "))
		}
	}
	return p, h, nil
}

var headerFlags = []string{
	"syslog_protocol", "no_parse", "no_hostname", "no_multi_line", "no_header", "store_legacy_msghdr", "dont_store_legacy_msghdr",
	"expect_hostname", "sanitize_utf8", "validate_utf8", "assume_utf8", "no_rfc3164_fallback", "kernel", "check_hostname",
	"store_raw_message", "guess_timezone", "empty_lines",
}

package syslog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// A Message is one syslog message, taken apart. The byte fields are parts of what was parsed and good until that is
// reused; a field that is absent, or "-" in RFC 5424, is empty.
type Message struct {
	Priority  Priority
	Version   int // 1 for RFC 5424, 0 for RFC 3164
	Timestamp Time
	Stamped   bool // the Timestamp was in the message, else it is the time of receipt
	UTF8      bool // a byte order mark stood before Msg and was left out

	Hostname []byte
	AppName  []byte // RFC 3164: the TAG up to a blank, a bracket or a colon
	ProcID   []byte // RFC 3164: what stood in brackets after it
	MsgID    []byte

	// StructuredData is as written, from the first bracket to the last; Params takes it apart.
	StructuredData []byte
	// Tag is, for RFC 3164, the TAG with all that parts it from the content: "sshd[42]: ".
	Tag []byte
	// Msg is MSG of RFC 5424, CONTENT of RFC 3164.
	Msg []byte

	SequenceID []byte // the number that Cisco writes before the stamp
	Clock      Clock  // what Cisco says of its clock before the stamp

	line line
}

// Clock is the state of the sender's clock.
type Clock uint8

// The states of a clock.
const (
	ClockUnknown  Clock = iota
	ClockUnsynced       // an asterisk before the stamp
	ClockSynced         // a dot before the stamp
)

// A Parser takes messages apart. The zero value reads RFC 3164. It is not for more than one goroutine at a time: it keeps
// the last stamps and their zone.
type Parser struct {
	// RFC5424 reads messages by RFC 5424; those without VERSION 1 are read by RFC 3164.
	RFC5424 bool
	// NoFallback makes a message without VERSION 1 an error.
	NoFallback bool
	// NoHeader takes all after the priority for content.
	NoHeader bool
	// NoHostname says that the senders leave the host out: the word after the stamp is the program.
	NoHostname bool
	// CheckHostname takes a word with characters that no host name has for the program.
	CheckHostname bool
	// BadHostname, unless nil, tells of a word that it is no host name though it stands where one would.
	BadHostname func(word []byte) bool
	// Local says that the messages come from this host, where a kernel message has no program.
	Local bool
	// KeepLine makes messages of RFC 3164 remember the line that they are read from, for Message.Line.
	KeepLine bool
	// DefaultPriority is that of a message without one. Zero: user.notice.
	DefaultPriority Priority
	// Location is the zone of stamps that name none, and in which the time of receipt stands for a missing one. Nil: the local zone. It stays as it is after the first message.
	Location *time.Location

	zone    zone
	stamps  [4]knownStamp  // by the second
	seconds [4]knownSecond // the same, of RFC 3339
}

// A knownStamp is what "Mmm dd hh:mm:ss" meant in a second of receipt.
type knownStamp struct {
	text  [bsdSize]byte
	now   int64 // on the wall clock
	time  Time
	plain bool // AppendBSD writes it so
}

// A SyntaxError says where a message stops being one.
type SyntaxError struct {
	Offset int    // in the message, where syslog-ng puts it: at the first byte that does not fit or one further; 0: at all
	Want   string // what should be there
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("offset %d: want %s", e.Offset, e.Want) }

// Parse takes b, one message without framing, apart into m. now is the time of receipt: the stamp of a message without one,
// and what tells the year of a stamp without one (the year that puts it nearest to now). Newlines and NULs at the end are
// left out. On failure the error is a *SyntaxError and m is zero.
func (p *Parser) Parse(b []byte, now Time, m *Message) error {
	given := b
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	*m = Message{Timestamp: now}
	i, err := p.parsePriority(b, m)
	if p.RFC5424 {
		if n := scanVersion(b[i:]); err == nil && n > 0 {
			m.Version = 1
			err = p.parseRFC5424(b, i+n, now, m)
		} else if p.NoFallback {
			err = &SyntaxError{Want: "<PRI>1 and a blank"}
		} else if err == nil {
			p.parseRFC3164(b, i, now, m)
		}
	} else if err == nil {
		p.parseRFC3164(b, i, now, m)
	}
	if err != nil {
		*m = Message{}
	} else if m.line.host > 0 {
		m.line.keep(given, b, m)
	}
	return err
}

// parsePriority returns the offset behind the priority.
func (p *Parser) parsePriority(b []byte, m *Message) (int, error) {
	if len(b) == 0 || b[0] != '<' {
		m.Priority = p.DefaultPriority
		if m.Priority == 0 {
			m.Priority = DefaultPriority
		}
		return 0, nil
	}
	i, n := 1, Priority(0)
	for ; i < len(b) && b[i] != '>'; i++ {
		if !isDigit(b[i]) {
			return 0, &SyntaxError{Want: "digits and > after <"}
		}
		n = n*10 + Priority(b[i]-'0')
	}
	m.Priority = n
	return min(i+1, len(b)), nil
}

// scanVersion returns how many digits the version has, 0 if it is not 1.
func scanVersion(b []byte) int {
	i := 0
	for i < len(b) && b[i] == '0' {
		i++
	}
	if i < len(b) && b[i] == '1' && (i+1 == len(b) || b[i+1] == ' ') {
		return i + 1
	}
	return 0
}

const (
	aixForward = "Message forwarded from "
	repeated   = "last message repeated"
)

// kernel is the program of a local kernel message, which has no TAG.
var kernel = []byte("kernel")

// parseRFC3164 reads what follows the priority. It never fails: at worst all is content.
func (p *Parser) parseRFC3164(b []byte, i int, now Time, m *Message) {
	if p.NoHeader {
		m.Msg = b[i:]
		return
	}
	start := i
	i = scanCisco(b, i, m)
	n, ok, plain := p.scanStamp(b[i:], now, m)
	if plain && p.KeepLine && i == start && isPlainPriority(b[:i]) {
		m.line.host = i + n + 1
	}
	if !ok {
		if p.Location != nil {
			_, offset := now.Time().In(p.Location).Zone()
			m.Timestamp.Offset = int32(offset)
		}
		if p.Local && m.Priority.Facility() == Kern {
			m.AppName = kernel
			m.Msg = b[i:]
			return
		}
		parseTag(b, i, m)
		return
	}
	i = skipBlanks(b, i+n)
	forwarded := bytes.HasPrefix(b[i:], []byte(aixForward))
	if forwarded {
		i += len(aixForward)
		end := i
		for end < len(b) && b[end] != ':' {
			end++
		}
		m.Hostname = b[i:end]
		for i = end; i < len(b) && (b[i] == ' ' || b[i] == ':'); i++ {
		}
	}
	if len(b)-i > len(repeated) && string(b[i:i+len(repeated)]) == repeated {
		m.Msg = b[i:]
		return
	}
	if !forwarded && !p.NoHostname {
		if end, ok := p.scanHostname(b, i); ok && (p.BadHostname == nil || !p.BadHostname(b[i:end])) {
			m.Hostname = b[i:end]
			i = end
		}
		i = skipBlanks(b, i)
	}
	parseTag(b, i, m)
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && b[i] == ' ' {
		i++
	}
	return i
}

// scanCisco reads what Cisco writes before the stamp, "123: *", and returns the offset behind it.
func scanCisco(b []byte, i int, m *Message) int {
	end := i
	for end < len(b) && isDigit(b[end]) {
		end++
	}
	if end+1 < len(b) && b[end] == ':' && b[end+1] == ' ' {
		m.SequenceID = b[i:end]
		i = end + 1
	}
	i = skipBlanks(b, i)
	if i < len(b) {
		switch b[i] {
		case '*':
			m.Clock = ClockUnsynced
			i++
		case '.':
			m.Clock = ClockSynced
			i++
		}
	}
	return i
}

// scanStamp reads the stamp of RFC 3164 in any form and returns how many bytes it had, and whether AppendBSD writes it so.
func (p *Parser) scanStamp(b []byte, now Time, m *Message) (n int, ok, plain bool) {
	ends := endsBSD(b)
	if ends {
		if known := p.knownAt(b); known.is(b, now) { // it needs no second look
			m.Timestamp, m.Stamped = known.time, true
			return bsdSize, true, known.plain
		}
	}
	var c civil
	if n = c.scanBSD(b); n > 0 {
		p.setStamp(&c, now, m)
	} else if n = p.scanISO(b, now, m); n == 0 {
		return 0, false, false
	}
	if ends && n == bsdSize {
		text := [bsdSize]byte(b)
		plain = string(new(Formatter).AppendBSD(nil, m.Timestamp)) == string(text[:])
		*p.knownAt(b) = knownStamp{text, now.wall(), m.Timestamp, plain}
	}
	if n < len(b) && b[n] == ':' { // Cisco
		n++
	}
	return n, true, plain
}

// endsBSD tells whether a blank ends a stamp of RFC 3164 at the beginning of b, if there is one: no year follows.
func endsBSD(b []byte) bool {
	return len(b) > 20 && b[bsdSize] == ' ' && (!isDigit(b[bsdSize+1]) || b[20] > ' ')
}

func (k *knownStamp) is(b []byte, now Time) bool {
	return k.now == now.wall() && string(k.text[:]) == string(b[:bsdSize])
}

// knownAt is where what the plain stamp b means is remembered: seconds that follow each other have places of their own, also 59 and 00.
func (p *Parser) knownAt(b []byte) *knownStamp { return &p.stamps[(b[bsdSize-2]*10+b[bsdSize-1])%4] }

const averageYear = 31556952 // seconds

func (p *Parser) setStamp(c *civil, now Time, m *Message) {
	nowWall := now.wall()
	if !c.hasYear {
		c.year = 1970 + int(nowWall/averageYear)
	}
	wall := c.wall()
	if !c.hasYear {
		if wall-nowWall > averageYear/2 {
			c.year--
			wall = c.wall()
		} else if nowWall-wall > averageYear/2 {
			c.year++
			wall = c.wall()
		}
	}
	if !c.hasOffset {
		loc := p.Location
		if loc == nil {
			loc = time.Local
		}
		c.offset = p.zone.offsetAt(loc, wall)
	}
	m.Timestamp = Time{Sec: wall - int64(c.offset), Usec: c.usec, Offset: c.offset}
	m.Stamped = true
}

// scanHostname returns the offset behind the host name that begins at i: a word of at most 255 characters before a blank,
// without a bracket, and without a colon unless all of it may be an IPv6 address.
func (p *Parser) scanHostname(b []byte, i int) (end int, ok bool) {
	end = i
	if !p.CheckHostname {
		end = endOfWord(b[:min(len(b), i+255)], i, '[')
	}
	for ; end < len(b) && b[end] != ' '; end++ {
		switch c := b[end]; {
		case c == '[', end-i == 255:
			return 0, false
		case c == ':':
			if !mayBeIPv6(b[i : end+1]) {
				return 0, false
			}
		case p.CheckHostname && !isHostnameByte(c):
			return 0, false
		}
	}
	return end, end < len(b)
}

// mayBeIPv6 looks at the beginning of a word: groups of at most four hexadecimal digits, at most seven colons.
func mayBeIPv6(word []byte) bool {
	colons, digits := 0, 0
	for _, c := range word {
		switch {
		case c == ':':
			colons++
			digits = 0
		case isDigit(c), 'a' <= c|0x20 && c|0x20 <= 'f':
			digits++
		default:
			return false
		}
		if colons > 7 || digits > 4 {
			return false
		}
	}
	return true
}

func isHostnameByte(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '_' || c == '.' || c == ':' || c == '@' || c == '/'
}

// endOfWord is where the first blank, colon or bracket is in b from i on, len(b) if there is none. It looks at eight bytes at once:
// the lengths of words are what a processor cannot foresee.
func endOfWord(b []byte, i int, bracket byte) int {
	brackets := uint64(bracket) * ones
	rest := b[i:]
	for ; len(rest) >= 8; rest = rest[8:] {
		w := binary.LittleEndian.Uint64(rest)
		if found := firstZero(w^' '*ones) | firstZero(w^':'*ones) | firstZero(w^brackets); found != 0 {
			return len(b) - len(rest) + bits.TrailingZeros64(found)/8
		}
	}
	for n, c := range rest {
		if c == ' ' || c == ':' || c == bracket {
			return len(b) - len(rest) + n
		}
	}
	return len(b)
}

// ones has a one in each byte.
const ones = 0x0101010101010101

// firstZero has no bit below the highest one of the first byte of w that is zero, which it has.
func firstZero(w uint64) uint64 { return (w - ones) &^ w & (0x80 * ones) }

// parseTag reads "program[pid]: " and what is left, the content.
func parseTag(b []byte, i int, m *Message) {
	start := i
	i = endOfWord(b, i, '[')
	m.AppName = b[start:i]
	if i < len(b) && b[i] == '[' {
		pid := i + 1
		if i = endOfWord(b, i, ']'); i < len(b) {
			m.ProcID = b[pid:max(pid, i)]
			if b[i] == ']' {
				i++
			}
		}
	}
	if i < len(b) && b[i] == ':' {
		i++
	}
	if i < len(b) && b[i] == ' ' {
		i++
	}
	m.Tag = b[start:i]
	m.Msg = b[i:]
}

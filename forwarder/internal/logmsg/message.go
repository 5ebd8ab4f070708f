// Package logmsg has the message as it goes through the log paths.
//
// A [Message] is the taken-apart syslog message, where it came from and when, and what the steps of the log paths made of
// it: name-value pairs and tags. Its bytes are parts of the source's read buffer or of the message's own arena, so a
// message is good only until the next read: the goroutine that read it carries it through all paths, and what a
// destination wants to keep it formats into bytes of its own. One goroutine uses a message at a time.
package logmsg

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"kad/pkg/syslog"
)

// A Message is one message on its way. The header fields are those of the embedded syslog.Message.
type Message struct {
	syslog.Message

	Received syslog.Time // when the source read it
	Origin   *Origin     // where it came from, never nil in a log path
	Chained  bool        // Hostname is a chain: what the message said, a slash, the sender
	Item     []byte      // $_: what a template stands for now, of several

	lines    []int  // see SetLines
	noHeader bool   // PROGRAM or PID was changed: Tag is no longer true
	exploded bool   // StructuredData is in pairs
	pairs    []pair // in the order of their making
	tags     []string
	arena    []byte // the text of values that steps made
}

// An Origin is what all messages of a connection, or of a datagram's sender, have in common.
type Origin struct {
	Source []byte     // name of the source
	Tags   []string   // of the source, ".source.NAME" among them
	Peer   netip.Addr // of the sender; zero: this host
	Host   []byte     // HOST_FROM: name or address of the sender
	Dest   netip.Addr // the local address it came to, if known
	Port   uint16     // the local port, if any

	Protocol uint8 // of IP: 6 is TCP; 0: none
	Local    bool  // it is of this host: from a socket or a file
}

type pair struct {
	name  string
	value []byte
}

// Reset makes m an empty message from origin, received at now, and keeps its memory.
func (m *Message) Reset(origin *Origin, now syslog.Time) {
	m.Message = syslog.Message{}
	m.Begin(origin, now)
}

// Begin is Reset but for the header, which is to be replaced.
func (m *Message) Begin(origin *Origin, now syslog.Time) {
	m.Received, m.Origin, m.Item, m.lines = now, origin, nil, nil
	m.Chained, m.noHeader, m.exploded = false, false, false
	m.pairs, m.tags, m.arena = m.pairs[:0], origin.Tags, m.arena[:0]
}

// CopyFrom makes m a copy of from that may be changed. The copy is good for as long as from is and does not change.
func (m *Message) CopyFrom(from *Message) {
	pairs, arena := m.pairs, m.arena
	*m = *from
	m.pairs = append(pairs[:0], from.pairs...)
	m.arena = arena[:0]
	m.tags = slices.Clip(from.tags)
}

// Value is the value of a name, nil if it has none.
func (m *Message) Value(n Name) []byte {
	switch n.field {
	case Host:
		return m.Hostname
	case Text:
		return m.Msg
	case Program:
		return m.AppName
	case PID:
		return m.ProcID
	case MsgID:
		return m.Message.MsgID
	case HostFrom:
		return m.Origin.Host
	case Source:
		return m.Origin.Source
	case LegacyHeader:
		if m.noHeader {
			return nil
		}
		return m.Tag
	case sdata:
		return m.param(n)
	}
	return m.lookup(n.text)
}

// Macro is the value of a name in a template: HOST of a chain is only one host, what the message said; for a filter it is all
// of the chain.
func (m *Message) Macro(n Name) []byte {
	if n.field == Host && m.Chained && n.text != fullHost {
		host := m.Hostname[bytes.IndexByte(m.Hostname, '@')+1:]
		host, _, _ = bytes.Cut(host, []byte("/"))
		return host
	}
	return m.Value(n)
}

func (m *Message) lookup(name string) []byte {
	for i := range m.pairs {
		if m.pairs[i].name == name {
			return m.pairs[i].value
		}
	}
	return nil
}

// Arena is where a new value is written: append to it, then hand it to SetArena.
func (m *Message) Arena() []byte { return m.arena }

// SetArena gives n the value that was appended to Arena.
func (m *Message) SetArena(n Name, arena []byte) {
	value := arena[len(m.arena):]
	if value == nil {
		value = []byte{} // empty is not unset
	}
	m.arena = arena
	m.setShared(n, value[:len(value):len(value)])
}

// Set gives n a copy of value.
func (m *Message) Set(n Name, value []byte) { m.SetArena(n, append(m.arena, value...)) }

// setShared gives n a value that stays as it is for as long as the message lives.
func (m *Message) setShared(n Name, value []byte) {
	switch n.field {
	case Host:
		m.Hostname = value
	case Text:
		m.Msg = value
	case Program:
		m.AppName, m.noHeader = value, true
	case PID:
		m.ProcID, m.noHeader = value, true
	case MsgID:
		m.Message.MsgID = value
	case LegacyHeader:
		m.Tag, m.noHeader = value, false
	case HostFrom:
		origin := *m.Origin
		origin.Host = value
		m.Origin = &origin
	case Source:
		origin := *m.Origin
		origin.Source = value
		m.Origin = &origin
	case sdata:
		m.explode()
		m.setPair(n.text, value)
	default:
		m.setPair(n.text, value)
	}
}

func (m *Message) setPair(name string, value []byte) {
	for i := range m.pairs {
		if m.pairs[i].name == name {
			m.pairs[i].value = value
			return
		}
	}
	m.pairs = append(m.pairs, pair{name, value})
}

// Unset takes the value of n away.
func (m *Message) Unset(n Name) {
	switch n.field {
	case sdata:
		m.explode()
		m.unsetPair(n.text)
	case other:
		m.unsetPair(n.text)
	default:
		m.setShared(n, nil)
	}
}

func (m *Message) unsetPair(name string) {
	m.pairs = slices.DeleteFunc(m.pairs, func(p pair) bool { return p.name == name })
}

// Names calls yield with each name that has a value, header fields first; yield may set and unset values.
func (m *Message) Names(yield func(Name)) {
	for _, n := range headerNames {
		if m.Value(n) != nil {
			yield(n)
		}
	}
	pairs := slices.Clone(m.pairs)
	if !m.exploded {
		m.paramNames(yield)
	}
	for _, p := range pairs {
		yield(NameOf(p.name))
	}
}

// HeaderChanged makes MSGHDR be built from PROGRAM and PID instead of what was read.
func (m *Message) HeaderChanged() { m.noHeader = true }

// AppendHeader appends MSGHDR: the tag as it was read, or "program[pid]: ".
func (m *Message) AppendHeader(dst []byte) []byte {
	if len(m.Tag) > 0 && !m.noHeader {
		return append(dst, m.Tag...)
	}
	if len(m.AppName) == 0 {
		return dst
	}
	dst = append(dst, m.AppName...)
	if len(m.ProcID) > 0 {
		dst = append(append(append(dst, '['), m.ProcID...), ']')
	}
	return append(dst, ": "...)
}

// Line is what m was read from, with its newline, if priority, stamp, HOST, MSGHDR and MSG make just that; else nil.
func (m *Message) Line() []byte {
	if m.noHeader {
		return nil
	}
	return m.Message.Line()
}

// SetLines makes m, which was begun, stand for messages of which no more is known than their lines, one after the other in text: ends are
// where they end there.
func (m *Message) SetLines(text []byte, ends []int) {
	m.SetLine(text[:ends[len(ends)-1]])
	m.lines = ends
}

// Lines are where the lines in Line end that m stands for; none: it is a message.
func (m *Message) Lines() []int { return m.lines }

// ClearPairs takes all values away that are not in the header.
func (m *Message) ClearPairs() { m.pairs, m.exploded = m.pairs[:0], false }

// ReplaceHeader makes header the header of m; what steps made of the one before is forgotten, other values stay.
func (m *Message) ReplaceHeader(header syslog.Message) {
	if m.exploded {
		m.pairs = slices.DeleteFunc(m.pairs, func(p pair) bool { return strings.HasPrefix(p.name, SDataPrefix) })
	}
	m.Message, m.noHeader, m.exploded = header, false, false
}

package syslog

import "bytes"

// A line is what a message of RFC 3164 was read from, and what it said then.
type line struct {
	text     []byte // with its newline; nil: the message does not know
	host     int    // offset of the host if the line begins as AppendRFC3164 writes it; 0: it does not, or nothing else is known
	priority Priority
	time     Time
}

// Line returns the line that m was read from, its newline included, if AppendRFC3164 would still write just that; else nil. It is
// for those who pass most messages on as they came: many lines of a buffer can be copied at once. It is as good as the other fields.
func (m *Message) Line() []byte {
	l := &m.line
	if l.host == 0 {
		return l.text
	}
	if l.text == nil || m.Priority != l.priority || m.Timestamp != l.time || len(m.Hostname) == 0 || len(m.Tag) == 0 || len(m.Msg) == 0 {
		return nil
	}
	tag := l.host + len(m.Hostname) + 1
	msg := tag + len(m.Tag)
	if msg+len(m.Msg)+1 != len(l.text) || &l.text[l.host] != &m.Hostname[0] || &l.text[tag] != &m.Tag[0] || &l.text[msg] != &m.Msg[0] {
		return nil
	}
	return l.text
}

// SetLine makes a message of which nothing but Line is known, and good: the other fields have anything.
func (m *Message) SetLine(text []byte) { m.line = line{text: text} }

// IsPlain tells whether b is a line of RFC 3164, with its newline, that comes out of Parse and AppendRFC3164 as it is. Whoever wants
// to know no more of it need not parse it. It knows the stamps that Parse has met, so that not all plain lines are known for such.
func (p *Parser) IsPlain(b []byte, now Time) bool {
	if p.NoHeader || p.NoHostname || p.CheckHostname || p.BadHostname != nil || len(b) < 8 || b[0] != '<' {
		return false
	}
	i := 2
	for i < 5 && isDigit(b[i]) {
		i++
	}
	if i++; b[i-1] != '>' || !isDigit(b[1]) || !isPlainPriority(b[:i]) {
		return false
	}
	stamp := b[i:]
	if !endsBSD(stamp) {
		return false
	}
	if known := p.knownAt(stamp); !known.plain || !known.is(stamp, now) {
		return false
	}
	i += bsdSize + 1
	end := endOfWord(b, i, '[')
	if end == i || end-i > 255 || end+2 >= len(b) || b[end] != ' ' || b[end+1] == ' ' {
		return false
	}
	last := b[len(b)-2]
	return b[len(b)-1] == '\n' && last != '\n' && last != 0 &&
		!(b[i] == 'M' && bytes.HasPrefix(b[i:], []byte(aixForward))) && !(b[i] == 'l' && bytes.HasPrefix(b[i:], []byte(repeated)))
}

// keep notes that m, whose text was read from given, was all of it but for a newline.
func (l *line) keep(given, text []byte, m *Message) {
	if n := len(text); len(given) == n+1 && given[n] == '\n' {
		l.text, l.priority, l.time = given, m.Priority, m.Timestamp
	}
}

// isPlainPriority tells whether b is a priority as AppendPriority writes it.
func isPlainPriority(b []byte) bool {
	switch len(b) {
	case 3:
		return true
	case 4, 5:
		return b[1] != '0'
	}
	return false
}

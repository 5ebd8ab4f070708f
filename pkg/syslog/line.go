package syslog

// A line is what a message of RFC 3164 was read from, and what it said then.
type line struct {
	text     []byte // with its newline; nil: the message does not know
	host     int    // offset of the host if the line is as AppendRFC3164 writes it; 0: the beginning is not
	priority Priority
	time     Time
}

// Line returns the line that m was read from, its newline included, if AppendRFC3164 would still write just that; else nil. It is
// for those who pass most messages on as they came: many lines of a buffer can be copied at once. It is as good as the other fields.
func (m *Message) Line() []byte {
	l := &m.line
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

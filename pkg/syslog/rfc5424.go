package syslog

import "bytes"

// Greatest lengths of fields (RFC 5424, section 6). Longer ones are cut.
const (
	maxAppName = 48
	maxProcID  = 128
	maxMsgID   = 32
)

// parseRFC5424 reads what follows the version, at i.
func (p *Parser) parseRFC5424(b []byte, i int, now Time, m *Message) error {
	if i == len(b) {
		return &SyntaxError{Offset: i, Want: "a blank after VERSION"}
	}
	i, err := p.parseTimestamp(b, i+1, now, m)
	if err != nil {
		return err
	}
	end, ok := p.scanHostname(b, i)
	if !ok {
		return &SyntaxError{Offset: i + 1, Want: "HOSTNAME and a blank"}
	}
	m.Hostname = orNil(b[i:end], len(b))
	i = end + 1
	if m.AppName, i, ok = scanField(b, i, maxAppName); !ok {
		return &SyntaxError{Offset: len(b), Want: "APP-NAME and a blank"}
	}
	if m.ProcID, i, ok = scanField(b, i, maxProcID); !ok {
		return &SyntaxError{Offset: len(b), Want: "PROCID and a blank"}
	}
	if m.MsgID, i, ok = scanField(b, i, maxMsgID); !ok {
		return &SyntaxError{Offset: len(b), Want: "MSGID and a blank"}
	}
	return parseData(b, i, m)
}

func (p *Parser) parseTimestamp(b []byte, i int, now Time, m *Message) (int, error) {
	if i < len(b) && b[i] == '-' {
		i++
	} else {
		n := p.scanISO(b[i:], now, m)
		if n == 0 {
			return 0, &SyntaxError{Offset: i, Want: "TIMESTAMP"}
		}
		i += n
	}
	if i == len(b) || b[i] != ' ' {
		return 0, &SyntaxError{Offset: i, Want: "a blank after TIMESTAMP"}
	}
	return i + 1, nil
}

// A knownSecond is what "yyyy-mm-ddThh:mm:ss" meant.
type knownSecond struct {
	text [isoSize]byte
	wall int64
}

// scanISO reads a stamp of RFC 3339 and returns how many bytes it had, 0 if it is none. A second that was met lately needs no second look.
func (p *Parser) scanISO(b []byte, now Time, m *Message) int {
	if len(b) < isoSize || b[4] != '-' {
		return 0
	}
	known := &p.seconds[(b[isoSize-2]*10+b[isoSize-1])%4]
	var c civil
	if string(known.text[:]) == string(b[:isoSize]) {
		n := isoSize + c.scanFraction(b[isoSize:])
		n += c.scanOffset(b[n:])
		if c.hasOffset {
			m.Timestamp, m.Stamped = Time{Sec: known.wall - int64(c.offset), Usec: c.usec, Offset: c.offset}, true
			return n
		}
		c = civil{}
	}
	n := c.scanISO(b)
	if n > 0 {
		*known = knownSecond{[isoSize]byte(b), c.wall()}
		p.setStamp(&c, now, m)
	}
	return n
}

// scanField reads a field up to a blank and returns the offset behind that.
func scanField(b []byte, i, max int) (field []byte, end int, ok bool) {
	n := bytes.IndexByte(b[i:], ' ')
	if n < 0 {
		return nil, 0, false
	}
	return orNil(b[i:i+n], max), i + n + 1, true
}

// orNil is the field, cut to its greatest length, or nothing for the NILVALUE.
func orNil(field []byte, max int) []byte {
	if len(field) == 1 && field[0] == '-' {
		return nil
	}
	return field[:min(len(field), max)]
}

// byteOrderMark says that MSG is UTF-8 (RFC 5424, section 6.4).
const byteOrderMark = "\xef\xbb\xbf"

// parseData reads STRUCTURED-DATA and MSG, which begin at i.
func parseData(b []byte, i int, m *Message) error {
	end, err := scanStructuredData(b, i)
	if err != nil {
		return err
	}
	m.StructuredData = orNil(b[i:end], end)
	if end == len(b) {
		return nil
	}
	if b[end] != ' ' {
		return &SyntaxError{Offset: end, Want: "a blank before MSG"}
	}
	m.Msg = b[end+1:]
	if bytes.HasPrefix(m.Msg, []byte(byteOrderMark)) {
		m.Msg, m.UTF8 = m.Msg[len(byteOrderMark):], true
	}
	return nil
}

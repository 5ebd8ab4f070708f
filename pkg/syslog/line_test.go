package syslog

import (
	"strings"
	"testing"
	"time"
)

func parsedLine(t *testing.T, line string) *Message {
	t.Helper()
	p, m := Parser{KeepLine: true, Location: time.UTC}, new(Message)
	for range 2 { // the second time the stamp is known
		if err := p.Parse([]byte(line), received, m); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestLine(t *testing.T) {
	for line, want := range map[string]bool{
		"<13>Oct 11 22:14:15 h app[7]: text\n":                            true,
		"<0>Oct  1 22:14:15 h app: text\n":                                true,
		"<191>Oct 11 22:14:15 h app text\n":                               true,
		"<13>Oct 11 22:14:15 h app[7]: text":                              false, // there is no newline
		"<13>Oct 11 22:14:15 h app[7]: text\n\n":                          false,
		"<13>Oct 11 22:14:15 h app[7]: text\x00\n":                        false,
		"<013>Oct 11 22:14:15 h app[7]: text\n":                           false,
		"Oct 11 22:14:15 h app[7]: text\n":                                false,
		"<13> Oct 11 22:14:15 h app[7]: text\n":                           false,
		"<13>*Oct 11 22:14:15 h app[7]: text\n":                           false,
		"<13>7: Oct 11 22:14:15 h app[7]: text\n":                         false,
		"<13>Oct 01 22:14:15 h app[7]: text\n":                            false,
		"<13>Feb 31 22:14:15 h app[7]: text\n":                            false,
		"<13>oct 11 22:14:15 h app[7]: text\n":                            false,
		"<13>Oct 11 22:14:15: h app[7]: text\n":                           false,
		"<13>Oct 11 22:14:15.5 h app[7]: text\n":                          false,
		"<13>2023-10-11T22:14:15Z h app[7]: text\n":                       false,
		"<13>Oct 11 22:14:15  h app[7]: text\n":                           false,
		"<13>Oct 11 22:14:15 h  app[7]: text\n":                           false,
		"<13>Oct 11 22:14:15 app: text\n":                                 false, // it has no host
		"<13>Oct 11 22:14:15 h app: \n":                                   false, // nor a text, this one
		"<13>Oct 11 22:14:15 Message forwarded from h: app: text\n":       false,
		"<13>Oct 11 22:14:15 last message repeated 2 times by somebody\n": false,
	} {
		m := parsedLine(t, line)
		if got := m.Line(); (got != nil) != want || want && string(got) != line {
			t.Errorf("%q is the line %q, want one: %v", line, got, want)
		}
		p := Parser{Location: time.UTC}
		if p.IsPlain([]byte(line), received) {
			t.Errorf("%q is plain, though its stamp is not known", line)
		}
		_ = p.Parse([]byte(line), received, m) // they are all messages
		if got := p.IsPlain([]byte(line), received); got != want && !strings.HasSuffix(line, ": \n") {
			t.Errorf("%q is plain: %v, want %v", line, got, want)
		}
		p.NoHostname = true
		if p.IsPlain([]byte(line), received) {
			t.Errorf("%q is plain for a parser with an option", line)
		}
	}
	var m Message
	if m.SetLine([]byte("any\n")); string(m.Line()) != "any\n" {
		t.Errorf("the line is %q", m.Line())
	}
}

// What a message says otherwise than its line does is not in the line.
func TestLineChanged(t *testing.T) {
	for name, change := range map[string]func(m *Message){
		"priority":  func(m *Message) { m.Priority++ },
		"time":      func(m *Message) { m.Timestamp.Sec++ },
		"zone":      func(m *Message) { m.Timestamp.Offset++ },
		"host":      func(m *Message) { m.Hostname = []byte("h") },
		"less host": func(m *Message) { m.Hostname = m.Hostname[:1] },
		"no host":   func(m *Message) { m.Hostname = nil },
		"tag":       func(m *Message) { m.Tag = []byte("app[7]: ") },
		"no tag":    func(m *Message) { m.Tag = nil },
		"text":      func(m *Message) { m.Msg = []byte("text") },
		"less text": func(m *Message) { m.Msg = m.Msg[:2] },
		"no text":   func(m *Message) { m.Msg = nil },
	} {
		m := parsedLine(t, "<13>Oct 11 22:14:15 ho app[7]: text\n")
		if change(m); m.Line() != nil {
			t.Errorf("another %s: the line is still %q", name, m.Line())
		}
	}
	p, m := Parser{Location: time.UTC}, new(Message)
	if err := p.Parse([]byte("<13>Oct 11 22:14:15 h app[7]: text\n"), received, m); err != nil || m.Line() != nil {
		t.Errorf("%v, the line is %q without KeepLine", err, m.Line())
	}
}

// FuzzLine: a line is what formatting would give.
func FuzzLine(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s + "\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := Parser{KeepLine: true, Location: time.UTC}
		var m Message
		if p.Parse(b, received, &m) != nil {
			if p.IsPlain(b, received) {
				t.Fatalf("%q is plain and no message", b)
			}
			return
		}
		formatted := append(new(Formatter).AppendRFC3164(nil, &m), '\n')
		if p.IsPlain(b, received) && string(formatted) != string(b) {
			t.Fatalf("%q is plain, formatted %q", b, formatted)
		}
		if m.Line() == nil {
			return
		}
		if string(m.Line()) != string(formatted) || string(formatted) != string(b) {
			t.Errorf("%q is the line %q, formatted %q", b, m.Line(), formatted)
		}
	})
}

package parser

import (
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

func TestSyslog(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	for _, test := range []struct {
		name   string
		parser *Syslog
		text   string
		want   string
	}{
		{"RFC 3164", &Syslog{}, "<34>Oct 11 22:14:15 in su[9]: text", `34 in su 9 text[of before="x"]`},
		{"RFC 5424", &Syslog{Flags: []string{"syslog-protocol"}}, `<34>1 2003-10-11T22:14:15Z in su 9 ID [e@1 a="b"] text`, `34 in su 9 text[e@1 a="b"]`},
		{"a default priority", &Syslog{DefaultPriority: "mail.err"}, "su: text", `19 h su  text[of before="x"]`},
		{"no host", &Syslog{Flags: []string{"no-hostname"}}, "<34>Oct 11 22:14:15 su: text", `34 h su  text[of before="x"]`},
		{"no message", &Syslog{Flags: []string{"syslog-protocol", "no-rfc3164-fallback"}}, "<34>text", "43  syslog-ng " + pid + " Error processing log message: <34>text"},
		{"a cut message", &Syslog{Flags: []string{"syslog-protocol"}}, "<34>1 nonsense", "43  syslog-ng " + pid + " Error processing log message: <34>1>@< nonsense"},
		{"no priority", &Syslog{}, "<x>text", "43  syslog-ng " + pid + " Error processing log message: <x>text"},
		{"no message, refused", &Syslog{DropInvalid: true}, "<x>text", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.parser.Init(); err != nil {
				t.Fatal(err)
			}
			m, got := message(test.text), "refused"
			m.Set(logmsg.NameOf(".SDATA.of.before"), []byte("x"))
			if test.parser.Process(m) {
				m.Set(logmsg.NameOf("later"), []byte(strings.Repeat("x", 100))) // the header must not be in its way
				got = string(template.Must("$PRI $HOST $PROGRAM $PID $MSG$SDATA").Append(nil, m, nil))
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestSyslogOfTemplate parses what a template makes, within a message that has room left from the one before.
func TestSyslogOfTemplate(t *testing.T) {
	s := &Syslog{Common: Common{Template: template.Must("<34>Oct 11 22:14:15 $PROGRAM su[9]: $MSG")}}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	m := message("text")
	m.Set(logmsg.NameOf("room"), make([]byte, 1000))
	header := m.Message
	m.Reset(m.Origin, m.Received)
	m.Message = header
	s.Process(m)
	m.Set(logmsg.NameOf("later"), []byte(strings.Repeat("x", 100)))
	if got, want := string(template.Must("$HOST $PROGRAM $PID $MSG").Append(nil, m, nil)), "app su 9 text"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestHeaderOptions(t *testing.T) {
	for _, test := range []struct {
		flags  string
		parser syslog.Parser
		header Header
	}{
		{"", syslog.Parser{}, Header{}},
		{"syslog-protocol no_rfc3164_fallback", syslog.Parser{RFC5424: true, NoFallback: true}, Header{}},
		{"no-hostname no-header check-hostname", syslog.Parser{NoHostname: true, NoHeader: true, CheckHostname: true}, Header{}},
		{"expect-hostname no-hostname", syslog.Parser{}, Header{}},
		{"no-hostname expect-hostname", syslog.Parser{NoHostname: true}, Header{}},
		{"no-parse kernel no-multi-line sanitize-utf8 store-raw-message", syslog.Parser{}, Header{NoParse: true, Kernel: true, NoMultiLine: true, SanitizeUTF8: true, StoreRaw: true}},
		{"dont-store-legacy-msghdr", syslog.Parser{}, Header{NoLegacyHeader: true}},
		{"store-legacy-msghdr dont-store-legacy-msghdr", syslog.Parser{}, Header{}},
		{"validate-utf8 assume_utf8 guess-timezone empty-lines threaded", syslog.Parser{}, Header{AssumeUTF8: true, ValidateUTF8: true, EmptyLines: true}},
	} {
		t.Run(test.flags, func(t *testing.T) {
			p, h, err := HeaderOptions(strings.Fields(test.flags))
			if err != nil || !reflect.DeepEqual(p, test.parser) || h != test.header {
				t.Errorf("%+v %+v %v, want %+v %+v", p, h, err, test.parser, test.header)
			}
		})
	}
	if _, _, err := HeaderOptions([]string{"no-parse", "x"}); err == nil || !strings.HasPrefix(err.Error(), `flags[1]: flag "x" is not known, want syslog_protocol, `) {
		t.Errorf("%v", err)
	}
}

func TestParsePriority(t *testing.T) {
	for _, test := range []struct {
		text string
		want syslog.Priority
		err  string
	}{
		{"", syslog.DefaultPriority, ""},
		{"mail.err", syslog.NewPriority(syslog.Mail, syslog.Err), ""},
		{"23.0", syslog.NewPriority(23, 0), ""},
		{"mail", 0, `"mail" is not a facility, a dot and a severity`},
		{"x.err", 0, `facility "x" is not known, want one of `},
		{"mail.x", syslog.NewPriority(syslog.Mail, 0), `severity "x" is not known, want one of `},
	} {
		got, err := ParsePriority(test.text)
		if err == nil {
			err = errors.New("")
		}
		if got != test.want || !strings.HasPrefix(err.Error(), test.err) || (test.err == "") != (err.Error() == "") {
			t.Errorf("%q: %v, %v, want %v, %s", test.text, got, err, test.want, test.err)
		}
	}
}

func TestKVStray(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a=1 b=2", ""},
		{"before a=1, b=2 after", "before"},
		{`one two, a=1`, `"one two,"`},
		{"nothing", "nothing"},
	} {
		k := Drivers["kv"]().(*KV)
		k.Stray = "stray"
		if err := k.Init(); err != nil {
			t.Fatal(err)
		}
		m := message(test.text)
		k.Process(m)
		if got := string(m.Value(k.stray)); got != test.want {
			t.Errorf("%s: %s, want %s", test.text, got, test.want)
		}
	}
}

package logmsg

import (
	"slices"
	"strings"
	"testing"

	"kad/pkg/syslog"
)

var origin = &Origin{Source: []byte("s_net"), Tags: []string{".source.s_net"}, Host: []byte("10.0.0.1")}

// read is a message as a source makes it.
func read(t testing.TB, text string) *Message {
	t.Helper()
	m := &Message{}
	now := syslog.Time{Sec: 1_700_000_000}
	m.Reset(origin, now)
	p := syslog.Parser{RFC5424: true}
	if err := p.Parse([]byte(text), now, &m.Message); err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	bsd        = "<13>Oct 11 22:14:15 web1 nginx[42]: GET /"
	structured = `<13>1 2023-10-11T22:14:15Z web1 app 42 ID7 [a@32473.1.2 x="1" y="q\"q"][b z="3"] hello`
)

// all are the names and values of m.
func all(m *Message) string {
	var list []string
	m.Names(func(n Name) { list = append(list, n.String()+"="+string(m.Value(n))) })
	return strings.Join(list, " ")
}

func TestValues(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"RFC 3164", bsd, "HOST=web1 HOST_FROM=10.0.0.1 MESSAGE=GET / PROGRAM=nginx PID=42 SOURCE=s_net LEGACY_MSGHDR=nginx[42]: "},
		{"RFC 5424", structured, "HOST=web1 HOST_FROM=10.0.0.1 MESSAGE=hello PROGRAM=app PID=42 MSGID=ID7 SOURCE=s_net " +
			`.SDATA.a@32473.1.2.x=1 .SDATA.a@32473.1.2.y=q"q .SDATA.b.z=3`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := all(read(t, test.text)); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestSet(t *testing.T) {
	for _, test := range []struct{ name, value, header string }{
		{"MESSAGE", "m", "nginx[42]: "},
		{"HOST", "h", "nginx[42]: "},
		{"PROGRAM", "p", "p[42]: "},
		{"PID", "7", "nginx[7]: "},
		{"PID", "", "nginx: "},
		{"MSGID", "i", "nginx[42]: "},
		{"LEGACY_MSGHDR", "x: ", "x: "},
		{"HOST_FROM", "f", "nginx[42]: "},
		{"SOURCE", "s", "nginx[42]: "},
		{"user", "bob", "nginx[42]: "},
		{".SDATA.a.b", "c", "nginx[42]: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := read(t, bsd)
			n := NameOf(test.name)
			m.Set(n, []byte("before"))
			m.Set(n, []byte(test.value))
			if got := string(m.Value(n)); got != test.value {
				t.Errorf("value %q, want %q", got, test.value)
			}
			if got := string(m.AppendHeader(nil)); got != test.header {
				t.Errorf("header %q, want %q", got, test.header)
			}
			if string(origin.Host) != "10.0.0.1" || string(origin.Source) != "s_net" {
				t.Errorf("the origin, which other messages have too, is changed: %s %s", origin.Host, origin.Source)
			}
			m.Unset(n)
			if got := m.Value(n); got != nil && test.name != "HOST_FROM" && test.name != "SOURCE" {
				t.Errorf("value %q after Unset", got)
			}
		})
	}
}

func TestStructuredData(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(m *Message)
		want   string
	}{
		{"as read", func(*Message) {}, `[a@32473.1.2 x="1" y="q\"q"][b z="3"]`},
		{"asked for", func(m *Message) { all(m) }, `[a@32473.1.2 x="1" y="q\"q"][b z="3"]`},
		{"changed", func(m *Message) { m.Set(NameOf(".SDATA.b.z"), []byte(`]"\`)) }, `[a@32473.1.2 x="1" y="q\"q"][b z="\]\"\\"]`},
		{"added", func(m *Message) { m.Set(NameOf(".SDATA.b.w"), []byte("4")) }, `[a@32473.1.2 x="1" y="q\"q"][b z="3" w="4"]`},
		{"elements added", func(m *Message) {
			m.Set(NameOf(".SDATA.c.v"), []byte("5"))
			m.Set(NameOf(".SDATA.d.v"), []byte("6"))
		}, `[d v="6"][c v="5"][a@32473.1.2 x="1" y="q\"q"][b z="3"]`},
		{"parameter unset", func(m *Message) { m.Unset(NameOf(".SDATA.a@32473.1.2.x")) }, `[a@32473.1.2 y="q\"q"][b z="3"]`},
		{"element unset", func(m *Message) { m.Unset(NameOf(".SDATA.b.z")) }, `[a@32473.1.2 x="1" y="q\"q"]`},
		{"all unset", func(m *Message) { m.Names(m.Unset) }, ""},
		{"header replaced", func(m *Message) {
			m.Set(NameOf(".SDATA.c.v"), []byte("5"))
			m.ReplaceHeader(syslog.Message{StructuredData: []byte("[n]")})
		}, "[n]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := read(t, structured)
			test.change(m)
			if got := string(m.AppendStructuredData(nil)); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := string(m.StructuredDataBytes()); got != test.want {
				t.Errorf("bytes %s, want %s", got, test.want)
			}
		})
	}
}

// TestArena reads a value with a backslash, which has to be unescaped somewhere, while another is being made.
func TestArena(t *testing.T) {
	m := read(t, structured)
	m.Set(NameOf("room"), make([]byte, 100))
	m.arena = m.arena[:10]
	made := append(m.Arena(), "made of "...)
	made = append(made, m.Value(NameOf(".SDATA.a@32473.1.2.y"))...)
	m.Names(func(Name) {})
	m.SetArena(NameOf("made"), made)
	if got, want := string(m.Value(NameOf("made"))), `made of q"q`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCopy(t *testing.T) {
	m, c := read(t, structured), &Message{}
	user := NameOf("user")
	m.Set(user, []byte("bob"))
	m.SetTag("t")
	before, beforeTags := all(m), slices.Clone(m.Tags())
	c.CopyFrom(m)
	if got := all(c); got != before {
		t.Errorf("copy %s, want %s", got, before)
	}
	for _, name := range []string{"user", "new", "HOST", "SOURCE", "HOST_FROM", "PROGRAM", ".SDATA.b.z"} {
		c.Set(NameOf(name), []byte("changed"))
	}
	c.SetTag("u")
	c.ClearTag("t")
	if got := all(m); got != before {
		t.Errorf("a change of the copy makes %s of the original, want %s", got, before)
	}
	if got := m.Tags(); !slices.Equal(got, beforeTags) {
		t.Errorf("tags of the original %v, want %v", got, beforeTags)
	}
	if got, want := c.Tags(), []string{".source.s_net", "u"}; !slices.Equal(got, want) {
		t.Errorf("tags of the copy %v, want %v", got, want)
	}
	if !slices.Equal(origin.Tags, []string{".source.s_net"}) {
		t.Errorf("tags of the origin %v", origin.Tags)
	}
}

// A template has only the first part of a chain, also of one that was set; a filter has all of it.
func TestChain(t *testing.T) {
	m, host := read(t, bsd), NameOf("HOST")
	m.Hostname, m.Chained = []byte("web1/10.0.0.1"), true
	if macro, value := string(m.Macro(host)), string(m.Value(host)); macro != "web1" || value != "web1/10.0.0.1" {
		t.Errorf("HOST of a chain is %q in a template, %q in a filter", macro, value)
	}
	m.Set(host, []byte("a/b"))
	if macro, value := string(m.Macro(host)), string(m.Value(host)); macro != "a" || value != "a/b" {
		t.Errorf("HOST that was set is %q in a template, %q in a filter", macro, value)
	}
}

func TestReset(t *testing.T) {
	m := read(t, structured)
	m.Set(NameOf("user"), []byte("bob"))
	m.Set(NameOf(".SDATA.b.z"), []byte("4"))
	m.SetTag("t")
	m.Reset(origin, syslog.Time{})
	if got, want := all(m), "HOST_FROM=10.0.0.1 SOURCE=s_net"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if m.HasTag("t") || !m.HasTag(".source.s_net") {
		t.Errorf("tags %v", m.Tags())
	}
}

// FuzzSet sets and unsets values and compares with a map.
func FuzzSet(f *testing.F) {
	f.Add([]byte("\x00a\x01b\x82c\x03d\x84"))
	names := []string{"user", "a.b", ".SDATA.b.z", ".SDATA.a@32473.1.2.y", ".SDATA.c", "MESSAGE", "HOST", "PROGRAM", "PID"}
	f.Fuzz(func(t *testing.T, ops []byte) {
		m, c := read(t, structured), &Message{}
		want := map[string]string{
			".SDATA.b.z": "3", ".SDATA.a@32473.1.2.y": `q"q`, "MESSAGE": "hello", "HOST": "web1", "PROGRAM": "app", "PID": "42",
		}
		for len(ops) > 1 {
			name, value := names[int(ops[0]&0x3f)%len(names)], ops[1:2]
			switch {
			case ops[0]&0x80 != 0:
				m.Unset(NameOf(name))
				delete(want, name)
			case ops[0]&0x40 != 0:
				c.CopyFrom(m)
				m, c = c, &Message{}
			default:
				m.Set(NameOf(name), value)
				want[name] = string(value)
			}
			ops = ops[2:]
		}
		for _, name := range names {
			if got := string(m.Value(NameOf(name))); got != want[name] {
				t.Errorf("%s is %q, want %q", name, got, want[name])
			}
		}
	})
}

package rewrite

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// parse makes a message of a line, as a source does.
func parse(t *testing.T, line string) *logmsg.Message {
	t.Helper()
	m := &logmsg.Message{}
	now := syslog.TimeOf(time.Date(2023, 11, 1, 12, 0, 0, 0, time.UTC))
	m.Reset(&logmsg.Origin{Source: []byte("s"), Tags: []string{".source.s"}, Host: []byte("from")}, now)
	p := syslog.Parser{RFC5424: true, Location: time.UTC}
	if err := p.Parse([]byte(line), now, &m.Message); err != nil {
		t.Fatal(err)
	}
	return m
}

func expr(t *testing.T, text string) *filter.Expr {
	t.Helper()
	e, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestProcess(t *testing.T) {
	const line = `<13>1 2023-10-11T22:14:15.5+02:00 h1 app 7 - [a@1 x="1" y="2"] user=bob user=eve`
	tmpl := template.Must
	zone := func(name string) (z option.Zone) {
		if err := z.UnmarshalText([]byte(name)); err != nil {
			t.Fatal(err)
		}
		return z
	}
	set := func(value, text string) Rewrite { return &Set{Value: value, Template: tmpl(text)} }
	pri := func(driver, text string) Rewrite {
		p := Drivers[driver]().(*Priority)
		p.Template = tmpl(text)
		return p
	}
	tag := func(driver, text string) Rewrite {
		r := Drivers[driver]().(*Tag)
		r.Tag = tmpl(text)
		return r
	}
	inZone := func(driver string) Rewrite {
		z := Drivers[driver]().(*TimeZone)
		z.Zone = zone("-01:00")
		return z
	}
	subst := func(value, pattern, replacement string, flags ...string) *Subst {
		return &Subst{Value: value, Pattern: pattern, Replacement: tmpl(replacement), Flags: flags}
	}
	conditional := subst("MESSAGE", "user", "nobody")
	conditional.Condition = expr(t, `program("other")`)
	text := subst("MESSAGE", "u.er", "x", "substring")
	text.Type = "string"
	for _, test := range []struct {
		name     string
		rewrites []Rewrite
		show     string
		want     string
	}{
		{"set", []Rewrite{set("MESSAGE", "$PROGRAM: $MSG"), set("x", "<$MSG>")}, "$MSG $x", "app: user=bob user=eve <app: user=bob user=eve>"},
		{"set a header field", []Rewrite{set("PROGRAM", "p"), set("HOST", "h2")}, "$HOST $MSGHDR", "h2 p[7]: "},
		{"set to nothing", []Rewrite{set("PROGRAM", "")}, "[$PROGRAM]", "[]"},
		{"set structured data", []Rewrite{set(".SDATA.a@1.x", `q"`), set(".SDATA.b@2.k", "new")}, "$SDATA", `[b@2 k="new"][a@1 x="q\"" y="2"]`},
		{"subst", []Rewrite{subst("MESSAGE", `user=(\w+)`, "<$1>")}, "$MSG $1", "<bob> user=eve bob"},
		{"subst all", []Rewrite{subst("MESSAGE", `user=(?<who>\w+)`, "$who", "global")}, "$MSG", "bob eve"},
		{"subst empty matches as PCRE", []Rewrite{set("MESSAGE", "banana"), subst("MESSAGE", "a*", "X", "global")}, "$MSG", "XbXXnXXnX"},
		{"subst at the begin", []Rewrite{set("MESSAGE", "  ab"), subst("MESSAGE", "^ *", "> ", "global")}, "$MSG", "> ab"},
		{"subst at the end", []Rewrite{set("MESSAGE", "ab"), subst("MESSAGE", "$", "!", "global")}, "$MSG", "ab!"},
		{"subst of another pattern", []Rewrite{subst("MESSAGE", "none", "x")}, "$MSG", "user=bob user=eve"},
		{"subst of a text", []Rewrite{text}, "$MSG", "user=bob user=eve"},
		{"condition", []Rewrite{conditional}, "$MSG", "user=bob user=eve"},
		{"unset", []Rewrite{&Unset{Value: "PID"}, &Unset{Value: ".SDATA.a@1.x"}, &Unset{Value: "none"}}, "${PID:-none} $SDATA", `none [a@1 y="2"]`},
		{"rename", []Rewrite{set("a", "v"), &Rename{From: "a", To: "b"}, &Rename{From: "none", To: "c"}}, "[$a][$b][$c]", "[][v][]"},
		{"groupset", []Rewrite{set("k.a", "1"), set("k.b", "2"), &Group{Values: []string{"k.*"}, Template: tmpl("<$_>")}}, "${k.a}${k.b}", "<1><2>"},
		{"groupunset", []Rewrite{&Group{unset: true, Values: []string{".SDATA.a@1.*", "P*"}}}, "$SDATA[$PROGRAM][$PID]", "[][]"},
		{"set_tag", []Rewrite{tag("set_tag", "t-$PROGRAM"), tag("set_tag", "t-app"), tag("clear_tag", ".source.s")}, "$TAGS", "t-app"},
		{"set_pri", []Rewrite{pri("set_pri", "42")}, "$PRI", "42"},
		{"set_pri to nonsense", []Rewrite{pri("set_pri", "1024"), pri("set_pri", "x"), pri("set_pri", "")}, "$PRI", "13"},
		{"set_severity", []Rewrite{pri("set_severity", "crit"), pri("set_severity", "nonsense")}, "$FACILITY.$LEVEL", "user.crit"},
		{"set_facility", []Rewrite{pri("set_facility", "local3")}, "$FACILITY.$LEVEL", "local3.notice"},
		{"set_time_zone", []Rewrite{inZone("set_time_zone")}, "$ISODATE $UNIXTIME", "2023-10-11T19:14:15-01:00 1697055255"},
		{"fix_time_zone", []Rewrite{inZone("fix_time_zone")}, "$ISODATE", "2023-10-11T22:14:15-01:00"},
		{"mask", []Rewrite{&Mask{Value: "MESSAGE", Pattern: `=\w+`, Mask: "*"}}, "$MSG", "user**** user****"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := parse(t, line)
			for _, r := range test.rewrites {
				if err := r.Init(); err != nil {
					t.Fatal(err)
				}
				if !r.Process(m) || !r.Modifies() {
					t.Fatal("a rewrite refuses, or does not modify")
				}
			}
			if got := string(template.Must(test.show).Append(nil, m, nil)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A copy is changed, the message is not.
func TestCopy(t *testing.T) {
	m := parse(t, `<13>1 2023-10-11T22:14:15Z h1 app 7 - [a@1 x="1"] text`)
	m.Set(logmsg.NameOf("k"), []byte("old"))
	var c logmsg.Message
	c.CopyFrom(m)
	for _, r := range []Rewrite{
		&Set{Value: "k", Template: template.Must("new")}, &Set{Value: ".SDATA.a@1.x", Template: template.Must("new")},
		&Set{Value: "MESSAGE", Template: template.Must("new")}, &Tag{Tag: template.Must("new")}, &Unset{Value: "HOST_FROM"},
	} {
		if err := r.Init(); err != nil {
			t.Fatal(err)
		}
		r.Process(&c)
	}
	show := template.Must("$k $SDATA $MSG $TAGS $HOST_FROM")
	if got, want := string(show.Append(nil, m, nil)), `old [a@1 x="1"] text .source.s from`; got != want {
		t.Errorf("the original is %q, want %q", got, want)
	}
	if got, want := string(show.Append(nil, &c, nil)), `new [a@1 x="new"] new .source.s,new `; got != want {
		t.Errorf("the copy is %q, want %q", got, want)
	}
}

func TestInitErrors(t *testing.T) {
	for _, test := range []struct {
		rewrite Rewrite
		want    string
	}{
		{&Set{}, "value: the name of a value is required"},
		{&Set{Value: "PRI", Template: template.Must("")}, "value: PRI is a macro, it cannot be set"},
		{&Set{Value: "x"}, "template: a template is required"},
		{&Subst{Value: "x", Pattern: "("}, "pattern: regular expression \"(\": missing closing ): \"(\""},
		{&Subst{Value: "x", Pattern: "a"}, "replacement: a template is required"},
		{&Rename{From: "a"}, "to: the name of a value is required"},
		{&Group{}, "values: a list of globs is required"},
		{&Group{unset: true, Values: []string{"*"}, Template: template.Must("")}, "template: groupunset has none"},
		{&TimeZone{}, "zone: a time zone is required"},
		{&Mask{Value: "x"}, "pattern: a regular expression is required"},
	} {
		err := test.rewrite.Init()
		if _, ok := errors.AsType[*option.Error](err); !ok || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestCondition has each driver with a condition that is not met: nothing changes.
func TestCondition(t *testing.T) {
	const line = `<13>1 2023-10-11T22:14:15.5+02:00 h1 app 7 - [a@1 x="1"] user=bob`
	show := template.Must("$1 $PRI $ISODATE $R_ISODATE $HOST $MSGHDR$MSG $SDATA $TAGS $k $l")
	for name, driver := range Drivers {
		t.Run(name, func(t *testing.T) {
			for _, met := range []bool{false, true} {
				r := driver()
				condition := expr(t, map[bool]string{false: `program("other")`, true: `program("app")`}[met])
				var common *Common
				switch r := r.(type) {
				case *Set:
					r.Value, r.Template, common = "MESSAGE", template.Must("new"), &r.Common
				case *Subst:
					r.Value, r.Pattern, r.Replacement, common = "MESSAGE", "user", template.Must("new"), &r.Common
				case *Unset:
					r.Value, common = "MESSAGE", &r.Common
				case *Rename:
					r.From, r.To, common = "k", "l", &r.Common
				case *Group:
					r.Values, common = []string{"k"}, &r.Common
					if !r.unset {
						r.Template = template.Must("<$_>")
					}
				case *Tag:
					r.Tag, common = template.Must(".source.s"), &r.Common
					if !r.clear {
						r.Tag = template.Must("new")
					}
				case *Matches:
					common = &r.Common
					if !r.unset {
						r.Template = template.Must("a,b")
					}
				case *Priority:
					r.Template, common = template.Must("0"), &r.Common
				case *TimeZone:
					r.Zone, common = option.Zone{Location: time.FixedZone("", -3600)}, &r.Common
				case *Mask:
					r.Value, r.Pattern, common = "MESSAGE", "bob", &r.Common
				}
				common.Condition = condition
				if err := r.Init(); err != nil {
					t.Fatal(err)
				}
				m := parse(t, line)
				m.Set(logmsg.NameOf("k"), []byte("old"))
				m.Set(logmsg.NameOf("1"), []byte("matched"))
				before := string(show.Append(nil, m, nil))
				if !r.Process(m) {
					t.Error("refused")
				}
				if after := string(show.Append(nil, m, nil)); (after != before) != met {
					t.Errorf("condition met: %v, before %s, after %s", met, before, after)
				}
			}
		})
	}
}

// TestOtherValues has what the values of a rewrite are made of.
func TestOtherValues(t *testing.T) {
	m := parse(t, `<13>1 2023-10-11T22:14:15+02:00 h1 app 7 - [a@1 x="q\"q"] text`)
	for _, r := range []Rewrite{
		&Set{Value: "a", Template: template.Must("first ${.SDATA.a@1.x}")},
		&Set{Value: "a", Template: template.Must("$a, second ${.SDATA.a@1.x}")},
		&Set{Value: "json", Template: template.Must("$(format-json --key a --key .SDATA.*)")},
		&Subst{Value: "a", Pattern: "(q).(?<rest>q)", Replacement: template.Must("$2$1 ${.SDATA.a@1.x} $rest"), Flags: []string{"global"}},
		&TimeZone{TimeStamp: "recvd", Zone: option.Zone{Location: time.FixedZone("", 3600)}},
	} {
		if err := r.Init(); err != nil {
			t.Fatal(err)
		}
		r.Process(m)
	}
	got := string(template.Must("$a|$json|$R_ISODATE").Append(nil, m, nil))
	want := `first qq q"q q, second qq q"q q|{"a":"first q\"q, second q\"q","_SDATA":{"a@1":{"x":"q\"q"}}}|2023-11-01T13:00:00+01:00`
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// FuzzSubst compares with package regexp, where both find the same.
func FuzzSubst(f *testing.F) {
	f.Add("a+", "banana")
	f.Add(`(\w)\w`, "user é")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		re, err := regexp.Compile(pattern)
		if err != nil || len(pattern) > 30 {
			return
		}
		found := re.FindAllStringIndex(text, -1)
		if re.MatchString("") || slices.ContainsFunc(found, func(loc []int) bool { return loc[0] == loc[1] }) {
			return // of empty matches PCRE finds others
		}
		subst := &Subst{Value: "MESSAGE", Pattern: pattern, Replacement: template.Must("<$0>"), Flags: []string{"global"}}
		mask := &Mask{Value: "MESSAGE", Pattern: pattern, Mask: "*"}
		for _, test := range []struct {
			rewrite Rewrite
			with    func(found string) string
		}{
			{subst, func(found string) string { return "<" + found + ">" }},
			{mask, func(found string) string { return strings.Repeat("*", utf8.RuneCountInString(found)) }},
		} {
			if err := test.rewrite.Init(); err != nil {
				t.Fatal(err)
			}
			m := parse(t, "<13>x")
			m.Msg = []byte(text)
			test.rewrite.Process(m)
			if got, want := string(m.Msg), replaceAll(text, found, test.with); got != want {
				t.Errorf("%T %q in %q: %q, want %q", test.rewrite, pattern, text, got, want)
			}
		}
	})
}

func replaceAll(text string, found [][]int, with func(string) string) (out string) {
	at := 0
	for _, loc := range found {
		out += text[at:loc[0]] + with(text[loc[0]:loc[1]])
		at = loc[1]
	}
	return out + text[at:]
}

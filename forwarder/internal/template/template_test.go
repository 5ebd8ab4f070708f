package template

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/pkg/syslog"
)

// parse makes a message of a line, as a source does.
func parse(t testing.TB, line string) *logmsg.Message {
	t.Helper()
	m := &logmsg.Message{}
	origin := &logmsg.Origin{
		Source: []byte("s"), Tags: []string{".source.s", "edge"}, Peer: netip.MustParseAddr("192.0.2.7"), Host: []byte("192.0.2.7"),
		Dest: netip.MustParseAddr("192.0.2.1"), Port: 514,
	}
	now := syslog.TimeOf(time.Date(2023, 11, 1, 12, 0, 0, 0, time.UTC))
	m.Reset(origin, now)
	p := syslog.Parser{RFC5424: true, Location: time.UTC}
	if err := p.Parse([]byte(line), now, &m.Message); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAppend(t *testing.T) {
	const bsd = `<86>Oct  1 22:14:15 h1.example.com sshd[42]: Accepted "key"`
	const ietf = `<165>1 2023-02-03T04:05:06.123456-05:30 h2 evnt 7 ID47 [a@1 x="1" y="q\"\]"][b@2] text`
	for _, test := range []struct{ line, template, want string }{
		{bsd, "", ""},
		{bsd, "a$$b", "a$b"},
		{bsd, "$PRI $FACILITY.$LEVEL $FACILITY_NUM.$SEVERITY_NUM $TAG $BSDTAG", "86 authpriv.info 10.6 56 6K"},
		{bsd, "$HOST|$PROGRAM|$PID|$MSGHDR|$MSG|$MSGID|$SDATA|", `h1.example.com|sshd|42|sshd[42]: |Accepted "key"|||`},
		{bsd, "$SOURCE $SOURCEIP $HOST_FROM $DESTIP $DESTPORT $TAGS", "s 192.0.2.7 192.0.2.7 192.0.2.1 514 .source.s,edge"},
		{bsd, "$DATE|$ISODATE|$FULLDATE|$UNIXTIME|$STAMP", "Oct  1 22:14:15|2023-10-01T22:14:15+00:00|2023 Oct  1 22:14:15|1696198455|Oct  1 22:14:15"},
		{bsd, "$R_ISODATE $S_HOUR", "2023-11-01T12:00:00+00:00 22"},
		{bsd, "${HOST}x $HOSTx|$nothing|${nothing:-default}|${PID:-none}", "h1.example.comx ||default|42"},
		{bsd, "$MSG@@x @@", `Accepted "key"@x @@`},
		{ietf, "$ISODATE $MSEC $USEC $TZ", "2023-02-03T04:05:06-05:30 123 123456 -05:30"},
		{ietf, "${.SDATA.a@1.x} ${.SDATA.a@1.y} $SDATA", `1 q"] [a@1 x="1" y="q\"\]"][b@2]`},
		{ietf, "$YEAR-$MONTH-$DAY $HOUR:$MIN:$SEC $MONTH_ABBREV $MONTH_NAME $WEEKDAY $YEAR_DAY $WEEK $ISOWEEK $AMPM $HOUR12", "2023-02-03 04:05:06 Feb February Fri 034 05 05 AM 04"},
		{bsd, "$(echo a  'b  c' \"d\\\"e\" $HOST)", `a b  c d"e h1.example.com`},
		{bsd, "$(uppercase $PROGRAM) $(lowercase ABC) $(length $PROGRAM) $(substr $PROGRAM 1 2) $(substr $PROGRAM -2)", "SSHD abc 4 sh hd"},
		{bsd, "$(substr $PROGRAM 9)|$(substr $PROGRAM 1 99)|$(substr $PROGRAM x)|", "|shd||"},
		{bsd, "$(padding $PROGRAM 6 .)|$(padding $PROGRAM 2)|", "..sshd|sshd|"},
		{bsd, "$(+ 1 2) $(- 1 2) $(* 2 3) $(/ 7 2) $(% -7 3) $(/ 1 0) $(+ 1 x)", "3 -1 6 3 -1 NaN NaN"},
		{bsd, "$(if x yes no) $(or '' $nothing third)", "yes third"},
		{bsd, "$(template inner)", "[h1.example.com]"},
		{bsd, "$(sanitize a/b 'c\td')|$(sanitize -i ab -r - cab)|$(basename /x/y)|$(dirname /x/y)|$(replace-delimiter ' ,' _ 'a b,c')", "a_b/c_d|c--|y|/x|a_b_c"},
		{bsd, "$(format-json --pair a.b=1 --pair a.c=$MSG x=int(5) l=list(p,q) t=boolean(1))", `{"x":5,"t":true,"l":["p","q"],"a":{"c":"Accepted \"key\"","b":"1"}}`},
		{ietf, "$(format-json --scope sdata)", `{"_SDATA":{"b@2":"","a@1":{"y":"q\"]","x":"1"}}}`},
		{bsd, "$(format-json --key PR* --exclude PRI* --rekey P* --add-prefix q.)", `{"q":{"PROGRAM":"sshd"}}`},
		{bsd, "$(format-welf --pair b='x y' --pair a=1)", `a=1 b="x y"`},
	} {
		tmpl, err := Parse(test.template)
		if err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		env := &Env{
			Templates: map[string]*Template{"inner": Must("[$HOST]")},
			Condition: func(expr string) (func(*logmsg.Message) bool, error) {
				return func(*logmsg.Message) bool { return expr == "x" }, nil
			},
		}
		if err := tmpl.Resolve(env); err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		if got := string(tmpl.Append(nil, parse(t, test.line), nil)); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.template, got, test.want)
		}
	}
}

func TestContext(t *testing.T) {
	m := parse(t, `<13>1 2023-07-03T04:05:06.123456Z h a - - - it's`)
	c := &Context{TimeFormat: RFC3339, Zone: time.FixedZone("", -3*3600), Escape: true}
	c.FracDigits = 3
	got := string(Must("$STAMP $DATE $UNIXTIME $MSG $_").Append(nil, m, c))
	if want := `2023-07-03T01:05:06.123-03:00 Jul  3 01:05:06.123 1688357106.123 it\'s `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct{ template, want string }{
		{"a$", `template "a$": at 2: a name, { or ( is missing after $; $$ is a dollar`},
		{"${x", `template "${x": at 1: } is missing`},
		{"$(echo x", `template "$(echo x": at 1: ) is missing`},
		{"$()", `template "$()": at 1: $() has no function`},
		{"$(nonsense)", "template \"$(nonsense)\": at 1: no function $(nonsense), want one of " + strings.Join(FunctionNames(), " ")},
		{"x$(substr $MSG)", `template "x$(substr $MSG)": at 2: $(substr) has 1 arguments, want at least 2`},
		{"$(if a b)", `template "$(if a b)": at 1: $(if) has 2 arguments, want a condition and two templates`},
		{"$(template a)", `template "a" uses itself: a -> b -> a`},
		{"$(template c)", `no template "c"`},
	} {
		env := &Env{Templates: map[string]*Template{}}
		for name, text := range map[string]string{"a": "$(template b)", "b": "$(template a)"} {
			env.Templates[name], _ = Parse(text)
		}
		tmpl, err := Parse(test.template)
		if err == nil {
			err = tmpl.Resolve(env)
		}
		if err == nil || err.Error() != test.want {
			t.Errorf("got %v\nwant %s", err, test.want)
		}
	}
}

// FuzzParse: a template or an error, never both, and what was parsed can be written.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"$HOST ${a:-b} $(echo 'x' $(length $MSG)) $$", "$(format-json --scope nv-pairs k=int(1))", "$(if (a) b c)@@"} {
		f.Add(seed)
	}
	m := parse(f, "<13>Oct 11 22:14:15 h app[1]: text")
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := Parse(text)
		if (tmpl == nil) == (err == nil) {
			t.Fatalf("%v, %v", tmpl, err)
		}
		if err == nil && tmpl.Resolve(&Env{}) == nil {
			tmpl.Append(nil, m, nil)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	m := parse(b, `<86>Oct  1 22:14:15 h1.example.com sshd[42]: Accepted publickey for root from 192.0.2.1 port 4242 ssh2`)
	for _, text := range []string{"<$PRI>$DATE $HOST $MSGHDR$MSG\n", "$ISODATE $HOST $PROGRAM: $MSG\n", "$(format-json --key PROGRAM --pair msg=$MSG)\n"} {
		b.Run(fmt.Sprintf("%.20q", text), func(b *testing.B) {
			tmpl, c := Must(text), &Context{}
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = tmpl.Append(dst[:0], m, c)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

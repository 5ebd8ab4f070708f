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
		{bsd, "$@|$ |$", "$@|$ |$"},
		{bsd, "$PRI $FACILITY.$LEVEL $FACILITY_NUM.$SEVERITY_NUM $TAG $BSDTAG", "86 authpriv.info 10.6 56 6K"},
		{bsd, "$HOST|$PROGRAM|$PID|$MSGHDR|$MSG|$MSGID|$SDATA|", `h1.example.com|sshd|42|sshd[42]: |Accepted "key"|||`},
		{bsd, "$SOURCE $SOURCEIP $HOST_FROM $DESTIP $DESTPORT $TAGS", "s 192.0.2.7 192.0.2.7 192.0.2.1 514 .source.s,edge"},
		{bsd, "$DATE|$ISODATE|$FULLDATE|$UNIXTIME|$STAMP", "Oct  1 22:14:15|2023-10-01T22:14:15+00:00|2023 Oct  1 22:14:15|1696198455|Oct  1 22:14:15"},
		{bsd, "$R_ISODATE $S_HOUR", "2023-11-01T12:00:00+00:00 22"},
		{bsd, "${HOST}x $HOSTx|$nothing|${nothing:-default}|${PID:-none}", "h1.example.comx ||default|42"},
		{bsd, "$MSG@@x @@", `Accepted "key"@@x @@`},
		{bsd, "${PID}@@x ${PID}@0x $PID@1x ${PID}@1x $(echo a)@2", "42@x 42x 42@1x x "},
		{bsd, "$(list-concat a,b '\"c d\",') $(list-head a,b) $(list-tail a,b,c) $(list-nth -1 a,b) $(list-nth 2 a,b)", `a,b,"c d" a b,c b `},
		{bsd, "$(list-append a,b 'c,d') $(list-slice 1:3 a,b,c,d) $(list-slice :-1 a,b,c) $(list-count a,b c)", `a,b,"c,d" b,c a,b 3`},
		{bsd, "$(list-search b a,b,b) $(list-search --mode glob --start-index 2 'b*' a,b,bb) $(list-search --mode=pcre b+ a,bb) $(list-search --start-index -1 a a,b)|$(list-search x y)", "1 2 1 |"},
		{bsd, "$(min 3) $(max -3) $(sum 0)$(sum 1.5)|$(average x)", "3 -3 0|"},
		{ietf, "$(names HOST PID MSG) $(values HOST MSGID)", "HOST,MSG,PID h2,ID47"},
		{bsd, "$(map '<$_>' a,b) $(explode ' ' 'a b') $(implode ':' a,b)", "<a>,<b> a,b a:b"},
		{bsd, "$(md5 abc) $(sha1 --length 8 a bc) $(format-flat-json a.b=1 .c=2)", `900150983cd24fb0d6963f7d28e17f72 a9993e36 {"a.b":"1","_c":"2"}`},
		{ietf, "$ISODATE $MSEC $USEC $TZ", "2023-02-03T04:05:06-05:30 123 123456 -05:30"},
		{ietf, "$AMPM $HOUR12 $TZ $TZOFFSET $R_AMPM $R_HOUR12 $R_TZ $MONTH_WEEK $WEEK_DAY $WEEK_DAY_ABBREV $WEEK_DAY_NAME", "AM 04 -05:30 -05:30 PM 12 +00:00 0 6 Fri Friday"},
		{ietf, "${.SDATA.a@1.x} ${.SDATA.a@1.y} $SDATA", `1 q"] [a@1 x="1" y="q\"\]"][b@2]`},
		{ietf, "$YEAR-$MONTH-$DAY $HOUR:$MIN:$SEC $MONTH_ABBREV $MONTH_NAME $WEEKDAY $YEAR_DAY $WEEK $ISOWEEK $AMPM $HOUR12", "2023-02-03 04:05:06 Feb February Fri 034 05 05 AM 04"},
		{bsd, "$(echo a  'b  c' \"d\\e\" $HOST f\\ g)", `a b  c d\e h1.example.com f g`},
		{bsd, "$(uppercase $PROGRAM) $(lowercase ABC) $(length $PROGRAM) $(substr $PROGRAM 1 2) $(substr $PROGRAM -2)", "SSHD abc 4 sh hd"},
		{bsd, "$(substr $PROGRAM 9)|$(substr $PROGRAM 1 99)|$(substr $PROGRAM x)|", "|shd||"},
		{bsd, "$(padding $PROGRAM 6 .)|$(padding $PROGRAM 2)|", "..sshd|sshd|"},
		{bsd, "$(+ 1 2) $(- 1 2) $(* 2 3) $(/ 7 2) $(% -7 3) $(/ 1 0) $(+ 1 x)", "3 -1 6 3 -1 NaN NaN"},
		{bsd, "$(if x yes no) $(or '' $nothing third)", "yes third"},
		{bsd, "$(template inner)", "[h1.example.com]"},
		{bsd, "$(sanitize a/b 'c\td')|$(sanitize -i ab -r - cab)|$(basename /x/y)|$(dirname /x/y)|$(replace-delimiter ' ,' _ 'a b,c')", "a_b/c_d|c--|y|/x|a_b_c"},
		{bsd, "$(format-json --pair a.b=1 --pair a.c=$MSG x=int(5) l=list(p,q) t=boolean(1))", `{"x":5,"t":true,"l":["p","q"],"a":{"c":"Accepted \"key\"","b":"1"}}`},
		{ietf, "$(format-json --scope sdata)", `{"_SDATA":{"b@2":"","a@1":{"y":"q\"]","x":"1"}}}`},
		{bsd, "$(format-json --key PR* --exclude PRI* --exclude PROTO --rekey P* --add-prefix q.)", `{"q":{"PROGRAM":"sshd"}}`},
		{bsd, "$(format-welf --pair b='x y' --pair a=1)", `a=1 b="x y"`},
		{bsd, "$(substr abc -3)|$(substr abc -4)|$(substr abc -4 2)|$(substr abc 1 -5)|$(substr abc 0 -1)|$(substr abc 3)|$(substr abc 2 x)", "abc||||ab||"},
		{bsd, "$(uppercase é\xffß) $(lowercase É\xff A)", "É\xffß é\xff a"},
		{bsd, "$(replace-delimiter abc xy cabd)|$(replace-delimiter b '' abc)|$(replace abc b xy)", "xxxd|ac|axyc"},
		{bsd, "$(+ 1.5 2) $(* 0x10 2) $(/ 7.0 2) $(% 7 2.5) $(- 1e3 ' 1')", "3.50000000000000000000 32.00000000000000000000 3.50000000000000000000 2.00000000000000000000 999.00000000000000000000"},
		{bsd, "$(+ 9223372036854775807 1) $(/ 1.0 0) $(% 1 0) $(+ 1) $(+ 1 2 3) $(+ '1 ' 1) $(+ 1_0 1)", "-9223372036854775808 NaN NaN NaN NaN NaN NaN"},
		{bsd, "$(round 2.5) $(round -2.5) $(round 1.25 1) $(ceil -1.5) $(floor -1.5) $(round x) $(round 1 21)", "3 -3 1.3 -1 -2 NaN NaN"},
		{bsd, "$(base64-encode hello)|$(base64-encode a b)|$(url-encode 'a b/é~%+')|$(url-decode a%20b+c%2F)|$(url-decode %zz)|", "aGVsbG8=|YWI=|a%20b%2F%C3%A9~%25%2B|a b+c/||"},
		{bsd, "$(ipv4-to-int 1.2.3.4)|$(ipv4-to-int ::1)|$(ipv4-to-int x)|$(context-length)|$(strip ' a ')|$(env NO_SUCH_NAME)|", "16909060|||1|a||"},
		{bsd, "$(padding abc 6 xy)|$(padding abc 2)|$(padding abc x)|$(padding abc 9 '')|$(indent-multi-line 'a\nb')", "xyxabc|abc|abc|      abc|a\n\tb"},
		{bsd, "$(basename '')|$(basename /a/b/)|$(dirname a)|$(dirname /a/b/)", ".|b|.|/a/b"},
		{bsd, "$(grep x $HOST $PID)|$(grep y $HOST)|$(if y yes no)|$(or)|$(or '' $PID)", "h1.example.com,42||no||42"},
		{bsd, "$(sanitize -C \"a\tb/c\")|$(sanitize -c \"a\tb\")|$(sanitize --replacement + a/b)|$(sanitize)", "a\tb_c|a_b|a+b|"},
		{bsd, "$(format-json a.b=1 a.c=2 a=3)|$(format-json .a.b=1 --leave-initial-dot)|$(format-json .a.b=1)", `{"a":{"c":"2","b":"1","a":"3"}}|{".a":{"b":"1"}}|{"_a":{"b":"1"}}`},
		{bsd, "$(format-json HOST MSG)|$(format-json --key HOST,PID)|$(format-json --key=PID --omit-empty-values x=)", `{"MSG":"Accepted \"key\"","HOST":"h1.example.com"}|{"PID":"42","HOST":"h1.example.com"}|{"PID":"42"}`},
		{bsd, "$(format-json b=double(1.5) c=boolean(True) d=boolean(0) e=literal([]) f=null(x) g=int64(7) h=string(1))", `{"h":"1","g":7,"f":null,"e":[],"d":false,"c":true,"b":1.5}`},
		{bsd, "$(format-json a=int(x) b=1)", ""},
		{bsd, "$(format-json x='\xff\x01\t\b\f\n\r\\é')", `{"x":"\\xff\u0001\t\b\f\n\r\\é"}`},
		{bsd, "$(format-json --rekey a* --shift 1 --add-prefix x ab=1) $(format-json --rekey * --replace-prefix a=b ab=1) $(format-json --rekey * --shift-levels 1 a.b.c=1)", `{"xb":"1"} {"bb":"1"} {"b":{"c":"1"}}`},
		{bsd, "$(format-json --scope rfc3164 --exclude DATE)", `{"PROGRAM":"sshd","PRIORITY":"info","PID":"42","MESSAGE":"Accepted \"key\"","HOST":"h1.example.com","FACILITY":"authpriv"}`},
		{bsd, "$(format-json --exclude P* --key PID,HOST)|$(format-json --key PID,HOST --exclude P*)", `{"PID":"42","HOST":"h1.example.com"}|{"HOST":"h1.example.com"}`},
		{bsd, "$(format-json .SDATA.a@1.2.b=1 a..b=2 c.=3 @.d=4)", `{"c":"3","a":{".b":"2"},"_SDATA":{"a@1.2":{"b":"1"}},"@":{"d":"4"}}`},
		{bsd, "$(filter y a,b)|$(filter x 'a b',c,$nothing)|$*|$PROTO", "|a b,c||0"},
		{bsd, "$(format-welf a='x y' b= c='q=\"' d='\xff\x01\t\\' e='\" \xff')", `a="x y" b= c=q=" d=\xff\x01\t\\ e="\" \xff"`},
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
	m := parse(t, `<13>1 2023-07-03T04:05:06.123456Z h a - - [e@1 x="1"] it's`)
	c := &Context{TimeFormat: RFC3339, Zone: time.FixedZone("", -3*3600), Escape: true}
	c.FracDigits = 3
	got := string(Must("$STAMP $DATE $UNIXTIME $MSG $(echo $MSG) $SDATA $_").Append(nil, m, c))
	if want := `2023-07-03T01:05:06.123-03:00 Jul  3 01:05:06.123 1688357106.123 it\'s it's [e@1 x=\"1\"] `; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct{ template, want string }{
		{"${x", `template "${x": at 1: } is missing`},
		{"$(echo x", `template "$(echo x": at 1: ) is missing`},
		{"$()", `template "$()": at 1: $() has no function`},
		{"$(nonsense)", "template \"$(nonsense)\": at 1: no function $(nonsense), want one of " + strings.Join(FunctionNames(), " ")},
		{"x$(substr $MSG)", `template "x$(substr $MSG)": at 2: $(substr) has 1 arguments, want at least 2`},
		{"$(if a b)", `template "$(if a b)": at 1: $(if) has 2 arguments, want a condition and two templates`},
		{"$(template a)", `template "a" uses itself: a -> b -> a`},
		{"$(template c)", `no template "c"`},
		{"$(template d)", `no template "nowhere"`},
		{"$(template)", `template "$(template)": at 1: $(template) has 0 arguments, want a name`},
		{"$(context-length x)", `template "$(context-length x)": at 1: $(context-length) has 1 arguments, want at most 0`},
		{"$(echo 'x)", `template "$(echo 'x)": at 1: ) is missing`},
		{"$(grep x)", `template "$(grep x)": at 1: $(grep) has 1 arguments, want a condition and templates`},
		{"$(grep x y)", "$(grep) is not possible here"},
		{"$(sanitize -x y z)", `template "$(sanitize -x y z)": at 1: $(sanitize) has no option "-x"`},
		{"$(sanitize -r)", `template "$(sanitize -r)": at 1: $(sanitize -r) has no value`},
		{"$(format-json --scope x)", `template "$(format-json --scope x)": at 1: scope "x" is not known, want one of ` + strings.Join(scopeNames, " ")},
		{"$(format-json --key)", `template "$(format-json --key)": at 1: --key has no value`},
		{"$(format-json --nothing x)", `template "$(format-json --nothing x)": at 1: option "--nothing" is not known`},
		{"$(format-json --shift 1)", `template "$(format-json --shift 1)": at 1: --shift stands without --rekey`},
		{"$(format-json --rekey * --shift x)", `template "$(format-json --rekey * --shift x)": at 1: --shift "x" is not a number`},
		{"$(format-json --rekey * --replace x)", `template "$(format-json --rekey * --replace x)": at 1: --replace "x" is not OLD=NEW`},
		{"$(format-json --pair x)", `template "$(format-json --pair x)": at 1: pair "x" is not NAME=TEMPLATE`},
		{"$(format-json x=$()", `template "$(format-json x=$()": at 1: ) is missing`},
	} {
		env := &Env{Templates: map[string]*Template{}}
		for name, text := range map[string]string{"a": "$(template b)", "b": "$(template a)", "d": "$(template e)", "e": "$(template nowhere)"} {
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

// TestUses resolves templates of which each uses the next twice: without care that takes for ever.
func TestUses(t *testing.T) {
	env := &Env{Templates: map[string]*Template{}}
	for i := range 50 {
		text := fmt.Sprintf("$(if x $(template t%d) $(template t%d))", i+1, i+1)
		if i == 49 {
			text = "end"
		}
		env.Templates[fmt.Sprint("t", i)] = parsed(t, text)
	}
	env.Condition = func(string) (func(*logmsg.Message) bool, error) {
		return func(*logmsg.Message) bool { return true }, nil
	}
	for _, tmpl := range env.Templates {
		if err := tmpl.Resolve(env); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(env.Templates["t0"].Append(nil, parse(t, "<13>text"), nil)); got != "end" {
		t.Errorf("%q, want end", got)
	}
}

func parsed(t *testing.T, text string) *Template {
	t.Helper()
	tmpl, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestLiteral(t *testing.T) {
	for _, test := range []struct {
		template, want string
		literal        bool
	}{
		{"", "", true}, {"a b", "a b", true}, {"a$$b", "a$b", true}, {"$HOST", "", false}, {"a$HOST", "", false}, {"$(echo a)", "", false},
	} {
		got, literal := parsed(t, test.template).Literal()
		if got != test.want || literal != test.literal {
			t.Errorf("%q: %q, %v, want %q, %v", test.template, got, literal, test.want, test.literal)
		}
	}
}

func TestItem(t *testing.T) {
	m := parse(t, "<13>Oct 11 22:14:15 h app: text")
	m.Item = []byte("outer")
	if got := string(Must("[$_] $(map <$_> a,b) [$_]").Append(nil, m, nil)); got != "[outer] <a>,<b> [outer]" {
		t.Errorf("%s, want [outer] <a>,<b> [outer]", got)
	}
}

func TestAllocs(t *testing.T) {
	m := parse(t, `<165>1 2023-02-03T04:05:06.123456-05:30 h2 evnt 7 ID47 [a@1 x="1"] text`)
	m.Set(logmsg.NameOf("user"), []byte("bob"))
	dst := make([]byte, 0, 4096)
	for _, text := range []string{
		"<$PRI>$DATE $HOST $MSGHDR$MSG\n", "$ISODATE $R_ISODATE $STAMP $UNIXTIME", "$FACILITY.$LEVEL $LEVEL_NUM $FACILITY_NUM $TAG $BSDTAG",
		"$YEAR-$MONTH-$DAY $HOUR:$MIN:$SEC", "${user:-nobody} ${.SDATA.a@1.x} $SDATA", "$SOURCE $SOURCEIP $HOST_FROM", "$(echo $HOST $(echo $PID))",
		"$TAGS",
	} {
		tmpl, c := Must(text), &Context{}
		if got := testing.AllocsPerRun(100, func() { tmpl.Append(dst, m, c) }); got != 0 {
			t.Errorf("%s: %v allocations, want none", text, got)
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

package filter

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// parse makes a message of a line, as a source does.
func parse(t testing.TB, line string) *logmsg.Message {
	t.Helper()
	m := &logmsg.Message{}
	origin := &logmsg.Origin{Source: []byte("s"), Tags: []string{".source.s", "edge"}, Peer: netip.MustParseAddr("192.0.2.7"), Host: []byte("192.0.2.7")}
	now := syslog.TimeOf(time.Date(2023, 11, 1, 12, 0, 0, 0, time.UTC))
	m.Reset(origin, now)
	var p syslog.Parser
	if err := p.Parse([]byte(line), now, &m.Message); err != nil {
		t.Fatal(err)
	}
	return m
}

func env(filters map[string]*Expr) *Env {
	return &Env{
		Filters:  filters,
		Template: func(t *template.Template) error { return t.Resolve(&template.Env{}) },
		ReadFile: func(name string) ([]byte, error) {
			if name != "list" {
				return nil, fmt.Errorf("open %s: no such file", name)
			}
			return []byte("sshd\r\ncron\n"), nil
		},
		VIPHeld: func(addr netip.Addr) (func() bool, error) {
			return func() bool { return addr == netip.MustParseAddr("192.0.2.100") }, nil
		},
	}
}

func TestMatch(t *testing.T) {
	m := parse(t, "<86>Oct  1 22:14:15 web1 sshd[42]: Accepted user=bob from=10.0.0.1")
	yes := []string{
		"facility(authpriv)", "facility(AUTH, authpriv)", "facility(kern..authpriv)", "facility(10)", "facility(cron..mail) or not facility(mail)",
		"level(info)", "severity(debug..notice)", "priority(notice..debug)", "level(err info)",
		`host("web")`, `host("^web1$")`, `host("WEB1" flags(ignore-case))`, `host("web1" type(string))`, `host("w*1" type(glob))`,
		`host("web" type("string") flags(prefix))`, `program('ss') and message("Accepted")`, `match("sshd\\[42\\]: Acc")`,
		`match("^42$" value("PID"))`, `match("^web1/sshd$" template("$HOST/$PROGRAM"))`, `match("86" value("PRI"))`,
		`netmask("192.0.2.0/24")`, `netmask("192.0.2.0/255.255.255.0")`, `netmask(192.0.2.7)`, `tags("x", "edge")`, `tags(".source.s")`,
		`in_list("list", value("PROGRAM"))`, `in-list("list" value("PROGRAM"))`, `filter(f_yes)`, `not filter(f_no)`,
		`"$LEVEL_NUM" < "7"`, `$LEVEL_NUM == 6`, `${LEVEL_NUM} != "5"`, `"12abc" == "12"`, `"$HOST" eq "web1"`, `"a" lt "b"`, `"b" ge 'b'`, "$(length $HOST) >= 4",
		`facility(authpriv); level(info);`, `not not facility(authpriv)`, `(facility(mail) or level(info)) and not (level(err))`, `source("s")`, `source("^s$" type(pcre))`,
		`facility(authpriv);; level(info);`, `-1 < 0`, `"-5" < -4`, `"1.5" == "1"`, `1.5 != 1`, `"12abc" != 12`, `message("\x41ccept\o145d")`,
		"# why\nfacility(authpriv) # all of it", `vip_held("192.0.2.100")`,
		`int("1.5") < 2`, `"0x10" == 16`, `" 7" > 6`, `in_list("list", "PROGRAM")`, `match("web1" value("$HOST"))`,
	}
	no := []string{
		"facility(mail)", "not facility(authpriv)", "facility(mail) or facility(kern) and level(info)", "level(emerg..err)", `host("eb1$" type(string))`,
		`host("WEB1")`, `netmask("10.0.0.0/8")`, `netmask6("2001:db8::/32")`, `tags("nothing")`, `in_list("list", value("HOST"))`, `filter(f_no)`,
		`"$HOST" ne "web1"`, `"text" > 0`, `facility(authpriv); level(err)`, `match("." value("no.such"))`, "facility(999)", "facility(local0..31)", `source("^s$")`, `source("")`,
		`string("10") < "9"`, `string("10") < string("1")`, `message("\101ccepted")`, `message("\\x42")`, `tags("Edge")`, `"$(length $HOST)" != 4`, `vip_held("192.0.2.101")`,
	}
	filters := map[string]*Expr{}
	for name, text := range map[string]string{"f_yes": "filter(f_inner) and level(info)", "f_inner": "facility(authpriv)", "f_no": "not filter(f_yes)"} {
		e, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		filters[name] = e
	}
	for _, e := range filters {
		if err := e.Resolve(env(filters)); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range slices.Concat(yes, no) {
		e, err := Parse(text)
		if err == nil {
			err = e.Resolve(env(filters))
		}
		if err != nil {
			t.Error(err)
			continue
		}
		want := i < len(yes)
		if got := e.Match(m); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if _, got := e.Explain(m); got != want {
			t.Errorf("%s is explained as %v, want %v", text, got, want)
		}
		if e.Modifies() {
			t.Errorf("%s modifies", text)
		}
	}
}

func TestStoreMatches(t *testing.T) {
	e, err := Parse(`message('user=(?<user>\w+) from=(\S+)' flags(store-matches))`)
	if err != nil {
		t.Fatal(err)
	}
	m := parse(t, "<13>Oct  1 22:14:15 h app: user=bob from=10.0.0.1")
	if !e.Match(m) || !e.Modifies() {
		t.Fatalf("match %v, modifies %v, want both", e.Match(m), e.Modifies())
	}
	if got := string(template.Must("[$0][$1][$2][$user]").Append(nil, m, nil)); got != "[user=bob from=10.0.0.1][bob][10.0.0.1][bob]" {
		t.Errorf("stored %s", got)
	}
}

func TestExplain(t *testing.T) {
	e, err := Parse(`level(err) or not (program("^ss") and host("x"))`)
	if err != nil {
		t.Fatal(err)
	}
	verdicts, _ := e.Explain(parse(t, "<13>Oct  1 22:14:15 web1 sshd: text"))
	var got []string
	for _, v := range verdicts {
		got = append(got, fmt.Sprintf("%s%s %v %v %s", strings.Repeat(" ", v.Depth), v.Text, v.Matched, v.Skipped, v.Why))
	}
	want := []string{
		`level(err) or not (program("^ss") and host("x")) true false `, ` level(err) false false `,
		` not (program("^ss") and host("x")) true false `, `  program("^ss") and host("x") false false `,
		`   program("^ss") true false "sshd"`, `   host("x") false false "web1"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct{ expr, want string }{
		{"", `filter "": at 1: the expression ends, want a filter function or a comparison`},
		{"facility(mail", `filter "facility(mail": at 14: the expression ends, want a facility`},
		{"facility(nonsense)", `filter "facility(nonsense)": at 10: facility "nonsense" is not known, want one of `},
		{"level(8)", `filter "level(8)": at 7: severity "8" is not known`},
		{"facility(mail) facility(kern)", `filter "facility(mail) facility(kern)": at 16: "facility" stands where and, or, or the end should`},
		{`host("a`, `filter "host(\"a": at 6: the closing " is missing`},
		{`message("a(?!b)")`, `filter "message(\"a(?!b)\")": at 9: regular expression "a(?!b)": at 2: lookahead is in PCRE, not in RE2 which is used here`},
		{"nonsense(x)", `filter "nonsense(x)": at 1: no filter function "nonsense", want one of `},
		{"facility mail", `filter "facility mail": at 1: no filter function "facility" without (`},
		{`"a" 1`, `filter "\"a\" 1": at 5: "1" stands where a comparison like == or eq should`},
		{`netmask("1.2.3.4/33")`, `filter "netmask(\"1.2.3.4/33\")": at 9: "33" is not a mask of an address`},
		{`netmask("::1")`, `filter "netmask(\"::1\")": at 9: "::1" is not for this function: netmask is for IPv4, netmask6 for IPv6`},
		{`netmask("1.2.3.4/255.0.255.0")`, `filter "netmask(\"1.2.3.4/255.0.255.0\")": at 9: "255.0.255.0" is not a mask of an address`},
		{`netmask("1.2.3.4/8x")`, `"8x" is not a mask of an address`},
		{`netmask("1.2.3.4/")`, `"" is not a mask of an address`},
		{`netmask6("fe80::1%eth0")`, `at 10: "fe80::1%eth0" is not an address`},
		{`netmask("1.2.3.4", "5.6.7.8")`, `at 18: "," stands where ) should`},
		{`vip_held(eth0)`, `at 10: "eth0" is not an address`},
		{`tags()`, `at 6: ")" stands where a tag should`},
		{`host("a" value("MSG"))`, `at 10: "value" stands where type, flags should`},
		{`match("a" in("MSG"))`, `at 11: "in" stands where type, flags, value, template should`},
		{`match("a" template("$("))`, `at 20: template "$(": at 1: ) is missing`},
		{`match("a" flags(nocase))`, `at 7: flag "nocase" is not known, want ignore_case, `},
		{`match("a" type(perl))`, `at 7: type "perl" is not known, want pcre, string or glob`},
		{`in_list("list")`, `at 15: in_list("list") has no value(): whose value should be in the list?`},
		{`in_list("list" type(string))`, `at 16: "type" stands where value should`},
		{`in_list("none" value("HOST"))`, `in_list("none"): open none: no such file`},
		{"facility(local0..40)", `at 10: "local0..40" goes beyond 31, where a range has its end`},
		{"facility(kern..)", `at 10: facility "" is not known`},
		{"level(err..x)", `at 7: severity "x" is not known`},
		{"not", `at 4: the expression ends, want a filter function or a comparison`},
		{"level(err) and", `at 15: the expression ends, want a filter function or a comparison`},
		{"and level(err)", `at 1: no filter function "and"`},
		{"()", `at 2: ")" stands where a filter function, a text or a macro should`},
		{"level(err))", `at 11: ")" stands where and, or, or the end should`},
		{"level(err) && level(err)", `at 12: character '&' does not belong here`},
		{`"a" eq`, `at 7: the expression ends, want a filter function, a text or a macro`},
		{`"a" == -`, `at 8: no filter function "-"`},
		{`"$(nothing)" == 1`, `at 1: template "$(nothing)": at 1: no function $(nothing), want one of `},
		{"filter(nowhere)", `no filter "nowhere"`},
		{"filter(loop)", `filter "loop" uses itself: loop -> loop`},
		{strings.Repeat("(", 300), `more than 200 parentheses and nots within each other`},
		{`"a" & "b"`, `filter "\"a\" & \"b\"": at 5: character '&' does not belong here`},
	} {
		e, err := Parse(test.expr)
		if err == nil {
			loop, _ := Parse("filter(loop)")
			err = e.Resolve(env(map[string]*Expr{"loop": loop}))
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s:\n got %v\nwant %s", test.expr, err, test.want)
		}
	}
}

func TestNetmaskOfThisHost(t *testing.T) {
	m := parse(t, "<13>Oct  1 22:14:15 web1 sshd: text")
	m.Origin = &logmsg.Origin{}
	for _, test := range []struct {
		expr string
		want bool
	}{
		{"netmask(127.0.0.0/8)", true}, {`netmask6("::1")`, true}, {"netmask(10.0.0.0/8)", false}, {`netmask6("2001:db8::/32")`, false},
	} {
		e, err := Parse(test.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Match(m); got != test.want {
			t.Errorf("%s: %v, want %v", test.expr, got, test.want)
		}
	}
}

func TestStringComparison(t *testing.T) {
	m := parse(t, "<13>Oct  1 22:14:15 web1 sshd: text")
	for _, text := range []bool{false, true} {
		e, err := Parse(`"12abc" == "12"`)
		if err != nil {
			t.Fatal(err)
		}
		with := env(nil)
		with.StringComparison = text
		if err := e.Resolve(with); err != nil {
			t.Fatal(err)
		}
		if got := e.Match(m); got == text {
			t.Errorf("texts are compared: %v, result %v", text, got)
		}
	}
}

// TestUses resolves filters of which each uses the next twice: without care that takes for ever.
func TestUses(t *testing.T) {
	filters := map[string]*Expr{}
	for i := range 50 {
		text := fmt.Sprintf("filter(f%d) and filter(f%d)", i+1, i+1)
		if i == 49 {
			text = `message("text" flags(store_matches))`
		}
		var err error
		if filters[fmt.Sprint("f", i)], err = Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	e := filters["f0"]
	if err := e.Resolve(env(filters)); err != nil {
		t.Fatal(err)
	}
	if !e.Modifies() {
		t.Error("what a filter does that it uses is not known of f0")
	}
	delete(filters, "f49")
	want := &UnknownError{Name: "f49", Known: slices.Sorted(maps.Keys(filters))}
	var got *UnknownError
	if err := e.Resolve(env(filters)); !errors.As(err, &got) || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// raceDetector tells that the race detector is on, which allocates for itself.
var raceDetector bool

func TestAllocs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates for itself")
	}
	m := parse(t, "<86>Oct  1 22:14:15 web1 sshd[42]: Accepted user=bob")
	for _, text := range []string{
		`facility(auth, 99) and level(info)`, `"$LEVEL_NUM" < 4 or "$HOST" eq "web1"`, `match("web1sshd" template("$HOST$PROGRAM"))`,
		`match("x")`, `source("s")`, `tags("edge")`, `netmask(10.0.0.0/8)`, `in_list("list" value("PROGRAM"))`, `message("user=[a-z]+$")`,
		`message("(?<user>b.)b" flags(store-matches))`, `match("86" value("PRI"))`,
	} {
		e, err := Parse(text)
		if err == nil {
			err = e.Resolve(env(nil))
		}
		if err != nil {
			t.Fatal(err)
		}
		c := &logmsg.Message{}
		if got := testing.AllocsPerRun(100, func() { c.CopyFrom(m); e.Match(c) }); got > 0 && !e.Modifies() || got > 4 {
			t.Errorf("%s: %v allocations", text, got)
		}
	}
}

// FuzzParse: an expression or an error, never both, and Match says what Explain says.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`facility(mail) and not (level(err..emerg) or host("x" type(glob)))`, `"$LEVEL_NUM" < 4; match('a' value("b") flags(store-matches))`, "tags(a b) # x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if (e == nil) == (err == nil) {
			t.Fatalf("%v, %v", e, err)
		}
		var bad *SyntaxError
		if err != nil && (!errors.As(err, &bad) || bad.Offset < 0 || bad.Offset > len(text)) {
			t.Fatalf("no place in the text: %#v", err)
		}
		if err != nil || e.Resolve(env(nil)) != nil {
			return
		}
		m := parse(t, "<86>Oct  1 22:14:15 web1 sshd[42]: text")
		want := e.Match(m)
		if again, err := Parse(e.String()); err != nil {
			t.Errorf("%s is called %s: %v", text, e, err)
		} else if again.Resolve(env(nil)) != nil || again.Match(parse(t, "<86>Oct  1 22:14:15 web1 sshd[42]: text")) != want {
			t.Errorf("%s is called %s, which is another", text, e)
		}
		if _, got := e.Explain(m); got != want && !e.Modifies() {
			t.Errorf("%s is explained as %v, it is %v", text, got, want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	m := parse(b, "<86>Oct  1 22:14:15 web1 sshd[42]: Accepted publickey for root from 192.0.2.1 port 4242 ssh2: RSA SHA256:abcdefghijklmnopqrstuvwxyz")
	for _, text := range []string{
		"facility(auth, authpriv) and level(info..emerg)", `program("^nginx$") or program("^haproxy$")`, `message('(timeout|refused|unreachable).*(host|port) ')`,
		`"$LEVEL_NUM" < 4`, `match("nothing")`, `"$HOST" eq "web1" and netmask(10.0.0.0/8)`,
	} {
		b.Run(fmt.Sprintf("%.20q", text), func(b *testing.B) {
			e, err := Parse(text)
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Resolve(env(nil)); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				e.Match(m)
			}
		})
	}
}

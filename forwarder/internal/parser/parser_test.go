package parser

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

// message is one whose content is text.
func message(text string) *logmsg.Message {
	m := &logmsg.Message{}
	now := syslog.TimeOf(time.Date(2023, 11, 1, 12, 0, 0, 0, time.UTC))
	m.Reset(&logmsg.Origin{Source: []byte("s"), Host: []byte("from")}, now)
	m.Message = syslog.Message{Priority: syslog.DefaultPriority, Timestamp: now, Hostname: []byte("h"), AppName: []byte("app"), Msg: []byte(text)}
	return m
}

// The values of kv and json are what syslog-ng 3.38 makes of the same text.
func TestNamedValues(t *testing.T) {
	kv := func(value, pair string) func() Parser {
		return func() Parser { return &KV{Prefix: "k.", ValueSeparator: value, PairSeparator: pair} }
	}
	stray := func() Parser { return &KV{ValueSeparator: "=", PairSeparator: ", ", Stray: "k.stray"} }
	plain := func() Parser { return &JSON{Prefix: "k.", KeyDelimiter: "."} }
	marked := func() Parser { return &JSON{Prefix: "k.", Marker: "@cee:", ExtractPrefix: "a[1].b", KeyDelimiter: "."} }
	re := func() Parser {
		return &Regexp{Prefix: "k.", Patterns: []string{`user (?<user>\w+)`, `(?<n>\d+) errors`}}
	}
	const pairs = "$(format-json --key k.* --rekey k.* --shift 2)"
	for _, test := range []struct {
		name   string
		parser func() Parser
		text   string
		show   string
		want   string // "refused"
	}{
		{"kv", kv("=", ", "), `a=1 b=two words c="x y", d='q"w'`, pairs, `{"d":"q\"w","c":"x y","b":"two words","a":"1"}`},
		{"kv blanks", kv("=", ", "), "a = 1 b= 2 c =3 d= e=5", pairs, `{"e":"5","d":"","c":"3","b":"2","a":"1"}`},
		{"kv no pair", kv("=", ", "), "foo bar = =x a==b", pairs, `{"bar":"=x","a":"=b"}`},
		{"kv escapes", kv("=", ", "), `a="x\ny\"\q" b=x\ny c="un`, pairs, `{"c":"\"un","b":"x\\ny","a":"x\ny\"\\q"}`},
		{"kv quotes, wrong", kv("=", ", "), `a="1"] two b="x y"z, c="un d=4`, pairs, `{"d":"4","c":"\"un d=4","b":"\"x y\"z, ","a":"\"1\"] "}`},
		{"kv separators", kv(":", ";"), `a:1; b:two words ;c:"x;y"`, pairs, `{"c":"x;y","b":"two words","a":"1"}`},
		{"kv stray words", stray, " \tx\fy\x0b\t a=1", "${k.stray}", `"\tx\fy\x0b\t"`},
		{"json", plain, `{"s":"x","i":12,"f":1.5,"t":true,"n":null,"o":{"a":{"b":"c"}},"l":["p","q r",1]}`, pairs, `{"t":"true","s":"x","o":{"a":{"b":"c"}},"n":"","l":"p,\"q r\",1","i":"12","f":"1.500000"}`},
		{"json lists", plain, `{"a":[[1,2],null],"b":[{"x":"y/"}],"c":[]}`, pairs, `{"c":"","b":"[{\"x\":\"y\\/\"}]","a":"[[1,2],null]"}`},
		{"json numbers", plain, `{"a":12345678901234567890,"b":1e10}`, pairs, `{"b":"10000000000.000000","a":"9223372036854775807"}`},
		{"json text", plain, "no json", pairs, "refused"},
		{"json cut", plain, `{"a":`, pairs, "refused"},
		{"json deep", plain, strings.Repeat(`{"a":`, 200), pairs, "refused"},
		{"json as json-c takes it", plain, "/* c */ {'a':\"x\ty\",\"b\":NaN,\"c\":TRUE,\"d\":-Infinity,\"e\":1e, // c\n\"f\":01,}", pairs, `{"f":"1","e":"1.000000","d":"-inf","c":"true","b":"nan","a":"x\ty"}`},
		{"json escapes", plain, `{"a":"\ud83d\ude00\ud83d\u00e9\/","b":"x\u0000y"}`, pairs, "{\"b\":\"x\",\"a\":\"😀\uFFFDé/\"}"},
		{"json, a list", plain, `["a b", 1.5, null, {"c": [2]}]`, "$0|$1|$2|$3|$4|$5", `|a b|1.500000||{"c":[2]}|`},
		{"json, an open comment behind it", plain, `{"a":1} // c`, pairs, "refused"},
		{"json, text behind it", plain, `{"a":1} c`, pairs, `{"a":"1"}`},
		{"json, a bad escape", plain, `{"a":"\x41"}`, pairs, "refused"},
		{"json, no comma", plain, `{"a":1 "b":2}`, pairs, "refused"},
		{"json, a bare point", plain, `{"a":.5}`, pairs, "refused"},
		{"json, half a comment", plain, `{"a":1 / "b":2}`, pairs, "refused"},
		{"json marker", marked, `@cee: {"a":[0,{"b":{"c":1}}]}`, pairs, `{"c":"1"}`},
		{"json without marker", marked, `{"a":[0,{"b":{"c":1}}]}`, pairs, "refused"},
		{"json without the member", marked, `@cee:{"a":[0]}`, pairs, "refused"},
		{"regexp first", re, "user bob, 3 errors", pairs, `{"user":"bob"}`},
		{"regexp second", re, "3 errors", pairs, `{"n":"3"}`},
		{"regexp numbers", re, "user bob", "$0|$1|$2", "user bob|bob|"},
		{"tags", func() Parser { return &Tags{} }, `tag1, "tag 2",,tag3`, "$TAGS", `tag1,"tag 2",tag3`},
		{"regexp none", re, "nothing", pairs, "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := test.parser()
			if err := p.Init(); err != nil {
				t.Fatal(err)
			}
			m := message(test.text)
			got := "refused"
			if p.Process(m) {
				got = string(template.Must(test.show).Append(nil, m, nil))
			}
			if got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	p := &KV{Common: Common{Template: template.Must("x=$PROGRAM")}, ValueSeparator: "="}
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	m := message("y=1")
	p.Process(m)
	if got := string(template.Must("$x$y").Append(nil, m, nil)); got != "app" {
		t.Errorf("got %q, want app", got)
	}
}

func TestInitErrors(t *testing.T) {
	for _, test := range []struct {
		parser Parser
		want   string
	}{
		{&CSV{}, "columns: a list of names is required"},
		{&CSV{Columns: []string{"a"}, Quotes: `"`}, `quote_pairs: "\"" is not a list of pairs`},
		{&CSV{Flags: []string{"nonsense"}}, `flags[0]: flag "nonsense" is not known`},
		{&KV{ValueSeparator: "=="}, `value_separator: "==" is not one character that may part key and value`},
		{&JSON{ExtractPrefix: "a[x]"}, `extract_prefix: "a[x]" has an index that is not a number in brackets`},
		{&Regexp{}, "patterns: a list of regular expressions is required"},
		{&Regexp{Patterns: []string{"a", `(a)\1`}}, `patterns[1]: regular expression "(a)\\1": at 4: a backreference`},
		{&Syslog{Flags: []string{"nonsense"}}, `flags[0]: flag "nonsense" is not known`},
		{&Syslog{DefaultPriority: "mail"}, `default_priority: "mail" is not a facility, a dot and a severity`},
		{&Date{}, "format: a list of formats is required"},
		{&Date{Format: []string{"%Q"}}, `format[0]: "%Q" has a % without one of`},
	} {
		err := test.parser.Init()
		if _, ok := errors.AsType[*option.Error](err); !ok || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// FuzzProcess: no text breaks a parser.
func FuzzProcess(f *testing.F) {
	for _, seed := range []string{`a=1, b="x\"y" c`, `{"a":[1,{"b":"c"}]}`, `"a""b",'c',d`, "<13>1 2023-01-01T00:00:00Z h a - - - x", "2023-02-03 04:05:06"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, driver := range Drivers {
			p := driver()
			switch p := p.(type) {
			case *CSV:
				p.Columns = []string{"a", "b"}
			case *Regexp:
				p.Patterns = []string{`(?<a>\w+)=(?<b>.*)`}
			case *Date:
				p.Format = []string{"%Y-%m-%d %H:%M:%S", "%b %e %y %p %I %z", "%j %f %s"}
			}
			if err := p.Init(); err != nil {
				t.Fatal(name, err)
			}
			p.Process(message(text))
		}
	})
}

// FuzzJSON: what package json takes is taken, and nothing that either takes or refuses breaks.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":null}],"c":"\ud83d\ude00"}`, "{'a':1,/**/}", `[-Infinity,nan,1e5,""]`, `{"a":"\u00`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v map[string]any
		strict := json.Unmarshal([]byte(text), &v)
		_, err := decodeJSON([]byte(text))
		if strict == nil && err != nil && !strings.Contains(text, strings.Repeat("[", 20)) && !strings.Contains(text, strings.Repeat(`{"`, 20)) {
			t.Errorf("%q is JSON and was refused", text)
		}
	})
}

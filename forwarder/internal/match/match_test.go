package match

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern string
		options Options
		value   string
		want    bool
	}{
		{"web1", Options{}, "xweb12", true},
		{"^web1$", Options{}, "web1", true},
		{"^web1$", Options{}, "web12", false},
		{"^web", Options{}, "aweb", false},
		{"1$", Options{}, "web1", true},
		{"", Options{}, "", true},
		{"^$", Options{}, "x", false},
		{"web", Options{Type: "string"}, "web1", false},
		{"web", Options{Type: "string", Flags: []string{"prefix"}}, "web1", true},
		{"eb", Options{Type: "string", Flags: []string{"substring"}}, "web1", true},
		{"WEB1", Options{Type: "string", Flags: []string{"ignore-case"}}, "web1", true},
		{"WEB", Options{Type: "string", Flags: []string{"ignore-case"}}, "web1", false},
		{"*.example.*", Options{Type: "glob"}, "a.example.com", true},
		{"a?c", Options{Type: "glob"}, "abbc", false},
		{"connection REFUSED", Options{Flags: []string{"ignore-case"}}, "Connection refused", true},
		{`\bfoo\b`, Options{}, "a foo.", true},
		{`\bfoo\b`, Options{}, "afoo", false},
		{`(timeout|refused|unreachable).*(host|port) `, Options{}, "x refused by port 7", true},
		{`(timeout|refused|unreachable).*(host|port) `, Options{}, "x refused by port", false},
		{"ebx", Options{Type: "string", Flags: []string{"substring", "ignore-case"}}, "wEBXy", true},
		{"web", Options{Type: "string", Flags: []string{"prefix", "ignore_case"}}, "WEB1", true},
		{"a.b", Options{Type: "string", Flags: []string{"substring", "ignore_case"}}, "axb", false},
		{"a.b*", Options{Type: "glob", Flags: []string{"ignore_case"}}, "A.B\n", true},
		{"é", Options{Flags: []string{"ignore_case", "utf8", "store-matches"}}, "É", true},
		{"ſ", Options{Flags: []string{"ignore_case"}}, "S", true},
		{"^[^a]+$", Options{}, "日本語", true},
		{`\pL{3}`, Options{}, "1日本2語", false},
		{"a.c", Options{}, "a\xffc", true},
		{`\x{FFFD}`, Options{}, "\xff", true},
		{"a|", Options{}, "", true},
		{`^a\hb[\h]c$`, Options{}, "a\tb c", true},
		{`\H\N`, Options{}, " \t\n", false},
		{`a\Rb\Z`, Options{}, "a\r\nb\n", true},
		{`(?#a comment)^x(?#another)y$`, Options{}, "xy", true},
		{`^[](?#)]+$`, Options{}, ")](#?", true},
		{`^\Q(?#)\h\E$`, Options{}, `(?#)\h`, true},
		{`\Qa.b`, Options{}, "a.b", true},
		{"a.b", Options{Type: "posix"}, "axb", true},
		{"[^\\x00-\\x{10FFFF}]", Options{}, "a", false},
	} {
		m, err := Compile(test.pattern, test.options)
		if err != nil {
			t.Errorf("%q %v: %v", test.pattern, test.options, err)
			continue
		}
		if got := m.Match([]byte(test.value)); got != test.want {
			t.Errorf("%q %v matches %q: %v, want %v", test.pattern, test.options, test.value, got, test.want)
		}
		if got := m.Find([]byte(test.value)); (got != nil) != test.want {
			t.Errorf("%q %v finds %v in %q, want %v", test.pattern, test.options, got, test.value, test.want)
		}
		if got := m.String(); got != test.pattern {
			t.Errorf("%q is called %q", test.pattern, got)
		}
	}
}

func TestFindAll(t *testing.T) {
	for _, test := range []struct {
		pattern string
		options Options
		value   string
		n       int
		want    [][]int
	}{
		{"a", Options{}, "banana", -1, [][]int{{1, 2}, {3, 4}, {5, 6}}},
		{"a", Options{}, "banana", 2, [][]int{{1, 2}, {3, 4}}},
		{"(a)n", Options{}, "banana", -1, [][]int{{1, 3, 1, 2}, {3, 5, 3, 4}}},
		{"^a", Options{}, "aa", -1, [][]int{{0, 1}}},
		{"a$", Options{}, "aa", -1, [][]int{{1, 2}}},
		{"x", Options{}, "aa", -1, nil},
		{"^ *", Options{}, "  ab", -1, [][]int{{0, 2}}},
		{"a|^", Options{}, "ab", -1, [][]int{{0, 1}}},
		{"a*", Options{}, "banana", -1, [][]int{{0, 0}, {1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 6}}},
		{"(a)*", Options{}, "ab", -1, [][]int{{0, 1, 0, 1}, {1, 1, -1, -1}}},
		{"x*$", Options{}, "abx", -1, [][]int{{2, 3}}},
		{"$", Options{}, "ab", -1, [][]int{{2, 2}}},
		{`\b`, Options{}, "é a", -1, [][]int{{3, 3}}},
		{"é*", Options{}, "aéa", -1, [][]int{{0, 0}, {1, 3}, {3, 3}}},
		{"", Options{}, "ab", -1, [][]int{{0, 0}, {1, 1}}},
		{"a*", Options{}, "baa", -1, [][]int{{0, 0}, {1, 3}}},
		{"a*", Options{}, "aab", -1, [][]int{{0, 2}, {2, 2}}},
		{"an", Options{Type: "string", Flags: []string{"substring"}}, "banana", -1, [][]int{{1, 3}, {3, 5}}},
		{"ban", Options{Type: "string", Flags: []string{"prefix"}}, "banban", -1, [][]int{{0, 3}}},
		{"ban", Options{Type: "string"}, "ban", -1, [][]int{{0, 3}}},
		{"ban", Options{Type: "string"}, "banban", -1, nil},
		{"", Options{Type: "string", Flags: []string{"substring"}}, "a", -1, [][]int{{0, 0}, {1, 1}}},
		{"b*", Options{Type: "glob"}, "ban", -1, [][]int{{0, 3}}},
	} {
		m, err := Compile(test.pattern, test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.FindAll([]byte(test.value), test.n); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q %v in %q: %v, want %v", test.pattern, test.options, test.value, got, test.want)
		}
	}
}

func TestGroups(t *testing.T) {
	for _, test := range []struct {
		pattern string
		options Options
		want    []string
	}{
		{`(?<user>\w+) (\d) (?P<host>x)`, Options{}, []string{"", "user", "", "host"}},
		{"a", Options{}, []string{""}},
		{"(a", Options{Type: "string"}, []string{""}},
	} {
		m, err := Compile(test.pattern, test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Groups(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %q, want %q", test.pattern, got, test.want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		pattern string
		options Options
		want    string
	}{
		{"a(?!b)", Options{}, `regular expression "a(?!b)": at 2: lookahead is in PCRE, not in RE2 which is used here`},
		{"(?<=a)b", Options{}, `regular expression "(?<=a)b": at 1: lookbehind is in PCRE, not in RE2 which is used here`},
		{"a++", Options{}, `regular expression "a++": at 2: a possessive quantifier is in PCRE, not in RE2 which is used here`},
		{`(a)\1`, Options{Flags: []string{"ignore_case"}}, `regular expression "(a)\\1": at 4: a backreference is in PCRE, not in RE2 which is used here`},
		{"(", Options{}, `regular expression "(": missing closing ): "("`},
		{"a{1001}", Options{}, `regular expression "a{1001}": invalid repeat count: "{1001}"`},
		{"\xff", Options{}, `regular expression "\xff": invalid UTF-8: "\xff"`},
		{"a", Options{Type: "perl"}, `type "perl" is not known, want pcre, string or glob`},
		{"a", Options{Flags: []string{"nocase"}}, `flag "nocase" is not known, want ignore_case, prefix, substring, global, store_matches, utf8, newline or dupnames`},
	} {
		if _, err := Compile(test.pattern, test.options); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.pattern, err, test.want)
		}
	}
}

func TestRequired(t *testing.T) {
	for _, test := range []struct{ pattern, want string }{
		{`(timeout|refused|unreachable).*(host|port) `, "timeout refused unreachable"},
		{`user=(\w+) from`, "user="},
		{`(abc)+d`, "abc"},
		{`(abc)*d`, "d"},
		{`(abc){2,3}x?`, "abc"},
		{`a[0-9]|bcd`, "a bcd"},
		{`a|[0-9]`, ""},
		{`(?i)abc`, ""},
		{`\x{FFFD}+`, ""},
		{`a1|b2|c3|d4|e5|f6|g7|h8|i9`, ""},
		{`.*`, ""},
	} {
		re, err := syntax.Parse(test.pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(bytes.Join(required(re.Simplify()), []byte(" "))); got != test.want {
			t.Errorf("%s: %q, want %q", test.pattern, got, test.want)
		}
	}
}

// TestFull uses an expression that makes a state of each different text: it needs 2^14, more than are kept.
func TestFull(t *testing.T) {
	const expr = "x[xy]{13}z"
	re, err := regexp.Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	d := newDFA(re, parsed)
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 100)
	for d.table.Load() != nil {
		for i := range text {
			text[i] = "xxxxyyyyz"[random.IntN(9)]
		}
		if got, want := d.matches(text), re.Match(text); got != want {
			t.Fatalf("%s: %v, want %v", text, got, want)
		}
		if table := d.table.Load(); table != nil && (len(table.states) > maxStates || len(*table.cells.Load()) > 2*maxCells) {
			t.Fatalf("%d states, %d cells", len(table.states), len(*table.cells.Load()))
		}
	}
	if got := d.matches([]byte("xxxxxxxxxxxxxxz")); !got {
		t.Error("does not match when the table is given up")
	}
}

// TestConcurrent has several goroutines fill in the same table.
func TestConcurrent(t *testing.T) {
	m, err := Compile("x[xy]{8}z", Options{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for seed := range uint64(4) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, seed))
			text := make([]byte, 60)
			for range 2000 {
				for i := range text {
					text[i] = "xxxxyyyyz"[random.IntN(9)]
				}
				if got, want := m.Match(text), m.re.Match(text); got != want {
					t.Errorf("%s: %v, want %v", text, got, want)
				}
			}
		})
	}
	group.Wait()
}

func TestNeedle(t *testing.T) {
	for _, text := range []string{"a", "aa", "timeout", "~x", "x~", " "} {
		needles := newNeedles([][]byte{[]byte(text)})
		for _, b := range []string{"", "a", "ba", "aaa", "timeou", "a timeout", "timeouttimeout", "~", "~~x", "xx~", "~x~", "  "} {
			if got, want := anyIn([]byte(b), needles), strings.Contains(b, text); got != want {
				t.Errorf("%q in %q: %v, want %v", text, b, got, want)
			}
		}
	}
}

// FuzzMatch compares with the standard library.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`(a|b)+c$`, "aabbc"}, {`\d+\.\d+`, "1.2"}, {`(?i)x\b`, "aX "}, {`^é+$`, "éé"}, {`(?m)^b`, "a\nb"}, {`\Bx`, "ax"},
		{"[^a]", "\xff"}, {`(?i)ſ|K`, "sk"}, {`\x{FFFD}`, "\xff"}, {`x[xy]{3}z`, "xyxyxz"}, {`^a|b$`, "ab"}, {`(?s).\z`, "\n"},
		{`(?m)a$`, "a\n"}, {`\PL\pN`, "-٣"},
	} {
		f.Add(seed[0], []byte(seed[1]), false)
	}
	f.Fuzz(func(t *testing.T, pattern string, value []byte, ignoreCase bool) {
		if len(pattern) > 50 {
			return
		}
		expr, o := pattern, Options{}
		if ignoreCase {
			expr, o.Flags = "(?i)"+pattern, []string{"ignore_case"}
		}
		re, err := regexp.Compile(expr)
		m, ours := Compile(pattern, o)
		if (err != nil) != (ours != nil) || (m == nil) != (ours != nil) {
			t.Fatalf("%q: %v, want %v", pattern, ours, err)
		}
		if err != nil {
			return
		}
		if got, want := m.Match(value), re.Match(value); got != want {
			t.Errorf("%q in %q: %v, want %v", pattern, value, got, want)
		}
		if got, want := m.Find(value), re.FindSubmatchIndex(value); !reflect.DeepEqual(got, want) {
			t.Errorf("%q finds %v in %q, want %v", pattern, got, value, want)
		}
		if got, want := m.FindAll(value, 1000), re.FindAllSubmatchIndex(value, 1000); !reflect.DeepEqual(got, want) {
			t.Errorf("%q finds all %v in %q, want %v", pattern, got, value, want)
		}
	})
}

// FuzzGlob compares with a matcher that tries everything.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*.*", "é.")
	f.Fuzz(func(t *testing.T, glob, value string) {
		if len(glob) > 10 || len(value) > 20 {
			return
		}
		m, err := Compile(glob, Options{Type: "glob"})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Match([]byte(value)), globs([]rune(glob), []rune(value)); got != want {
			t.Errorf("%q matches %q: %v, want %v", glob, value, got, want)
		}
	})
}

func globs(glob, value []rune) bool {
	switch {
	case len(glob) == 0:
		return len(value) == 0
	case glob[0] == '*':
		return globs(glob[1:], value) || len(value) > 0 && globs(glob, value[1:])
	}
	return len(value) > 0 && (glob[0] == '?' || glob[0] == value[0]) && globs(glob[1:], value[1:])
}

func BenchmarkMatch(b *testing.B) {
	const pattern = `(timeout|refused|unreachable).*(host|port) `
	quiet := strings.Repeat("pam_unix(sshd:session): session opened for user root(uid=0) ", 5)[:250]
	for _, bench := range []struct{ name, pattern, line string }{
		{"no required text", pattern, quiet},
		{"to the end", pattern, "refused " + quiet[8:]},
		{"not ASCII", pattern, strings.Repeat("refused соединение ", 8)},
		{"a text", "Accepted publickey", quiet},
		{"no text to look for", `[0-9]+[.:][0-9]`, quiet},
		{"a match at the begin", `session`, quiet},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m, err := Compile(bench.pattern, Options{})
			if err != nil {
				b.Fatal(err)
			}
			line := []byte(bench.line)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				m.Match(line)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, pattern := range []string{"sshd", `(timeout|refused|unreachable).*(host|port) `, `\pL{100}`} {
		b.Run(fmt.Sprintf("%.20s", pattern), func(b *testing.B) {
			for b.Loop() {
				if _, err := Compile(pattern, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package match

import (
	"regexp"
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
	} {
		m, err := Compile(test.pattern, test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Match([]byte(test.value)); got != test.want {
			t.Errorf("%q %v matches %q: %v, want %v", test.pattern, test.options, test.value, got, test.want)
		}
		if test.options.Type != "string" && (m.Find([]byte(test.value)) != nil) != test.want {
			t.Errorf("%q finds %v in %q, want %v", test.pattern, m.Find([]byte(test.value)), test.value, test.want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct{ pattern, want string }{
		{"a(?!b)", `regular expression "a(?!b)": at 2: lookahead is in PCRE, not in RE2 which is used here`},
		{`(a)\1`, `regular expression "(a)\\1": at 4: a backreference is in PCRE, not in RE2 which is used here`},
		{"(", "regular expression \"(\": missing closing ): \"(\""},
	} {
		if _, err := Compile(test.pattern, Options{}); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.pattern, err, test.want)
		}
	}
}

// FuzzMatch compares with the standard library.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`(a|b)+c$`, "aabbc"}, {`\d+\.\d+`, "1.2"}, {`(?i)x\b`, "aX "}, {`^é+$`, "éé"}, {`(?m)^b`, "a\nb"}, {`\Bx`, "ax"}, {"[^a]", "\xff"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, pattern string, value []byte) {
		re, err := regexp.Compile(pattern)
		if err != nil || len(pattern) > 50 {
			return
		}
		m, err := Compile(pattern, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := re.Match(value)
		if m.Match(value) != want || (m.Find(value) != nil) != want {
			t.Errorf("%q in %q: %v %v, want %v", pattern, value, m.Match(value), m.Find(value), want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	line := []byte("pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0) connection refused then all quiet and nothing else to see here, move along, nothing at all to see")
	m, err := Compile(`(timeout|refused|unreachable).*(host|port) `, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		m.Match(line)
	}
}

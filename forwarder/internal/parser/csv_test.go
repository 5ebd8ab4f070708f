package parser

import (
	"testing"

	"kad/forwarder/internal/template"
)

// TestCSV has what syslog-ng 3.38 makes of the same texts.
func TestCSV(t *testing.T) {
	defaults := func(*CSV) {}
	flags := func(flags ...string) func(*CSV) { return func(c *CSV) { c.Flags = flags } }
	for _, test := range []struct {
		name   string
		change func(c *CSV)
		text   string
		want   string // a "-" for what is not set
	}{
		{"columns", defaults, "a,b,c", "[a][b][c]"},
		{"too few", defaults, "a,b", "[a][b][-]"},
		{"too many", defaults, "a,b,c,d", "[a][b][c]"},
		{"none", defaults, "", "[-][-][-]"},
		{"empty ones", defaults, "a,,c", "[a][][c]"},
		{"an empty last one", defaults, "a,b,", "[a][b][-]"},
		{"blanks", defaults, " a , b , c ", "[a][b][c]"},
		{"blanks, kept", flags("escape-none"), " a , b , c ", "[ a ][ b ][ c ]"},
		{"quotes", defaults, `"a,x",'b,y',c`, "[a,x][b,y][c]"},
		{"no quote after a blank", defaults, `a , "b,c" ,d`, `[a]["b][c"]`},
		{"text after a quote", defaults, `"a"x,b,c`, "[ax][b][c]"},
		{"a quote within", defaults, `a"b",c,d`, `[a"b"][c][d]`},
		{"a quote left open", defaults, `"a,b,c`, "[a,b,c][-][-]"},
		{"other quotes", func(c *CSV) { c.Quotes = "[]()" }, "[a,x],(b,y),'c'", "[a,x][b,y]['c']"},
		{"no quotes", func(c *CSV) { c.Quotes = "" }, `"a,b",c`, `["a][b"][c]`},
		{"a quote twice", flags("escape-none"), `"a""b",c,d`, `[a"b"][c][d]`},
		{"a quote twice, escaped", flags("escape-double-char"), `"a""b",c,d`, `[a"b][c][d]`},
		{"backslash", flags("escape-backslash"), `"a\"b\\",c\,d`, `[a"b\][c\][d]`},
		{"delimiters", func(c *CSV) { c.Delimiters = ",;" }, "a;b,c", "[a][b][c]"},
		{"a text as delimiter too", func(c *CSV) { c.StringDelimiters = []string{"", "||"} }, "a||b|,c", "[a][b|][c]"},
		{"null", func(c *CSV) { c.Null = "-" }, "-,b,-", "[][b][]"},
		{"a column without a name", func(c *CSV) { c.Columns[1] = "" }, "a,b,c", "[a][-][c]"},
		{"blanks that are delimiters", func(c *CSV) { c.Delimiters = " ," }, " a , b , c ", "[a][][b]"},
		{"greedy", flags("greedy"), `a,b, c,"d"`, `[a][b][ c,"d"]`},
		{"greedy, blanks", flags("greedy", "strip-whitespace"), `a,b, c,"d" `, `[a][b][c,"d"]`},
		{"drop-invalid", flags("drop-invalid"), "a,b,c", "[a][b][c]"},
		{"greedy, an empty last one", flags("greedy"), "a,b", "[a][b][]"},
		{"drop-invalid, too few", flags("drop-invalid"), "a,b", "refused"},
		{"drop-invalid, too many", flags("drop-invalid"), "a,b,c,d", "refused"},
		{"drop-invalid and greedy, too few", flags("drop-invalid", "greedy"), "a", "refused"},
		{"drop-invalid and greedy, too many", flags("drop-invalid", "greedy"), "a,b,c,d", "[a][b][c,d]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Drivers["csv"]().(*CSV)
			c.Columns, c.Prefix = []string{"a", "b", "c"}, "k."
			test.change(c)
			if err := c.Init(); err != nil {
				t.Fatal(err)
			}
			m, got := message(test.text), "refused"
			for _, name := range c.names {
				if m.Value(name) != nil {
					t.Fatal("a value before")
				}
			}
			if c.Process(m) {
				got = ""
				for _, name := range c.names {
					value := m.Value(name)
					if value == nil {
						value = []byte("-")
					}
					got += "[" + string(value) + "]"
				}
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// FuzzCSV reads back what was written with each quote doubled.
func FuzzCSV(f *testing.F) {
	f.Add("a", `b"c`, ",")
	show := template.Must("$a\x00$b\x00$c")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		p := &CSV{Columns: []string{"a", "b", "c"}, Delimiters: ",", Quotes: `""`, Flags: []string{"escape-double-char"}}
		if err := p.Init(); err != nil {
			t.Fatal(err)
		}
		m := message("")
		for i, column := range []string{a, b, c} {
			if i > 0 {
				m.Msg = append(m.Msg, ',')
			}
			m.Msg = append(m.Msg, '"')
			for _, b := range []byte(column) {
				if b == '"' {
					m.Msg = append(m.Msg, '"')
				}
				m.Msg = append(m.Msg, b)
			}
			m.Msg = append(m.Msg, '"')
		}
		if !p.Process(m) {
			t.Fatal("refused")
		}
		if got, want := string(show.Append(nil, m, nil)), a+"\x00"+b+"\x00"+c; got != want {
			t.Errorf("%q: %q, want %q", m.Msg, got, want)
		}
	})
}

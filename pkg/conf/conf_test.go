package conf

import (
	"errors"
	"strings"
	"testing"
)

type level struct{ text string }

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "low" && string(b) != "high" {
		return errors.New(`"` + string(b) + `" is neither low nor high`)
	}
	l.text = string(b)
	return nil
}

type document struct {
	Title string `toml:"title"`
	Hook  map[string]struct {
		Kind  string   `toml:"kind"`
		Port  int      `toml:"port"`
		Small uint8    `toml:"small"`
		Level level    `toml:"level"`
		State []string `toml:"state"`
		Steps []struct {
			Filter string `toml:"filter"`
		} `toml:"steps"`
	} `toml:"hook"`
	List []struct {
		Name string `toml:"name"`
	} `toml:"list"`
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good", "title = 'x'\n[hook.a]\nkind = 'exec'\n", ""},
		{"syntax", "title = 'x'\n[hook\n", "f.toml:2:6: expected '.' or ']' to end table name, but got '\\n' instead"},
		{"twice", "title = 'x'\ntitle = 'y'\n", "f.toml:2:1: title: Key 'title' has already been defined."},
		{"wrong type", "[hook.a]\nkind='x'\n  port = 'x'\n", "f.toml:3:3: hook.a.port: found a string, want a whole number"},
		{"element of wrong type", "[hook.a]\nstate = ['a', 1]\n", "f.toml:2:1: hook.a.state: found a whole number, want a string"},
		{"scalar for table", "hook = 3\n", "f.toml:1:1: hook: found a whole number, want a table"},
		{"out of range", "[hook.a]\nsmall = 300\n", "f.toml:2:9: hook.a.small: 300 is out of range for uint8"},
		{"refused by its type", "[hook.a]\nlevel = 'loud'\n", `f.toml:2:10: hook.a.level: "loud" is neither low nor high`},
		{"unknown key", "[hook.a]\n kimd = 'exec'\n", "f.toml:2:2: hook.a.kimd: no such key (did you mean kind?)"},
		{"unknown key in a quoted table", "[hook.'a b']\nkimd = 'exec'\n", `f.toml:2:1: hook."a b".kimd: no such key (did you mean kind?)`},
		{"unknown table is one error", "[houk.a]\nkind = 'x'\nport = 1\n", "f.toml:1:2: houk: no such key (did you mean hook?)"},
		{"unknown key of an inline table", "[hook.a]\nsteps = [{ filter = 'x' }, { filtre = 'y' }]\n",
			"f.toml:2:30: hook.a.steps[1].filtre: no such key (did you mean filter?)"},
		{"far from all", "[hook.a]\nzzzzzz = 1\n", "f.toml:2:1: hook.a.zzzzzz: no such key"},
		{"all at once", "[hook.a]\nkimd = 'exec'\n[hook.b]\nstat = []\n",
			"f.toml:2:1: hook.a.kimd: no such key (did you mean kind?)\nf.toml:4:1: hook.b.stat: no such key (did you mean state?)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v document
			_, err := Decode("f.toml", []byte(c.text), &v)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	text := `title = "x"
[hook.a]
state = ["MASTER",
  "BAKUP"]
steps = [{ filter = "f" }, { filter = "g" }]
[[list]]
name = "one"
[[list]]
name = "two"
[hook."b c"]
kind = "exec"
`
	var v document
	f, err := Decode("f.toml", []byte(text), &v)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"hook.a.state[1]", "f.toml:4:3"},
		{"hook.a.steps[1].filter", "f.toml:5:30"},
		{"list[1].name", "f.toml:9:1"},
		{"list[0]", "f.toml:6:3"},
		{`hook."b c".kind`, "f.toml:11:1"},
		{"hook.a.kind", "f.toml:2:7"}, // not there: the table is
		{"nowhere", "f.toml"},
	} {
		f.errs = nil
		f.Errorf(c.path, "x")
		want := c.want + ": " + c.path + ": x"
		if got := f.Err().Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSnippet(t *testing.T) {
	var v document
	f, _ := Decode("f.toml", []byte("[hook.a]\n\tkimd = 'ä'\n"), &v)
	want := "    \tkimd = 'ä'\n    \t^\n"
	if got := f.Errors()[0].Snippet(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTooLarge(t *testing.T) {
	var v document
	_, err := Decode("f.toml", make([]byte, MaxSize+1), &v)
	if err == nil || err.Error() != "f.toml: larger than 16 MiB" {
		t.Errorf("got %v", err)
	}
}

// A file is decoded or refused, every error has a place inside the file, and an accepted
// file has a place for each of its keys.
func FuzzDecode(f *testing.F) {
	f.Add("title = 'x'\n[hook.a]\nkimd = 'exec'\nsteps = [{ filter = 'x' }]\n[[list]]\nname='x'\n")
	f.Add("[hook.'a b']\nstate = [[1], {a.b = 2}]\r\n")
	f.Add("a.b.c = 1\n[a.b.d]\n")
	f.Fuzz(func(t *testing.T, text string) {
		var v document
		file, err := Decode("f", []byte(text), &v)
		if (err == nil) != (len(file.Errors()) == 0) {
			t.Fatalf("error %v, but %d reported", err, len(file.Errors()))
		}
		lines := strings.Count(text, "\n") + 1
		for _, e := range file.Errors() {
			if e.Line > lines || e.Line > 0 && (e.Col < 1 || e.Col > len(e.Text)+2) {
				t.Errorf("%v: outside of %d lines, or of %q", e, lines, e.Text)
			}
			e.Snippet()
		}
	})
}

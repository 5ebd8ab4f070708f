package letter

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	b := AppendHeader([]byte("logs.a"), "X", "1\n2\x00")
	b = AppendHeader(b, "Y", []byte("z: z"))
	b = append(AppendEnd(b), "text\n\nmore"...)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want := Letter{Address: "logs.a", Headers: []Header{{"X", "1 2 "}, {"Y", "z: z"}}, Text: []byte("text\n\nmore"), Head: len(b) - 10}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, text := range []string{"", "logs.a", "\n\ntext", "\nX: 1\n\ntext", "logs.a\nX\n\ntext"} {
		if l, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q: got %+v", text, l)
		}
	}
}

// What a letter is taken apart into is what it is made of.
func FuzzParse(f *testing.F) {
	f.Add([]byte("logs.a\nX: 1\n\ntext"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		again := []byte(l.Address)
		for _, h := range l.Headers {
			again = append(append(append(append(again, '\n'), h.Name...), ": "...), h.Value...)
		}
		if again = append(AppendEnd(again), l.Text...); !bytes.Equal(again, b) || l.Head+len(l.Text) != len(b) {
			t.Errorf("%q became %q, head %d", b, again, l.Head)
		}
	})
}

func TestFit(t *testing.T) {
	const head = "<13>1 - h a - - - "
	l := Letter{Address: "s", Headers: []Header{{"X", "1"}}, Text: []byte(head + "0123456789")}
	for _, test := range []struct {
		name string
		how  TooLarge
		room int
		want string // headers and texts
	}{
		{"refuse", Refuse, 20, ""},
		{"truncate", Truncate, 20, "Syslog-Truncated: 28 " + head + "01|"},
		{"truncate to nothing", Truncate, 0, ""},
		{"split", Split, 36, "Syslog-Part: 1/1 " + head + "0123456789|"},
		{"split a head", Split, 18, "Syslog-Part: 1/2 " + head + "|Syslog-Part: 2/2 0123456789|"},
	} {
		got := ""
		for _, part := range test.how.Fit(l, test.room) {
			if len(part.Headers) != 2 || part.Headers[0] != l.Headers[0] || part.Address != "s" {
				t.Errorf("%s: %+v", test.name, part)
			}
			got += part.Headers[1].Name + ": " + part.Headers[1].Value + " " + string(part.Text) + "|"
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	long := Split.Fit(Letter{Text: []byte(head + strings.Repeat("ab", 30))}, 40)
	if len(long) != 3 || string(long[2].Text) != head+"abababababababab" {
		t.Errorf("a syslog message: got %+v", long)
	}
	plain := Split.Fit(Letter{Text: []byte(strings.Repeat("ab", 5))}, 4)
	if len(plain) != 3 || string(plain[2].Text) != "ab" {
		t.Errorf("no syslog message: got %+v", plain)
	}
}

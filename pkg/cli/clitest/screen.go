package clitest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Screen compares a text with what a page shows that a command prints; update puts it there. The page has a place for it:
//
//	<!-- screen: written by go test -update -->
//
//	    $ COMMAND
//	    TEXT
//
//	<!-- end of screen -->
func Screen(t *testing.T, page, command, text string, update bool) {
	t.Helper()
	was, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin := fmt.Appendf(nil, "<!-- screen: written by go test -update -->\n\n    $ %s\n", command)
	_, rest, found := bytes.Cut(was, begin)
	old, _, closed := bytes.Cut(rest, []byte("\n<!-- end of screen -->"))
	if !found || !closed {
		t.Fatalf("%s has no place for the screen of %q", page, command)
	}
	var shown strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			line = "    " + line
		}
		shown.WriteString(line)
	}
	if shown.String() == string(old) {
		return
	}
	if !update {
		t.Errorf("%s, %s: go test -update rewrites it, read the diff. Got:\n%s", page, command, text)
		return
	}
	is := bytes.Replace(was, append(begin, old...), append(begin, shown.String()...), 1)
	if err := os.WriteFile(page, is, 0o644); err != nil {
		t.Fatal(err)
	}
}

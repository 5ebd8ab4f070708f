package main

import (
	"strings"
	"testing"

	"kad/pkg/cli/clitest"
)

// The pages show what the verbs print of examples/forwarder/auth.toml.
func TestScreens(t *testing.T) {
	const sudo = `<86>Oct 11 22:14:15 web sudo: ops: COMMAND=/bin/mount -o password=x`
	for _, c := range []struct{ page, verb, message string }{
		{"README.md", "explain --config auth.toml", sudo},
		{"README.md", "graph --config auth.toml", ""},
		{"README.md", "graph --config auth.toml -o mermaid", ""},
		{"../README.md", "explain --config auth.toml", sudo},
		{"../README.md", "graph --config auth.toml", ""},
	} {
		args := strings.Fields(strings.Replace(c.verb, "auth.toml", examples+"/auth.toml", 1))
		command := "forwarder " + c.verb
		if c.message != "" {
			args = append(args, c.message)
			command += " '" + c.message + "'"
		}
		code, stdout, stderr := forwarder(t, "", args...)
		if code != 0 || stderr != "" {
			t.Fatalf("%s: code %d, %s", c.verb, code, stderr)
		}
		clitest.Screen(t, c.page, command, stdout, *update)
	}
}

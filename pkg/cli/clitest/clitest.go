// Package clitest tests the face of a tool: what all tools promise on the command line.
package clitest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"kad/pkg/cli"
)

// Run runs a fresh app with args after its own name and returns what its process would.
func Run(t testing.TB, newApp func() *cli.App, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	app := newApp()
	var out, talk strings.Builder
	code = cli.Run(t.Context(), app, append([]string{app.Name}, args...), strings.NewReader(""), &out, &talk)
	return code, out.String(), talk.String()
}

// Face checks the help of every verb, the version, an unknown flag, the completion scripts, and
// that the options in README.md of the current directory are those of the tool; update
// rewrites them. Shells that are not installed are left out, bash must be there.
func Face(t *testing.T, newApp func() *cli.App, update bool) {
	t.Run("help", func(t *testing.T) {
		for _, path := range paths(newApp().Commands, nil) {
			checkHelp(t, newApp, path)
		}
	})
	t.Run("version", func(t *testing.T) {
		code, out, talk := Run(t, newApp, "--version")
		if code != cli.OK || !strings.HasPrefix(out, newApp().Name+" ") || talk != "" {
			t.Errorf("--version: code %d, stdout %q, stderr %q", code, out, talk)
		}
	})
	t.Run("unknown flag", func(t *testing.T) {
		code, out, talk := Run(t, newApp, "--hlep")
		want := newApp().Name + `: unknown flag "--hlep" (did you mean "--help"?)` + "\n"
		if code == cli.OK || out != "" || !strings.HasPrefix(talk, want) {
			t.Errorf("--hlep: code %d, stdout %q, stderr %q, want %q", code, out, talk, want)
		}
	})
	t.Run("completion", func(t *testing.T) {
		for _, shell := range []string{"bash", "zsh", "fish"} {
			checkScript(t, newApp, shell)
		}
	})
	t.Run("readme", func(t *testing.T) { checkReadme(t, newApp, update) })
}

// paths returns the path of every verb, the tool itself first.
func paths(verbs []*cli.Command, above []string) [][]string {
	all := [][]string{above}
	for _, v := range verbs {
		all = append(all, paths(v.Subcommands, append(slices.Clip(above), v.Name))...)
	}
	return all
}

func checkHelp(t *testing.T, newApp func() *cli.App, path []string) {
	t.Helper()
	code, out, talk := Run(t, newApp, append(path, "--help")...)
	if code != cli.OK || out == "" || talk != "" {
		t.Errorf("%v --help: code %d, stdout %q, stderr %q", path, code, out, talk)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("%v --help: longer than 80 columns: %q", path, line)
		}
	}
}

func checkScript(t *testing.T, newApp func() *cli.App, shell string) {
	t.Helper()
	code, script, talk := Run(t, newApp, "completion", shell)
	if code != cli.OK || talk != "" {
		t.Fatalf("completion %s: code %d, stderr %q", shell, code, talk)
	}
	if _, err := exec.LookPath(shell); err != nil && shell != "bash" {
		t.Logf("%s is not installed", shell)
		return
	}
	check := exec.Command(shell, "-n", "/dev/stdin")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%s -n: %v\n%s", shell, err, out)
	}
}

func checkReadme(t *testing.T, newApp func() *cli.App, update bool) {
	t.Helper()
	got, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := cli.Readme(newApp(), string(got))
	if err != nil {
		t.Fatalf("README.md: %v", err)
	}
	if string(got) == want {
		return
	}
	if !update {
		t.Fatal("README.md: the options are not those of the tool; go test -run readme -update rewrites them")
	}
	if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

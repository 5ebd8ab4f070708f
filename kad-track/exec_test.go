package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"
)

func TestExec(t *testing.T) {
	testneed.Program(t, "sh")
	tests := []struct{ name, command, why string }{
		{"passes", "true", ""},
		{"passes with output", "sh -c 'echo fine; yes | head -c 1000000'", ""},
		{"fails", "false", "exit status 1"},
		{"says why", `sh -c "echo; echo 'disk  is full' >&2; exit 7"`, "exit status 7: disk  is full"},
		{"steers the terminal", `sh -c 'printf "\033[2J\n"; exit 1'`, "exit status 1: ?[2J"},
		{"dies", "sh -c 'kill -9 $$'", "signal: killed"},
		{"missing", "/no/such/program", "no such file or directory"},
		{"missing in PATH", "no-such-program", "executable file not found in $PATH"},
		{"no shell", "echo ; false", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.why, "--exec", tt.command) })
	}
	expect(t, "want a command", "--exec", " ")
	expect(t, "a quote \" is not closed", "--exec", `sh -c "x`)
}

// What a command has started dies with it: in the foreground, in the background, when it
// ignores signals, and when it is stopped.
func TestExecLeavesNothing(t *testing.T) {
	testneed.Program(t, "sh")
	tests := []struct{ name, script, why string }{
		{"hangs", "echo $$ >>PIDS; sleep 60", "killed: no answer within 2s"},
		{"ignores signals", "trap '' TERM INT HUP; echo $$ >>PIDS; sleep 60; sleep 60", "killed: no answer within 2s"},
		{"stops itself", "echo $$ >>PIDS; kill -STOP $$", "killed: no answer within 2s"},
		{"forks and exits", "sleep 60 & echo $! >>PIDS", ""},
		{"forks and hangs", "sh -c 'echo $$ >>PIDS; sleep 60' & echo $! >>PIDS; wait", "killed: no answer within 2s"},
		{"prints without end", "echo $$ >>PIDS; yes", "killed: no answer within 2s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pids := filepath.Join(t.TempDir(), "pids")
			begin := time.Now()
			expect(t, tt.why, "--timeout", soon, "--exec", `sh -c "`+strings.ReplaceAll(strings.ReplaceAll(tt.script, "PIDS", pids), "$", `\$`)+`"`)
			if took := time.Since(begin); took > 30*time.Second { // half of what the scripts sleep
				t.Errorf("took %v", took)
			}
			text, _ := os.ReadFile(pids)
			if len(text) == 0 {
				t.Fatal("the script has not run")
			}
			for _, word := range strings.Fields(string(text)) {
				pid, _ := strconv.Atoi(word)
				eventually(t, "process "+word+" is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
			}
		})
	}
}

// zombie reports whether the process is dead and its parent, init, has yet to notice.
func zombie(pid int) bool {
	_, state, err := procStat(pid)
	return err == nil && state == 'Z'
}

// The first check that fails decides: one that runs on is cancelled, and its command killed.
func TestExecCancelled(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	begin := time.Now()
	expect(t, "the file exists: this host is drained", "--not-if-exists", "/", "--exec", `sh -c "echo \$\$ >`+pids+`; sleep 60"`)
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if text, _ := os.ReadFile(pids); len(text) > 0 {
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		eventually(t, "the command is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
	}
}

// keepalived ends a script with SIGTERM, and then counts exit code 0 as good.
func TestExecTerminated(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	cmd := asTool(t, "--timeout", "1m", "--exec", `sh -c "echo \$\$ >`+pids+`; sleep 60"`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "the command runs", func() bool {
		text, _ := os.ReadFile(pids)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	})
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	eventually(t, "the command is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) })
}

func TestSplitWords(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"a b", []string{"a", "b"}},
		{"  a\tb  ", []string{"a", "b"}},
		{`'a b' "c d"`, []string{"a b", "c d"}},
		{`a'b'c`, []string{"abc"}},
		{`'' ""`, []string{"", ""}},
		{`a\ b`, []string{"a b"}},
		{`"a\"b" 'a\b'`, []string{`a"b`, `a\b`}},
		{`a\`, []string{`a\`}},
		{`'`, nil},
		{`"a`, nil},
		{``, nil},
	}
	for _, tt := range tests {
		got, err := splitWords(tt.in)
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%q: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzSplitWords(f *testing.F) {
	f.Add(`sh -c 'echo "x y"' \ z`)
	f.Fuzz(func(t *testing.T, command string) {
		words, err := splitWords(command)
		if (words == nil) == (err == nil) {
			t.Fatalf("%q: both or neither of %q, %v", command, words, err)
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		if again, err := splitWords(strings.Join(quoted, " ")); words != nil && (err != nil || !slices.Equal(again, words)) {
			t.Fatalf("%q: %q, quoted and split again %q, %v", command, words, again, err)
		}
	})
}

package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kad/pkg/cli/clitest"
)

var update = flag.Bool("update", false, "rewrite README.md's options")

// TestMain is kad-track itself when a test runs it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("KAD_TRACK_TEST_AS_TOOL") != "" {
		main()
	}
	os.Exit(m.Run())
}

// asTool returns kad-track as a command of its own.
func asTool(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "kad-track"
	cmd.Env = append(os.Environ(), "KAD_TRACK_TEST_AS_TOOL=1")
	var talk bytes.Buffer
	cmd.Stderr = &talk
	t.Cleanup(func() {
		if cmd.Process != nil && cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		if t.Failed() {
			t.Logf("kad-track %q: %s", args, talk.String())
		}
	})
	return cmd
}

func TestFace(t *testing.T) { clitest.Face(t, newApp, *update) }

// soon is a timeout for what will not answer: longer than it takes to get there on a busy machine.
const soon = "2s"

// kadTrack runs kad-track in this process and returns its exit code and what it has said. Checks have
// all the time they need, unless args give them some.
func kadTrack(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	if len(args) > 0 && strings.HasPrefix(args[0], "-") && !slices.Contains(args, "--timeout") {
		args = append([]string{"--timeout", "1m"}, args...)
	}
	var out, talk bytes.Buffer
	code = run(t.Context(), append([]string{"kad-track"}, args...), strings.NewReader(""), &out, &talk)
	return code, out.String(), talk.String()
}

// expect runs kad-track and wants it to pass without a word, or to fail with the one line that
// ends in why; of a wrong command line also with the pointer to the help.
func expect(t *testing.T, why string, args ...string) {
	t.Helper()
	code, stdout, stderr := kadTrack(t, args...)
	good := code == 0 && stderr == ""
	if why != "" {
		line := strings.TrimSuffix(stderr, "Try 'kad-track --help'.\n")
		good = code == 1 && strings.HasSuffix(line, why+"\n") && strings.Count(line, "\n") == 1
	}
	if !good || stdout != "" {
		t.Errorf("kad-track %q\ngot  %d, stdout %q, stderr %q\nwant %q", args, code, stdout, stderr, why)
	}
}

// start starts a program that ends with the test, and hands back what it has said by then.
func start(t testing.TB, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(path), output.String())
		}
	})
	return cmd
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

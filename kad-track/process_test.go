package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"kad/pkg/testneed"
)

func TestPIDFile(t *testing.T) {
	s := startSyslogNG(t)
	pid := strconv.Itoa(s.Process.Pid)
	expect(t, "", "--pid-file", s.pidFile)
	s.signal(t, syscall.SIGSTOP)
	expect(t, "process "+pid+" is stopped", "--pid-file", s.pidFile)
	if err := s.Process.Kill(); err != nil { // without waiting for it
		t.Fatal(err)
	}
	eventually(t, "a zombie", func() bool {
		_, state, _ := procStat(s.Process.Pid)
		return state == 'Z'
	})
	expect(t, "process "+pid+" has died (zombie)", "--pid-file", s.pidFile)
	s.Wait()
	expect(t, "process "+pid+" is not running", "--pid-file", s.pidFile)

	for text, why := range map[string]string{
		"":                             `"" is not a process ID`,
		"syslog-ng":                    `"syslog-ng" is not a process ID`,
		"-1\n":                         `"-1" is not a process ID`,
		"999999999999\n":               "process 999999999999 is not running",
		"9999999999999999999999999999": `"99999999999999999999" is not a process ID`,
	} {
		expect(t, why, "--pid-file", write(t, filepath.Join(s.dir, "other"), text))
	}
	expect(t, "no such file or directory", "--pid-file", filepath.Join(s.dir, "none"))
}

func TestProcess(t *testing.T) {
	sleep, err := os.ReadFile(testneed.Program(t, "sleep"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		fmt.Sprintf("kt%d", os.Getpid()),
		fmt.Sprintf("kad-track-test-%d", os.Getpid()), // longer than the kernel keeps
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, sleep, 0o755); err != nil {
			t.Fatal(err)
		}
		expect(t, "--process "+name+": no such process", "--process", name)
		a := start(t, path, "60")
		b := start(t, path, "60")
		eventually(t, "both run", func() bool { return isNamed(a.Process.Pid, commOf(a), name) && isNamed(b.Process.Pid, commOf(b), name) })
		expect(t, "", "--process", name)
		b.Process.Kill()
		b.Wait()
		expect(t, "", "--process", name)
		a.Process.Signal(syscall.SIGSTOP)
		eventually(t, "stopped", func() bool { _, state, _ := procStat(a.Process.Pid); return state == 'T' })
		expect(t, fmt.Sprintf("process %d is stopped", a.Process.Pid), "--process", name)
		a.Process.Kill()
		a.Wait()
		expect(t, "no such process", "--process", name)
	}
	expect(t, "want the name of a process, without its directory", "--process", "/usr/sbin/syslog-ng")
}

func commOf(cmd *exec.Cmd) string {
	comm, _, _ := procStat(cmd.Process.Pid)
	return comm
}

// The longer name must not be taken for a shorter one that begins alike.
func TestIsNamed(t *testing.T) {
	pid := os.Getpid()
	for _, tt := range []struct {
		comm, name string
		want       bool
	}{
		{"syslog-ng", "syslog-ng", true},
		{"syslog-ng", "syslog", false},
		{"syslog-ng-other", "syslog-ng-other-program", false},
		{"fifteen-letters", "fifteen-letters", true},
	} {
		if got := isNamed(pid, tt.comm, tt.name); got != tt.want {
			t.Errorf("%s %s: got %v", tt.comm, tt.name, got)
		}
	}
}

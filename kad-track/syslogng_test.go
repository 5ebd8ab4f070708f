package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kad/pkg/testneed"
)

// realSyslogNG is a running syslog-ng.
type realSyslogNG struct {
	*exec.Cmd
	dir     string
	control string // its control socket
	pidFile string
	tcp     string // address of a source that writes what comes into logFile
	logFile string
}

// startSyslogNG starts the installed syslog-ng in a directory of its own, and more lines in its
// configuration.
func startSyslogNG(t testing.TB, more ...string) *realSyslogNG {
	t.Helper()
	s := &realSyslogNG{dir: t.TempDir()}
	s.control, s.pidFile = filepath.Join(s.dir, "ctl"), filepath.Join(s.dir, "pid")
	s.tcp, s.logFile = freeAddress(t), filepath.Join(s.dir, "log")
	host, port, _ := net.SplitHostPort(s.tcp)
	write(t, filepath.Join(s.dir, "conf"), fmt.Sprintf(`@version: 3.38
options { stats-level(1); keep-hostname(yes); };
source s { network(ip(%s) port(%s) transport(tcp)); };
destination d { file("%s"); };
log { source(s); destination(d); };
%s
`, host, port, s.logFile, strings.Join(more, "\n")))
	s.run(t)
	return s
}

func (s *realSyslogNG) run(t testing.TB) {
	t.Helper()
	os.Remove(s.control)
	s.Cmd = start(t, testneed.Program(t, "syslog-ng"), "-F", "--no-caps", "-f", filepath.Join(s.dir, "conf"),
		"-p", s.pidFile, "-R", filepath.Join(s.dir, "persist"), "-c", s.control)
	eventually(t, "syslog-ng is ready", func() bool {
		conn, err := net.Dial("unix", s.control)
		if err != nil {
			return false
		}
		conn.Close()
		pid, err := os.ReadFile(s.pidFile)
		return err == nil && len(pid) > 0
	})
}

// signal sends a signal and waits until it has done its work.
func (s *realSyslogNG) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	switch sig {
	case syscall.SIGKILL:
		s.Wait()
	case syscall.SIGSTOP:
		eventually(t, "stopped", func() bool {
			_, state, _ := procStat(s.Process.Pid)
			return state == 'T'
		})
	}
}

// freeAddress returns an address of TCP and UDP that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", testneed.Port(t))
}

func TestSyslogNG(t *testing.T) {
	s := startSyslogNG(t)
	flag := "--syslog-ng=" + s.control
	expect(t, "", flag)

	s.signal(t, syscall.SIGSTOP)
	expect(t, "connected, but no answer: syslog-ng is stopped or hangs", "--timeout", soon, flag)
	fillBacklog(t, s.control)
	expect(t, "the backlog is full: syslog-ng has stopped accepting connections", flag)

	s.signal(t, syscall.SIGKILL)
	expect(t, "nobody listens: syslog-ng has died and left its socket behind", flag)
	s.run(t)
	expect(t, "", flag)
}

// fillBacklog connects to a socket until the kernel takes no more.
func fillBacklog(t *testing.T, socket string) {
	t.Helper()
	for range 5000 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the backlog does not fill")
}

// A daemon that has no part in the tests' machine: what its socket says stands here.
func TestSyslogNGAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer string // to LICENSE; "" closes at once
		hang   bool   // instead of closing after the answer
		want   string
	}{
		{name: "open source edition", answer: "OK You are using the Open Source Edition of syslog-ng.\n.\n", hang: true},
		{name: "unknown command", want: "closed before the answer was complete"},
		{name: "half an answer", answer: "OK You", want: "closed before the answer was complete"},
		{name: "answer without end", answer: "OK You\n", hang: true, want: "connected, but no answer: syslog-ng is stopped or hangs"},
		{name: "endless line", answer: strings.Repeat("x", 1<<17), want: "a line of more than 65536 bytes: this is not syslog-ng"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			socket := serve(t, func(conn net.Conn) {
				command := make([]byte, 100)
				n, _ := conn.Read(command)
				if string(command[:n]) != "LICENSE\n" {
					t.Errorf("got the command %q", command[:n])
				}
				conn.Write([]byte(tt.answer))
				if tt.hang {
					conn.Read(command)
				}
			})
			expect(t, tt.want, "--timeout", soon, "--syslog-ng="+socket)
		})
	}
}

// serve answers each connection to a unix socket, and returns the socket.
func serve(t testing.TB, answer func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
	return socket
}

func TestControlSocketProblems(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ name, socket, want string }{
		{"missing", filepath.Join(dir, "none"), "syslog-ng does not run, or has its control socket elsewhere than in " + dir + "/none"},
		{"a file", write(t, filepath.Join(dir, "file"), ""), "not a socket"},
		{"a directory", dir, "not a socket"},
		{"below a file", filepath.Join(dir, "file", "ctl"), "not a directory"},
		{"long", "/" + strings.Repeat("x", 300), "file name too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.want, "--syslog-ng="+tt.socket) })
	}
}

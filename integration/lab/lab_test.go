package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kad/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m.Run)) }

// sleeper is a daemon that says when it starts and when it is asked to stop, and that has a child.
var sleeper = lab.Program{Name: "sleeper", Argv: []string{
	"sh", "-c", `trap 'kill $!; echo stopped; exit 0' TERM; sleep 1000 & echo started; wait`}}

// awaitLog waits until the sleeper on h has said want.
func awaitLog(l *lab.Lab, h *lab.Host, want string) {
	l.Eventually(time.Minute, func() error {
		if got := h.Log(sleeper); got != want {
			return fmt.Errorf("log %q, want %q", got, want)
		}
		return nil
	})
}

func TestHostIsAMachineOfItsOwn(t *testing.T) {
	l := lab.New(t, lab.Options{Bin: programs(t)})
	a := l.AddHost("a", "192.0.2.1/24")
	b := l.AddHost("b", "192.0.2.2/24")
	a.Start(sleeper)
	for _, c := range []struct{ name, command, want string }{
		{"name", "hostname", "b\n"},
		{"its processes are its only ones", `cat /proc/[0-9]*/comm | grep -c -e sleep -e keepalived -e lab.test`, "0\n"},
		{"pid 1 is its init", `tr '\0' ' ' </proc/1/cmdline`, "kad-lab-init b read-only "},
		{"private directories are empty", "ls -A /etc/keepalived /etc/syslog-ng /run /tmp | grep -v -e : -e '^$'", ""},
		{"the machine's files are read-only", "for f in /usr/bin /etc/passwd /dev /run; do test -w $f && echo $f; done", "/run\n"},
		{"directories over programs are root's", "stat -c %u / /usr /usr/local /usr/local/bin /usr/local/bin/hello | sort -u", "0\n"},
		{"programs of Options.Bin", "hello", "hello from b\n"},
		{"addresses", "ip -4 -o address show dev eth0 | grep -o 'inet.*brd [0-9.]*'", "inet 192.0.2.2/24 brd 192.0.2.255\n"},
		{"hosts by name", "getent hosts a", "192.0.2.1       a\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := b.Run("sh", "-c", c.command); got.Stdout != c.want {
				t.Errorf("%s: got %q %q, want %q", c.command, got.Stdout, got.Stderr, c.want)
			}
		})
	}
}

// programs returns a directory with a program that says where it runs.
func programs(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/hello", []byte("#!/bin/sh\necho hello from $(hostname)\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRun(t *testing.T) {
	l := lab.New(t, lab.Options{})
	h := l.AddHost("a", "192.0.2.1/24")
	for _, c := range []struct {
		name    string
		timeout time.Duration
		argv    []string
		want    lab.Result
	}{
		{"success", time.Minute, []string{"echo", "yes"}, lab.Result{Stdout: "yes\n"}},
		{"failure", time.Minute, []string{"sh", "-c", "echo no >&2; exit 3"}, lab.Result{Stderr: "no\n", Code: 3}},
		{"missing", time.Minute, []string{"nonsense"}, lab.Result{
			Stderr: "nonsense: not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", Code: -1}},
		{"out of time, with a child", 2 * time.Second, []string{"sh", "-c", "sleep 1000; true"}, lab.Result{
			Stderr: "signal: killed\n", Code: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
			defer cancel()
			if got := h.RunContext(ctx, c.argv...); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	l := lab.New(t, lab.Options{})
	a := l.AddHost("a", "192.0.2.1/24")
	b := l.AddHost("b", "192.0.2.2/24")
	a.WriteFile("/etc/keepalived/conf.d/x", []byte("of a"), 0o600)
	if got, err := a.ReadFile("/etc/keepalived/conf.d/x"); string(got) != "of a" || err != nil {
		t.Errorf("on a: got %q, %v", got, err)
	}
	if got, err := b.ReadFile("/etc/keepalived/conf.d/x"); !os.IsNotExist(err) {
		t.Errorf("on b: got %q, %v", got, err)
	}
}

func TestLinks(t *testing.T) {
	l := lab.New(t, lab.Options{})
	a := l.AddHost("a", "192.0.2.1/24")
	b := l.AddHost("b", "192.0.2.2/24")
	client := l.AddHost("client", "192.0.2.10/24")
	type reach struct{ ab, ca, cb, carrier bool }
	all := reach{ab: true, ca: true, cb: true, carrier: true}
	for _, c := range []struct {
		name string
		harm func()
		want reach
	}{
		{"cut", a.Cut, reach{cb: true, carrier: true}},
		{"unplug", a.Unplug, reach{cb: true}},
		{"isolate", func() { a.Isolate(); b.Isolate() }, reach{ca: true, cb: true, carrier: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := func() reach {
				return reach{ab: answers(a, "192.0.2.2"), ca: answers(client, "192.0.2.1"), cb: answers(client, "192.0.2.2"), carrier: carrier(a)}
			}
			if got := now(); got != all {
				t.Fatalf("before: got %+v, want %+v", got, all)
			}
			c.harm()
			if got := now(); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			a.Heal()
			b.Heal()
			l.Eventually(time.Minute, func() error {
				if got := now(); got != all {
					return fmt.Errorf("healed: got %+v, want %+v", got, all)
				}
				return nil
			})
		})
	}
}

// answers tells whether the kernel at addr answers h, be it by refusing the connection.
func answers(h *lab.Host, addr string) bool {
	err := h.Do(func() error {
		conn, err := net.DialTimeout("tcp", addr+":9", 200*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return err == nil || strings.Contains(err.Error(), "connection refused")
}

func carrier(h *lab.Host) bool {
	return !strings.Contains(h.Run("ip", "link", "show", "eth0").Stdout, "NO-CARRIER")
}

func TestDaemon(t *testing.T) {
	l := lab.New(t, lab.Options{})
	h := l.AddHost("a", "192.0.2.1/24")
	logs := func(want string) {
		t.Helper()
		awaitLog(l, h, want)
	}
	childIs := func(want string) {
		t.Helper()
		l.Eventually(time.Minute, func() error {
			if got := h.Run("sh", "-c", `sed -n 's/.*(sleep) \(.\).*/\1/p' /proc/[0-9]*/stat`).Stdout; got != want {
				return fmt.Errorf("states of the daemon's child %q, want %q", got, want)
			}
			return nil
		})
	}
	h.Start(sleeper)
	logs("started\n")
	childIs("S\n")
	h.Hang(sleeper)
	childIs("T\n")
	h.Continue(sleeper)
	childIs("S\n")
	h.Restart(sleeper)
	logs("started\nstopped\nstarted\n")
	h.Kill(sleeper)
	childIs("")
	logs("started\nstopped\nstarted\n")
	h.Start(sleeper)
	logs("started\nstopped\nstarted\nstarted\n")
	h.Signal(sleeper, unix.SIGTERM)
	logs("started\nstopped\nstarted\nstarted\nstopped\n")
}

func TestRsh(t *testing.T) {
	l := lab.New(t, lab.Options{})
	l.AddHost("a", "192.0.2.1/24")
	l.AddHost("b", "192.0.2.2/24")
	rsh := l.Rsh()
	for _, c := range []struct{ host, want string }{
		{"a", "a 1\n"},
		{"b", "b 1\n"},
		{"c", "rsh: no host c\n"},
	} {
		if got, _ := exec.Command(rsh, c.host, "echo $(hostname)", "$(ls -d /proc/1 | wc -l)").CombinedOutput(); string(got) != c.want {
			t.Errorf("%s: got %q, want %q", c.host, got, c.want)
		}
	}
}

func TestTwoLabsDoNotMeet(t *testing.T) {
	one, two := lab.New(t, lab.Options{}), lab.New(t, lab.Options{})
	one.AddHost("a", "192.0.2.1/24")
	two.AddHost("a", "192.0.2.1/24")
	b := two.AddHost("b", "192.0.2.2/24")
	lonely := one.AddHost("c", "192.0.2.3/24")
	if !answers(b, "192.0.2.1") {
		t.Error("b does not reach a of its own lab")
	}
	if answers(lonely, "192.0.2.2") {
		t.Error("c reaches b of the other lab")
	}
}

// TestCrash kills a process that has a lab and looks for what it leaves.
func TestCrash(t *testing.T) {
	const role = "LAB_TEST_CRASH"
	if os.Getenv(role) != "" {
		l := lab.New(t, lab.Options{})
		h := l.AddHost("a", "192.0.2.1/24")
		h.Start(sleeper)
		awaitLog(l, h, "started\n")
		h.Hang(sleeper)
		fmt.Print("\n", h.Run("readlink", "/proc/self/ns/pid").Stdout)
		select {}
	}
	lab.New(t, lab.Options{}) // skips where the other process would
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), role+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var namespace string
	for lines := bufio.NewScanner(stdout); !strings.HasPrefix(namespace, "pid:") && lines.Scan(); {
		namespace = lines.Text()
	}
	orphans := members(namespace)
	if len(orphans) < 3 {
		t.Errorf("before: processes %v in %q, want the init, the daemon and its child", orphans, namespace)
	}
	// The machine's init may be slow in reaping them, or not do it at all.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	deadline := time.Now().Add(time.Minute)
	for len(members(namespace)) > 0 && time.Now().Before(deadline) {
		for _, pid := range orphans {
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := members(namespace); len(got) > 0 {
		t.Errorf("left behind in %s: processes %v", namespace, got)
	}
}

// members returns the processes in a pid namespace.
func members(namespace string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, link := range links {
		if got, err := os.Readlink(link); err == nil && got == namespace {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// fakeTB records how a lab ended a test.
type fakeTB struct {
	testing.TB
	said string
}

func (f *fakeTB) Fatalf(format string, args ...any) { f.end("fail: ", format, args) }
func (f *fakeTB) Skipf(format string, args ...any)  { f.end("skip: ", format, args) }

func (f *fakeTB) end(verb, format string, args []any) {
	f.said = verb + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// verdict returns how f ended its test, "" when it did not.
func verdict(t *testing.T, f func(lab.TB)) string {
	fake := &fakeTB{TB: t}
	done := make(chan bool)
	go func() {
		defer close(done)
		f(fake)
	}()
	<-done
	return fake.said
}

func TestMissingProgram(t *testing.T) {
	lab.New(t, lab.Options{})
	needs := func(tb lab.TB) { lab.New(tb, lab.Options{}).Require("nonsense") }
	const why = "lab: not available: nonsense: not found in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for require, want := range map[string]string{"": "skip: " + why, "1": "fail: " + why} {
		t.Setenv("KAD_REQUIRE", require)
		if got := verdict(t, needs); got != want {
			t.Errorf("KAD_REQUIRE=%s: got %q, want %q", require, got, want)
		}
	}
}

func TestEventuallyShowsTheHosts(t *testing.T) {
	got := verdict(t, func(tb lab.TB) {
		l := lab.New(tb, lab.Options{})
		a := l.AddHost("a", "192.0.2.1/24")
		l.AddHost("b", "192.0.2.2/24")
		a.Start(sleeper)
		awaitLog(l, a, "started\n")
		l.Eventually(100*time.Millisecond, func() error { return fmt.Errorf("no luck") })
	})
	const want = "fail: lab: still wrong after 100ms: no luck\n" +
		"--- a: eth0 [192.0.2.1]\n  - sleeper: running\n    started\n--- b: eth0 [192.0.2.2]\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A host with an own copy of the machine's files changes it for itself alone.
func TestWritable(t *testing.T) {
	l := lab.New(t, lab.Options{Writable: true})
	a, b := l.AddHost("a", "192.0.2.1/24"), l.AddHost("b", "192.0.2.2/24")
	const change = "echo changed >/usr/kad-was-here && rm /etc/passwd"
	if r := a.Run("sh", "-c", change); r.Code != 0 {
		t.Fatalf("%s: %+v", change, r)
	}
	if r := b.Run("sh", "-c", "test ! -e /usr/kad-was-here && test -e /etc/passwd"); r.Code != 0 {
		t.Errorf("b sees what a has changed: %+v", r)
	}
	if _, err := os.Stat("/usr/kad-was-here"); err == nil {
		t.Error("the machine has what a host has written")
	}
}

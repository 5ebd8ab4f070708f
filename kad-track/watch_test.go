package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/atomicfile"
	"kad/pkg/dbustest"
	"kad/pkg/testneed"
)

func TestHysteresis(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		rounds     string // + passes, - fails, ! fails for certain
		want       string // 1 up, 0 down, after each
	}{
		{"first decides", 3, 3, "+", "1"},
		{"first decides against", 3, 3, "-", "0"},
		{"falls at once", 2, 1, "+-+-", "1000"},
		{"falls after three", 1, 3, "+--+---", "1111110"},
		{"rises after three", 3, 1, "-++-+++", "0000001"},
		{"certain", 2, 3, "+!++", "1001"},
		{"certain while down", 2, 3, "-!+!++", "000001"},
		{"the streak ends", 2, 2, "-+-+-++", "0000001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hysteresis{rise: tt.rise, fall: tt.fall}
			got, last := "", byte('?')
			for i, r := range tt.rounds {
				changed := h.observe(r == '+', r == '!')
				state := "01"[btoi(h.up)]
				if changed != (state != last) {
					t.Errorf("round %d: changed is %v", i, changed)
				}
				last = state
				got += string(state)
			}
			if got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.rounds, got, tt.want)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// The file over time, with checks that fail at times.
func TestWatchRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "track")
		var mu sync.Mutex // guards what the check does: it takes delay, then returns err
		var delay time.Duration
		var err error
		let := func(d time.Duration, e error) {
			mu.Lock()
			defer mu.Unlock()
			delay, err = d, e
		}
		w := &watcher{
			file: file, bad: "7\n", timeout: 900 * time.Millisecond, interval: time.Second,
			verdict: hysteresis{rise: 2, fall: 2}, talk: io.Discard,
			checks: []check{{"--check", func(ctx context.Context) (int, error) {
				mu.Lock()
				probe := pause(delay, err)
				mu.Unlock()
				return probe(ctx)
			}}},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.run(ctx) }()
		at := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := content(file); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		at(time.Millisecond, "0\n")
		let(0, errors.New("no"))
		at(time.Second, "0\n")
		at(time.Second, "7\n")
		let(0, nil)
		at(time.Second, "7\n")
		at(time.Second, "0\n")
		let(time.Hour, nil) // hangs: the round takes 855 ms
		at(time.Second, "0\n")
		at(1900*time.Millisecond, "7\n")
		let(0, nil)
		at(3*time.Second, "0\n")
		os.Remove(file)
		at(time.Second, "0\n")
		let(0, certain{errors.New("gone")})
		at(time.Second, "7\n")
		write(t, file, "0\n")
		at(time.Second, "7\n")
		let(0, nil)
		at(3*time.Second, "0\n")
		cancel()
		if err := <-done; err != nil || content(file) != "7\n" {
			t.Errorf("in the end: %v, %q", err, content(file))
		}
	})
}

func content(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// startWatch runs kad-track watch as a process of its own, and waits until it is ready. Of what
// it tells systemd, states returns what has come so far.
func startWatch(t testing.TB, args ...string) (cmd *exec.Cmd, file string, states func() []string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "track")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	var mu sync.Mutex // guards seen
	var seen []string
	go func() {
		message := make([]byte, 4096)
		for {
			n, err := socket.Read(message)
			if err != nil {
				return
			}
			mu.Lock()
			seen = append(seen, string(message[:n]))
			mu.Unlock()
		}
	}()
	states = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
	write(t, file, "0\n") // of an earlier run
	cmd = asTool(t, append([]string{"watch", "--track-file", file}, args...)...)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watcher is ready", func() bool { return len(states()) > 0 && strings.HasPrefix(states()[0], "READY=1\n") })
	return cmd, file, states
}

// says waits until the file says so.
func says(t testing.TB, file, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s says %q", file, want), func() bool { return content(file) == want })
}

func TestWatchSyslogNG(t *testing.T) {
	s := startSyslogNG(t)
	cmd, file, states := startWatch(t, "--syslog-ng="+s.control, "--interval", "100ms", "--timeout", soon)
	if got := content(file); got != "0\n" {
		t.Fatalf("ready, and the file says %q", got)
	}

	// Reloads are no failures, and no reason to look away: systemd is told of none in the end.
	for range 5 {
		s.Process.Signal(syscall.SIGHUP)
		time.Sleep(150 * time.Millisecond)
	}

	s.signal(t, syscall.SIGKILL)
	says(t, file, "1\n")
	s.run(t)
	says(t, file, "0\n")

	s.signal(t, syscall.SIGSTOP)
	says(t, file, "1\n")
	s.signal(t, syscall.SIGCONT)
	says(t, file, "0\n")

	// A restart is one failure and one recovery.
	s.Process.Signal(syscall.SIGTERM)
	s.Wait()
	says(t, file, "1\n")
	s.run(t)
	says(t, file, "0\n")
	time.Sleep(300 * time.Millisecond)

	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || content(file) != "1\n" {
		t.Errorf("ended with %v, the file says %q", err, content(file))
	}
	var told []string
	for _, state := range states() {
		word, _, _ := strings.Cut(state, ":")
		told = append(told, strings.TrimPrefix(word, "READY=1\nSTATUS="))
	}
	if !slices.Equal(told, strings.Fields("up down up down up down up STOPPING=1")) {
		t.Errorf("systemd was told %q", states())
	}
}

// A daemon that hangs from the start: ready, but failing.
func TestWatchHungFromTheStart(t *testing.T) {
	s := startSyslogNG(t)
	s.signal(t, syscall.SIGSTOP)
	_, file, _ := startWatch(t, "--syslog-ng="+s.control, "--timeout", "200ms", "--fail-weight", "-50")
	if got := content(file); got != "-50\n" {
		t.Errorf("the file says %q", got)
	}
}

func TestWatchUnit(t *testing.T) {
	s := dbustest.StartSystemd(t)
	sleep := start(t, testneed.Program(t, "sleep"), "60")
	set := func(state string) {
		s.SetUnit("syslog-ng.service", dbustest.Unit{State: state, MainPID: uint32(sleep.Process.Pid)})
	}
	set("active")
	// Within the hour nothing but signals and deaths has it look.
	_, file, _ := startWatch(t, "--unit", "syslog-ng", "--interval", "1h", "--timeout", "1m", "--rise", "1")
	says(t, file, "0\n")

	for _, state := range []string{"deactivating", "inactive", "activating", "active", "reloading", "active", "failed"} {
		set(state)
		want := "1\n"
		if state == "active" || state == "reloading" {
			want = "0\n"
		}
		says(t, file, want)
	}
	set("active")
	says(t, file, "0\n")
	sleep.Process.Kill()
	says(t, file, "1\n")
}

func TestWatchDrain(t *testing.T) {
	drain := filepath.Join(t.TempDir(), "drain")
	_, file, _ := startWatch(t, "--not-if-exists", drain, "--interval", "20ms", "--fall", "1000000")
	says(t, file, "0\n")
	write(t, drain, "")
	says(t, file, "1\n")
	os.Remove(drain)
	says(t, file, "0\n")
}

// systemd has stopped listening: that must not stop the watcher.
func TestWatchDeafSystemd(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	file, drain := filepath.Join(dir, "track"), filepath.Join(dir, "drain")
	cmd := asTool(t, "watch", "--track-file", file, "--not-if-exists", drain, "--interval", "1ms", "--rise", "1")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC=10000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		says(t, file, "0\n")
		write(t, drain, "")
		says(t, file, "1\n")
		os.Remove(drain)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || content(file) != "1\n" {
		t.Errorf("ended with %v, the file says %q", err, content(file))
	}
}

func TestWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "20000")
	_, _, states := startWatch(t, "--not-if-exists", filepath.Join(t.TempDir(), "drain"))
	eventually(t, "three signs of life", func() bool {
		n := 0
		for _, s := range states() {
			n += strings.Count(s, "WATCHDOG=1")
		}
		return n >= 3
	})
}

// Nothing is left open by hundreds of processes that come and go.
func TestWatchForgetsTheDead(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	write(t, pidFile, "none\n")
	cmd, file, _ := startWatch(t, "--pid-file", pidFile, "--interval", "1ms", "--rise", "1")
	sleep := testneed.Program(t, "sleep")
	before := 0
	for i := range 50 {
		daemon := exec.Command(sleep, "60")
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		atomicfile.Write(pidFile, fmt.Sprintln(daemon.Process.Pid))
		says(t, file, "0\n")
		daemon.Process.Kill()
		says(t, file, "1\n")
		daemon.Wait()
		if i == 5 {
			before = descriptors(t, cmd.Process.Pid)
		}
	}
	eventually(t, fmt.Sprintf("no more descriptors than the %d before and the two of a round", before), func() bool {
		return descriptors(t, cmd.Process.Pid) <= before+2
	})
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// The disk of the file is full: what fails must still be written, and the good news wait.
func TestWatchFullDisk(t *testing.T) {
	testneed.Root(t, "to mount a small file system")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		testneed.That(t, false, "a file system: "+err.Error())
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	file, filler := filepath.Join(dir, "track"), filepath.Join(dir, "filler")
	w := &watcher{file: file, bad: "1\n", talk: io.Discard, verdict: hysteresis{rise: 1, fall: 1}}
	step := func(pass bool, want string) {
		t.Helper()
		w.verdict.observe(pass, false)
		if err := w.write(); err != nil {
			t.Error(err)
		}
		if got := content(file); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	step(true, "0\n")
	os.WriteFile(filler, make([]byte, 1<<20), 0o600) // until the disk is full
	step(false, "1\n")
	step(true, "1\n")
	os.Remove(filler)
	step(true, "0\n")
}

func TestWatchUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "track")
	expect(t, "--track-file FILE is missing", "watch")
	expect(t, "--fail-weight 0: want another number, 0 is what a passing check writes", "watch", "--track-file", file, "--fail-weight", "0")
	expect(t, "--interval 0s: want more than 0", "watch", "--track-file", file, "--interval", "0s")
	expect(t, "--rise and --fall: want at least 1", "watch", "--track-file", file, "--rise", "0")
	expect(t, "--tcp x: want HOST:PORT, an IPv6 address in brackets", "watch", "--track-file", file, "--tcp", "x")
	expect(t, "no such file or directory", "watch", "--track-file", file+"/none/track")
}

func TestOnDeath(t *testing.T) {
	sleep := testneed.Program(t, "sleep")
	died := make(chan struct{})
	report := func() { close(died) }
	cmd := exec.Command(sleep, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	if err := onDeath(t.Context(), cmd.Process.Pid, report); err != nil {
		testneed.That(t, false, err.Error())
	}
	select {
	case <-died:
		t.Fatal("reported alive")
	case <-time.After(20 * time.Millisecond):
	}
	cmd.Process.Kill()
	<-died
	cmd.Wait()
	died = make(chan struct{})
	if err := onDeath(t.Context(), cmd.Process.Pid, report); err != nil {
		t.Fatal(err)
	}
	<-died

	ctx, cancel := context.WithCancel(t.Context())
	if err := onDeath(ctx, os.Getpid(), func() { t.Error("reported after the end") }); err != nil {
		t.Fatal(err)
	}
	cancel()
	time.Sleep(20 * time.Millisecond)
}

package lab

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Program is a daemon that stays in the foreground.
type Program struct {
	Name string
	Argv []string
}

// The daemons of a relay, as their systemd units start them, but logging to stderr.
var (
	Keepalived = Program{"keepalived", []string{"keepalived", "--dont-fork", "--log-console", "--no-syslog"}}
	SyslogNG   = Program{"syslog-ng", []string{"syslog-ng", "-F", "--stderr"}}
	Forwarder  = Program{"forwarder", []string{"env", "RUNTIME_DIRECTORY=/run/forwarder", "forwarder", "run"}}
	NotifyFIFO = Program{"kad-notify", []string{"kad-notify", "fifo", "/run/kad/notify.fifo"}}
	Track      = Program{"kad-track", []string{"kad-track", "watch", "--track-file", "/run/kad/relay.track", "--profile", "relay"}}
)

// stopTimeout is how long a daemon may take to end after SIGTERM.
const stopTimeout = 30 * time.Second

// daemon is a Program on a host, running or not.
type daemon struct {
	Program
	cmd  *exec.Cmd
	log  logBuffer
	done chan struct{} // closed at its end
	err  error         // how it ended; to be read after done
}

// Start starts a program in the host.
func (h *Host) Start(p Program) {
	h.lab.tb.Helper()
	d := h.find(p)
	if d == nil {
		d = &daemon{Program: p}
		h.daemons = append(h.daemons, d)
	} else if d.running() {
		h.lab.tb.Fatalf("lab: host %s: %s runs already", h.Name, p.Name)
	}
	cmd, err := h.start(context.Background(), &d.log, &d.log, p.Argv)
	if err != nil {
		h.lab.tb.Fatalf("lab: host %s: %s: %v", h.Name, p.Name, err)
	}
	d.cmd, d.done = cmd, make(chan struct{})
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
}

// Stop ends a program by SIGTERM and waits for its end.
func (h *Host) Stop(p Program) {
	h.lab.tb.Helper()
	d := h.runningDaemon(p)
	d.cmd.Process.Signal(unix.SIGTERM)
	h.awaitEnd(d)
}

// Kill ends a program and its children at once, by SIGKILL.
func (h *Host) Kill(p Program) {
	h.lab.tb.Helper()
	d := h.runningDaemon(p)
	d.signalAll(unix.SIGKILL)
	h.awaitEnd(d)
}

// Hang stops a program and its children by SIGSTOP: they exist, but do nothing.
func (h *Host) Hang(p Program) {
	h.lab.tb.Helper()
	h.runningDaemon(p).signalAll(unix.SIGSTOP)
}

// Continue lets a program go on after Hang.
func (h *Host) Continue(p Program) {
	h.lab.tb.Helper()
	h.runningDaemon(p).signalAll(unix.SIGCONT)
}

// Signal sends a signal to a program, not to its children.
func (h *Host) Signal(p Program, s os.Signal) {
	h.lab.tb.Helper()
	h.runningDaemon(p).cmd.Process.Signal(s)
}

// Restart is Stop and Start.
func (h *Host) Restart(p Program) {
	h.lab.tb.Helper()
	h.Stop(p)
	h.Start(p)
}

// Log returns all that a program has written to stdout and stderr, over all its starts.
func (h *Host) Log(p Program) string {
	if d := h.find(p); d != nil {
		return d.log.String()
	}
	return ""
}

// PID returns the process id of a running program, as the machine has it.
func (h *Host) PID(p Program) int {
	h.lab.tb.Helper()
	return h.runningDaemon(p).cmd.Process.Pid
}

// Running tells whether a program runs, and its PID.
func (h *Host) Running(p Program) (pid int, ok bool) {
	if d := h.find(p); d != nil && d.running() {
		return d.cmd.Process.Pid, true
	}
	return 0, false
}

func (h *Host) find(p Program) *daemon {
	i := slices.IndexFunc(h.daemons, func(d *daemon) bool { return d.Name == p.Name })
	if i < 0 {
		return nil
	}
	return h.daemons[i]
}

func (h *Host) runningDaemon(p Program) *daemon {
	h.lab.tb.Helper()
	d := h.find(p)
	if d == nil || !d.running() {
		h.lab.tb.Fatalf("lab: host %s: %s does not run\n%s", h.Name, p.Name, h.lab.State())
	}
	return d
}

func (h *Host) awaitEnd(d *daemon) {
	h.lab.tb.Helper()
	select {
	case <-d.done:
	case <-time.After(stopTimeout):
		d.cmd.Process.Signal(unix.SIGQUIT) // a Go program says where it is
		select {
		case <-d.done:
		case <-time.After(time.Second):
		}
		h.lab.tb.Fatalf("lab: host %s: %s did not end within %v\n%s", h.Name, d.Name, stopTimeout, h.lab.State())
	}
}

// signalAll signals the process group, in which keepalived's and syslog-ng's children stay.
func (d *daemon) signalAll(s unix.Signal) { unix.Kill(-d.cmd.Process.Pid, s) }

func (d *daemon) running() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

func (d *daemon) status() string {
	switch {
	case d.running():
		return "running"
	case d.err != nil:
		return d.err.Error()
	}
	return "exit status 0"
}

// logBuffer collects what a daemon writes while tests read it.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tail returns the last n lines.
func (b *logBuffer) tail(n int) string {
	lines := slices.Collect(strings.Lines(b.String()))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

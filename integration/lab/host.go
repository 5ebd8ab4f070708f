package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is one host of a lab.
type Host struct {
	Name string

	lab     *Lab
	addr    netip.Addr
	init    *exec.Cmd      // its pid 1
	life    io.WriteCloser // the pipe whose end ends init
	pidfd   int            // of init, for setns
	ns      int            // CLONE_NEW flags of the namespaces it has for itself
	daemons []*daemon      // all that were ever started, in that order
}

// environ is the environment of everything that runs in a host.
var environ = []string{"PATH=" + strings.Join(path, ":"), "HOME=/root", "USER=root", "LANG=C.UTF-8"}

var path = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// lookPath is exec.LookPath in the hosts' PATH.
func lookPath(program string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, dir := range path {
		file := filepath.Join(dir, program)
		if unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: not found in %s", program, strings.Join(path, ":"))
}

func (h *Host) pid() int { return h.init.Process.Pid }

// Do runs f in the host's namespaces: the files f opens, the sockets it makes and the processes it
// starts are the host's. f has to stay in its goroutine and may not end the test.
func (h *Host) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread cannot come back, so it ends with the goroutine.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS) // setns refuses a mount namespace while threads share the root
		if err == nil {
			err = unix.Setns(h.pidfd, h.ns)
		}
		if err != nil {
			done <- fmt.Errorf("enter %s: %w", h.Name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// start starts argv in the host, in a session of its own.
func (h *Host) start(ctx context.Context, stdout, stderr io.Writer, argv []string) (cmd *exec.Cmd, err error) {
	err = h.Do(func() error {
		file, err := lookPath(argv[0])
		if err != nil {
			return err
		}
		cmd = exec.CommandContext(ctx, file, argv[1:]...)
		cmd.Env, cmd.Dir = environ, "/"
		cmd.Stdout, cmd.Stderr = stdout, stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		cmd.WaitDelay = time.Second
		return cmd.Start()
	})
	return cmd, err
}

// Result is what a command that ran in a host left.
type Result struct {
	Stdout, Stderr string
	Code           int // exit code; -1 when a signal ended it or it could not be started (Stderr says why)
}

// Run runs argv in the host and waits for its end.
func (h *Host) Run(argv ...string) Result { return h.RunContext(context.Background(), argv...) }

// RunContext is Run with a context whose end kills the command and its children.
func (h *Host) RunContext(ctx context.Context, argv ...string) Result {
	var stdout, stderr bytes.Buffer
	cmd, err := h.start(ctx, &stdout, &stderr, argv)
	if err == nil {
		err = cmd.Wait()
	}
	return result(err, &stdout, &stderr)
}

// result makes a Result of what Wait or Start returned and the command has printed.
func result(err error, stdout, stderr *bytes.Buffer) Result {
	code := exitCode(err)
	if code < 0 {
		fmt.Fprintln(stderr, err)
	}
	return Result{stdout.String(), stderr.String(), code}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// WriteFile writes a file in a place that the host has for itself, and the directories above it.
func (h *Host) WriteFile(name string, data []byte, perm os.FileMode) {
	h.lab.tb.Helper()
	err := h.Do(func() error {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, data, perm)
	})
	if err != nil {
		h.lab.tb.Fatalf("lab: host %s: %v", h.Name, err)
	}
}

// ReadFile reads a file of the host.
func (h *Host) ReadFile(name string) (data []byte, err error) {
	err = h.Do(func() error {
		data, err = os.ReadFile(name)
		return err
	})
	return data, err
}

// AwaitListener waits until something in the host takes connections at an address.
func (h *Host) AwaitListener(network, addr string) {
	h.lab.tb.Helper()
	h.lab.Eventually(time.Minute, func() error {
		return h.Do(func() error {
			conn, err := net.Dial(network, addr)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	})
}

// install copies the programs of a directory to the host's /usr/local/bin. A bind mount would be
// cheaper, but would show their owner, whom keepalived's script security may refuse.
func (h *Host) install(dir string) error {
	if dir == "" {
		return nil
	}
	programs, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, p := range programs {
		if err := h.copyFile(filepath.Join(dir, p.Name()), filepath.Join("/usr/local/bin", p.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return h.Do(func() error {
		dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
		if err != nil {
			return err
		}
		if _, err := io.Copy(dst, src); err != nil {
			dst.Close()
			return err
		}
		return dst.Close()
	})
}

// Addrs returns the IPv4 addresses on the host's eth0, in the kernel's order.
func (h *Host) Addrs() (addrs []netip.Addr) {
	err := h.Do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		all, err := eth0.Addrs()
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				addrs = append(addrs, p.Addr())
			}
		}
		return err
	})
	if err != nil {
		h.lab.tb.Logf("lab: host %s: %v", h.Name, err)
	}
	return addrs
}

// Unplug takes the carrier from the host's eth0.
func (h *Host) Unplug() {
	h.lab.tb.Helper()
	h.lab.must(h.lab.bridge, "ip", "link", "set", "dev", h.Name, "down")
}

// Cut lets nothing pass between the host and the others; eth0 keeps its carrier.
func (h *Host) Cut() {
	h.lab.tb.Helper()
	h.lab.must(h.lab.bridge, "bridge", "link", "set", "dev", h.Name, "state", portDisabled)
}

// Isolate lets nothing pass between the host and other isolated ones; the rest still reach it.
func (h *Host) Isolate() {
	h.lab.tb.Helper()
	h.lab.must(h.lab.bridge, "bridge", "link", "set", "dev", h.Name, "isolated", "on")
}

// Heal undoes Unplug, Cut and Isolate.
func (h *Host) Heal() {
	h.lab.tb.Helper()
	h.lab.must(h.lab.bridge, "ip", "link", "set", "dev", h.Name, "up")
	h.awaitCarrier()
	h.lab.must(h.lab.bridge, "bridge", "link", "set", "dev", h.Name, "state", portForwarding, "isolated", "off")
}

// awaitCarrier waits until the host's port is up: the kernel drops frames until it has seen the carrier.
func (h *Host) awaitCarrier() {
	h.lab.tb.Helper()
	h.lab.Eventually(time.Minute, func() error {
		return h.lab.bridge.Do(func() error {
			port, err := net.InterfaceByName(h.Name)
			if err == nil && port.Flags&net.FlagRunning == 0 {
				err = fmt.Errorf("port of %s: no carrier", h.Name)
			}
			return err
		})
	})
}

// Bridge port states, BR_STATE_* of linux/if_bridge.h.
const (
	portDisabled   = "0"
	portForwarding = "3"
)

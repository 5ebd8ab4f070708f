package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"kad/pkg/testneed"

	"golang.org/x/sys/unix"
)

// A keeper is systemd with its file descriptor store.
type keeper struct {
	*net.UnixConn
	mu     sync.Mutex
	ready  bool
	stored map[string][]*os.File
}

func keep(t *testing.T) *keeper {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	k := &keeper{UnixConn: conn, stored: map[string][]*os.File{}}
	go func() {
		buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*64))
		for {
			n, oobn, _, _, err := k.ReadMsgUnix(buf, oob)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			k.take(string(buf[:n]), oob[:oobn])
		}
	}()
	return k
}

func (k *keeper) take(state string, oob []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, name, _ := strings.Cut(state, "FDNAME=")
	switch {
	case strings.Contains(state, "READY=1"):
		k.ready = true
	case strings.HasPrefix(state, "FDSTOREREMOVE=1"):
		for _, f := range k.stored[name] {
			f.Close()
		}
		delete(k.stored, name)
	case strings.HasPrefix(state, "FDSTORE=1"):
		messages, _ := unix.ParseSocketControlMessage(oob)
		for _, m := range messages {
			fds, _ := unix.ParseUnixRights(&m)
			for _, fd := range fds {
				k.stored[name] = append(k.stored[name], os.NewFile(uintptr(fd), name))
			}
		}
	}
}

// names are those of what is stored.
func (k *keeper) names() (list []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, files := range k.stored {
		for range files {
			list = append(list, name)
		}
	}
	return list
}

// start starts forwarder with what is stored.
func (k *keeper) start(t *testing.T, config string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, self, "run", "--config", config)
	k.ready = false
	var names []string
	for name, files := range k.stored {
		for _, f := range files {
			names = append(names, name)
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
	}
	cmd.Env = append(os.Environ(), "FORWARDER_IS_MAIN=1", "NOTIFY_SOCKET="+k.LocalAddr().String(),
		fmt.Sprint("LISTEN_FDS=", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if !happens(func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.ready }) {
		t.Fatal("forwarder does not get ready")
	}
	return cmd
}

// TestSocketsOutliveARestart: who connects while forwarder is dead waits for the next one, and is not kept waiting at an
// address that a reload has given up.
func TestSocketsOutliveARestart(t *testing.T) {
	k, dir := keep(t), t.TempDir()
	tcp, udp, other := testneed.Port(t), testneed.Port(t), testneed.Port(t)
	text := func(tcp, udp int) string {
		return fmt.Sprintf(`
[source.s]
drivers = [{ driver = "network", ip = "127.0.0.1", port = %d }, { driver = "network", ip = "127.0.0.1", transport = "udp", port = %d }]
[destination.d]
driver = "file"
path = "%s/log"
template = "$MSG\n"
[log.all]
source = ["s"]
destination = ["d"]
`, tcp, udp, dir)
	}
	config := write(t, "f.toml", text(tcp, udp))
	stores := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		if !happens(func() bool { return slices.Equal(slices.Sorted(slices.Values(k.names())), want) }) {
			t.Errorf("systemd stores %q, want %q", k.names(), want)
		}
	}
	send := func(network string, port int, text string) error {
		conn, err := net.Dial(network, fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = fmt.Fprintln(conn, "<13>Oct 11 22:14:15 h app: "+text)
		return err
	}

	first := k.start(t, config)
	stores(fmt.Sprint("tcp 127.0.0.1-", tcp), fmt.Sprint("udp 127.0.0.1-", udp))
	_, _ = first.Process.Kill(), first.Wait()
	if err := errors.Join(send("tcp", tcp, "by tcp"), send("udp", udp, "by udp")); err != nil {
		t.Error(err)
	}
	second := k.start(t, config)
	if !happens(func() bool {
		b, _ := os.ReadFile(dir + "/log")
		return strings.Contains(string(b), "by tcp\n") && strings.Contains(string(b), "by udp\n")
	}) {
		t.Error("what was sent while forwarder was dead does not arrive")
	}

	if err := os.WriteFile(config, []byte(text(other, udp)), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = second.Process.Signal(syscall.SIGHUP)
	stores(fmt.Sprint("tcp 127.0.0.1-", other), fmt.Sprint("udp 127.0.0.1-", udp))
	if !happens(func() bool { return send("tcp", tcp, "") != nil }) {
		t.Error("the old address still takes connections")
	}
	_, _ = second.Process.Kill(), second.Wait()

	// An address that the file has lost while forwarder was dead.
	if err := os.WriteFile(config, []byte(text(tcp, udp)), 0o600); err != nil {
		t.Fatal(err)
	}
	k.start(t, config)
	stores(fmt.Sprint("tcp 127.0.0.1-", tcp), fmt.Sprint("udp 127.0.0.1-", udp))
}

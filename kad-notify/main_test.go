package main

import (
	"flag"
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
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/cli/clitest"
)

var update = flag.Bool("update", false, "rewrite the options in README.md")

const (
	inJail = "KAD_NOTIFY_TEST_JAIL"
	asTool = "KAD_NOTIFY_TEST_AS_TOOL"
)

// TestMain runs the tests in a mount and a network namespace of their own, so that a journal, a
// bus and addresses can be made there; and is kad-notify itself when a test runs it as that.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asTool) != "":
		main()
	case os.Getenv(inJail) != "":
		if err := enterJail(); err != nil {
			fmt.Fprintln(os.Stderr, "jail:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	case slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") && !strings.HasSuffix(a, "=") }):
		os.Exit(m.Run()) // the fuzz engine's own processes could not be followed
	}
	os.Exit(rerun(m))
}

func rerun(m *testing.M) int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inJail+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		if os.Getenv("KAD_REQUIRE") != "" {
			fmt.Fprintln(os.Stderr, "no namespaces for the tests:", err)
			return 1
		}
		fmt.Println("SKIP: no namespaces for the tests:", err)
		return 0
	}
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// enterJail leaves the process with an empty /run and /var/lib and one interface that is up.
func enterJail() error {
	for _, step := range [][]string{
		{"mount", "--make-rprivate", "/"},
		{"mount", "-t", "tmpfs", "tmpfs", "/run"},
		{"mount", "-t", "tmpfs", "tmpfs", "/var/lib"},
		{"mkdir", "-p", "/run/systemd/journal", "/run/test"},
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"},
		{"ip", "link", "set", "peer0", "up"},
		{"ip", "address", "add", "192.168.245.52/24", "dev", "eth0"},
		{"ip", "address", "add", "2001:db8::52/64", "dev", "eth0", "nodad"},
		{"ip", "link", "set", "eth0", "up"},
	} {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", step, err, out)
		}
	}
	return nil
}

func TestFace(t *testing.T) { clitest.Face(t, newApp, *update) }

// room is a directory with a configuration, in which kad-notify runs.
type room struct {
	t       testing.TB
	dir     string
	journal *journald
}

// vipConf has one instance with one VIP of each family.
const vipConf = `
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 240
    advert_int 0.1
    version 3
    virtual_ipaddress {
        192.168.245.100
        192.168.245.101/24
    }
    virtual_ipaddress_excluded {
        2001:db8::100/128
    }
}
vrrp_instance "VI 2" {
    state BACKUP
    interface eth0
    virtual_router_id 52
    priority 100
    virtual_ipaddress {
        192.168.245.102
    }
}
vrrp_sync_group G1 {
    group {
        VI_1
    }
}
`

// newRoom makes a room whose notify.toml is text; @/ in it is the room's directory.
func newRoom(t testing.TB, text string) *room {
	t.Helper()
	r := &room{t: t, dir: t.TempDir(), journal: newJournald(t)}
	if err := os.Chmod(filepath.Dir(r.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("keepalived.conf", vipConf, 0o644)
	r.write("notify.toml", "state_dir = \"@/state\"\n"+text, 0o644)
	return r
}

func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

func (r *room) write(name, text string, perm os.FileMode) {
	r.t.Helper()
	text = strings.ReplaceAll(text, "@/", r.dir+"/")
	if err := os.WriteFile(r.path(name), []byte(text), perm); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chmod(r.path(name), perm); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// args are those of kad-notify in the room.
func (r *room) args(args ...string) []string {
	return append([]string{"--config", r.path("notify.toml"), "--keepalived-config", r.path("keepalived.conf")}, args...)
}

// run runs kad-notify in this process.
func (r *room) run(args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	return clitest.Run(r.t, newApp, separate(append([]string{"kad-notify"}, r.args(args...)...))[1:]...)
}

// command returns kad-notify as a process.
func (r *room) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.t.Context(), "/proc/self/exe", r.args(args...)...)
	cmd.Env = append(os.Environ(), asTool+"=1")
	return cmd
}

// journald listens where journald does and keeps what it is sent.
type journald struct {
	mu      sync.Mutex
	entries []map[string]string
}

const journalSocket = "/run/systemd/journal/socket"

func newJournald(t testing.TB) *journald {
	t.Helper()
	os.Remove(journalSocket)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: journalSocket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	j := &journald{}
	go func() {
		buf := make([]byte, 1<<20)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			j.mu.Lock()
			j.entries = append(j.entries, fields(string(buf[:n])))
			j.mu.Unlock()
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return j
}

// fields reads an entry of the native protocol, without values of several lines.
func fields(entry string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(entry) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			all[k] = v
		}
	}
	return all
}

// with returns the entries that have a field of that value.
func (j *journald) with(field, value string) (found []map[string]string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		if e[field] == value {
			found = append(found, e)
		}
	}
	return found
}

// events returns the messages of events, in their order.
func (j *journald) events() (messages []string) {
	for _, e := range j.with("MESSAGE_ID", transitionMessage) {
		messages = append(messages, e["MESSAGE"])
	}
	return messages
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

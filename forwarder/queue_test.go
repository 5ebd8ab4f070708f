package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// A forwarder with a reliable disk buffer and a dead destination is killed while it receives, again and again. What it had
// taken arrives when the destination lives, in order, and the queue verbs tell of it.
func TestKillWithDiskBuffer(t *testing.T) {
	dir := t.TempDir()
	port := testneed.Port(t) // dead: connections are refused
	config := write(t, "forwarder.toml", fmt.Sprintf(`
[options]
keep_hostname = true
time_reopen = "50ms"
[source.s]
driver = "unix_stream"
path = "%s/in"
[destination.d]
driver = "network"
address = "127.0.0.1"
port = %d
template = "$MSG\n"
[destination.d.disk_buffer]
dir = "%s/queue"
reliable = true
[log.l]
source = ["s"]
destination = ["d"]
flags = ["flow_control"]
`, dir, port, dir))
	queues := func(verb string, args ...string) string {
		code, out, talk := forwarder(t, "", append([]string{"queue", verb, "--dir", filepath.Join(dir, "queue")}, args...)...)
		if code != 0 {
			t.Fatalf("queue %s: exit code %d, %s", verb, code, talk)
		}
		return out
	}
	const rounds, each = 3, 2000
	taken := func() []string { return strings.Split(strings.TrimSuffix(queues("dump", "d"), "\n"), "\n") }
	total := 0
	for round := range rounds {
		kill := startForwarder(t, config)
		conn := dialUnix(t, filepath.Join(dir, "in"))
		go func() {
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(conn, "<13>Nov 21 10:00:00 p: %d %d.\n", round, i); err != nil {
					return // killed
				}
			}
		}()
		before := 0
		waitFor(t, func() bool { before = len(taken()); return before > total+each })
		kill()
		_ = conn.Close()
		if total = len(taken()); total < before {
			t.Errorf("%d messages after the kill, %d before", total, before)
		}
		if err := os.Remove(filepath.Join(dir, "in")); err != nil {
			t.Fatal(err)
		}
	}
	want := taken()
	if out := queues("ls"); !strings.Contains(out, fmt.Sprintf("\nd      %d ", len(want))) {
		t.Errorf("%d messages were taken, queue ls tells\n%s", len(want), out)
	}
	if out := queues("verify"); out != "" {
		t.Errorf("queue verify tells %s", out)
	}
	sink, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	kill := startForwarder(t, config)
	defer kill()
	conn, err := sink.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	round, number := 0, 0
	for i, want := range want {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("message %d: got %q, %v, want %s", i, lines.Text(), lines.Err(), want)
		}
		if want != fmt.Sprintf("%d %d.", round, number) {
			round, number = round+1, 0
		}
		if want != fmt.Sprintf("%d %d.", round, number) {
			t.Fatalf("message %d is %q, want %d %d.", i, want, round, number)
		}
		number++
	}
	if out := queues("dump", "d"); out == "" {
		t.Error("nothing is kept of what the server may not have read")
	}
	_ = conn.Close() // with all read
	waitFor(t, func() bool { return queues("dump", "d") == "" })
}

func TestQueueVerbs(t *testing.T) {
	for _, test := range []struct {
		args       []string
		code       int
		out, error string
	}{
		{[]string{"ls"}, 0, "QUEUE  MESSAGES  BYTES  SEGMENTS  OLDEST  QUARANTINE  DIRECTORY\n", ""},
		{[]string{"ls", "-o", "json"}, 0, "[]\n", ""},
		{[]string{"verify", "none"}, 1, "", "no such file or directory"},
		{[]string{"dump"}, 2, "", "dump takes the name of one disk buffer, found 0"},
		{[]string{"dump", "none"}, 1, "", `no disk buffer "none" in `},
		{[]string{"requeue", "none"}, 1, "0 messages appended, 0 files stay in quarantine\n", "no such file or directory"},
		{[]string{"adopt", "a", "a"}, 2, "", `adopt takes the names of two disk buffers, found ["a" "a"]`},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			args := append([]string{"queue", test.args[0], "--dir", t.TempDir()}, test.args[1:]...)
			code, out, talk := forwarder(t, "", args...)
			if code != test.code || out != test.out || !strings.Contains(talk, test.error) {
				t.Errorf("exit code %d, %q, %q\nwant %d, %q, %q", code, out, talk, test.code, test.out, test.error)
			}
		})
	}
}

// startForwarder starts a process of its own, which kill ends as kill -9 does.
func startForwarder(t *testing.T, config string) (kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "run", "--config", config)
	cmd.Env = append(os.Environ(), "FORWARDER_IS_MAIN=1")
	var talk strings.Builder
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Log(talk.String())
		}
	}
}

func dialUnix(t *testing.T, path string) (conn net.Conn) {
	t.Helper()
	waitFor(t, func() (ok bool) {
		var err error
		conn, err = net.Dial("unix", path)
		return err == nil
	})
	return conn
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come in a minute")
		}
	}
}

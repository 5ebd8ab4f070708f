package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kad/pkg/testneed"
)

// TestControl asks a forwarder that runs, over its control socket and as Prometheus does.
func TestControl(t *testing.T) {
	dir, port := t.TempDir(), testneed.Port(t)
	config := fmt.Sprintf(`
[options]
control_socket = "%s/control.sock"
metrics_listen = "127.0.0.1:%d"
drain_timeout = "200ms"
[source.unix]
driver = "unix_dgram"
path = "%s/socket"
[destination.file]
driver = "file"
path = "%s/log"
[destination.full]
driver = "unix_dgram"
path = "%s/nobody"
log_fifo_size = 1
[log.all]
source = ["unix"]
destination = ["file", "full"]
`, dir, port, dir, dir, dir)
	s, socket := serve(t, config), dir+"/control.sock"
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, got mode %v of the socket, want 0660", err, info.Mode().Perm())
	}
	conn, err := net.Dial("unixgram", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		fmt.Fprintln(conn, "<13>Oct 11 22:14:15 app: hello")
	}
	var stdout string
	lines := []string{
		"unix    unix_dgram         3            0",
		"all             3",
		"file         working     3       0      0       -        0",
		"  dropped: 2 queue_full",
	}
	if !happens(func() bool {
		_, stdout, _ = forwarder(t, "", "status", "--socket", socket)
		return !slices.ContainsFunc(lines, func(line string) bool { return !strings.Contains(stdout, "\n"+line+"\n") })
	}) {
		t.Errorf("got\n%s\nwant %q", stdout, lines)
	}
	if code, stdout, _ := forwarder(t, "", "status", "--socket", socket, "-o", "json"); code != 0 || !strings.Contains(stdout, `{"schema":1,`) {
		t.Errorf("code %d, %s", code, stdout)
	}
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	for _, want := range []string{
		`forwarder_received_messages_total{driver="0",source="unix"} 3`,
		`forwarder_sent_messages_total{destination="file"} 3`,
		`forwarder_dropped_messages_total{destination="full",reason="queue_full"} 2`,
		`forwarder_queue_messages{destination="full"} 1`,
	} {
		if err != nil || !strings.Contains(string(metrics), "\n"+want+"\n") {
			t.Errorf("%v, no %s in\n%s", err, want, metrics)
		}
	}
	for _, verb := range []string{"health", "reopen", "reload"} {
		if code, stdout, stderr := forwarder(t, "", verb, "--socket", socket); code != 0 || stdout+stderr != "" {
			t.Errorf("%s: code %d, %s%s", verb, code, stdout, stderr)
		}
	}
	s.write("[source.unix]\n")
	if code, _, stderr := forwarder(t, "", "reload", "--socket", socket); code != 1 || !strings.Contains(stderr, ":1:9: source.unix: driver is required") {
		t.Errorf("reload: code %d, %s", code, stderr)
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || !strings.Contains(s.said(), "1 messages are lost") {
		t.Errorf("%v, want the message for full to be told as lost\n%s", err, s.said())
	}
	if code, _, stderr := forwarder(t, "", "health", "--socket", socket); code != 69 || !strings.HasSuffix(stderr, socket+": no such file or directory\n") {
		t.Errorf("health: code %d, %s", code, stderr)
	}
}

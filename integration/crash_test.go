package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A relay has a reliable disk buffer, and its server does not read: what the server's kernel has acknowledged is lost with that. Both
// die. The relay that starts then sends all to the server that starts then.
func TestRelayAndServerDie(t *testing.T) {
	const messages = 500
	c := newRELPCase(t)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	socket := filepath.Join(c.dir, "control.sock")
	relay := c.forwarder("relay", c.mid, c.fromRELP(""), fmt.Sprintf(
		"driver = \"network\"\naddress = \"127.0.0.1\"\nport = %d\ntime_reopen = \"50ms\"\ndisk_buffer = { reliable = true, dir = %q, capacity_bytes = \"1MiB\" }\n[options]\ncontrol_socket = %q",
		server.Addr().(*net.TCPAddr).Port, c.dir, socket))
	unread, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	forwarder := filepath.Join(bin, "forwarder")
	send := exec.Command(forwarder, "send", "--count", fmt.Sprint(messages), "--size", "200", fmt.Sprintf("relp://127.0.0.1:%d", c.mid))
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	awaitTrue(t, "the server's kernel has all", func() bool {
		var status struct {
			Destinations []struct {
				Sent int `json:"sent_messages"`
			}
		}
		out, err := exec.Command(forwarder, "status", "-o", "json", "--socket", socket).Output()
		if err == nil {
			err = json.Unmarshal(out, &status)
		}
		return err == nil && status.Destinations[0].Sent == messages
	})
	relay.kill()
	_ = unread.(*net.TCPConn).SetLinger(0)
	_ = unread.Close()
	relay.start()
	again, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(again)
	for i := range messages {
		if want := fmt.Sprintf("number=%012d/", i); !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("got %q, %v, want %s", lines.Text(), lines.Err(), want)
		}
	}
}

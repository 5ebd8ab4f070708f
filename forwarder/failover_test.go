package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kad/forwarder/internal/control"
	"kad/pkg/testneed"
)

// steered is a forwarder with two servers that are there and a third that is not.
func steered(t *testing.T) (socket string) {
	t.Helper()
	dir, first := t.TempDir(), collect(t)
	second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", first.port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close() })
	go func() { // a server that is left reads all, and closes
		for {
			conn, err := second.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	s := serve(t, fmt.Sprintf(`
[options]
control_socket = "%s/control.sock"
metrics_listen = "127.0.0.1:0"
time_reopen = "100ms"
[source.unix]
driver = "unix_dgram"
path = "%s/socket"
[destination.d_central]
driver = "network"
address = "127.0.0.1"
port = %d
[destination.d_central.failover]
servers = ["127.0.0.2", "127.0.0.3"]
[destination.d_file]
driver = "file"
path = "%s/log"
[log.all]
source = ["unix"]
destination = ["d_central", "d_file"]
`, dir, dir, first.port(), dir))
	t.Cleanup(s.end)
	return dir + "/control.sock"
}

func TestFailoverVerbs(t *testing.T) {
	socket := steered(t)
	// states are those that the table has for the servers
	states := func() (list []string) {
		_, stdout, _ := forwarder(t, "", "failover", "status", "--socket", socket)
		from, to := strings.Index(stdout, "STATE"), strings.Index(stdout, "SINCE")
		if from < 0 {
			return nil // it has not answered in time
		}
		for _, row := range strings.Split(strings.TrimSpace(stdout), "\n")[1:] {
			if strings.HasPrefix(row, "  error: dial tcp 127.0.0.3:") {
				continue
			}
			row = fmt.Sprintf("%-*s", to, row)
			list = append(list, strings.TrimSpace(strings.TrimRight(row[from:to], "0123456789s ")))
		}
		return list
	}
	expect := func(want ...string) {
		t.Helper()
		if !happens(func() bool { return slices.Equal(states(), want) }) {
			t.Errorf("got %q, want %q", states(), want)
		}
	}
	verb := func(want string, args ...string) {
		t.Helper()
		code, stdout, stderr := forwarder(t, "", append(append([]string{"failover"}, args...), "--socket", socket)...)
		if got := fmt.Sprint(code, " ", stdout, stderr); !strings.Contains(got, want) {
			t.Errorf("failover %q: got %s, want %s", args, got, want)
		}
	}
	expect("in use", "", "")
	verb("0 d_central: connected to 127.0.0.2\n", "switch", "d_central")
	expect("", "in use", "")
	verb("0 d_central: connected to 127.0.0.1, pinned\n", "pin", "d_central", "127.0.0.1")
	expect("in use, pinned", "", "")
	verb("0 d_central: connected to 127.0.0.1\n", "unpin", "d_central")
	expect("in use", "", "")
	verb("0 d_central: connected to 127.0.0.1, pinned\n", "pin", "d_central")
	verb("1 forwarder: destination d_central does not use server 127.0.0.3: dial tcp 127.0.0.3:", "switch", "d_central", "127.0.0.3")
	expect("in use", "", "failed")

	verb(`2 forwarder: no destination "d_centrall", did you mean d_central?`, "switch", "d_centrall")
	verb(`2 forwarder: destination d_central has no server "x", only 127.0.0.1, 127.0.0.2, 127.0.0.3`, "pin", "d_central", "x")
	verb(`1 forwarder: destination d_file has no servers to fail over to`, "switch", "d_file")
	verb(`2 forwarder: no destination "d_file" with servers: it is not among d_central`, "status", "d_file")
	verb(`2 forwarder: failover switch takes destination [server], found 0 arguments`, "switch")
	verb(`0 {"destinations":[{"name":"d_central","driver":"network"`, "status", "-o", "json")
}

// Each request that the page names is answered.
func TestControlPage(t *testing.T) {
	socket := steered(t)
	page, err := os.ReadFile("../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	requests := regexp.MustCompile("(?m)^\\| `([A-Z]+) (/v1/[^`]*)`").FindAllStringSubmatch(string(page), -1)
	if len(requests) < 10 {
		t.Errorf("found only %q", requests)
	}
	values := strings.NewReplacer("{destination}", "d_central", "{server}", "127.0.0.2", "{level}", "debug",
		"{point}", "source.unix")
	for _, r := range requests {
		body, err := control.Open(t.Context(), socket, r[1], values.Replace(r[2]))
		if err != nil {
			t.Errorf("%s %s: %v", r[1], r[2], err)
			continue
		}
		body.Close()
	}
	if _, err := control.Ask(t.Context(), socket, "GET", "/v1/nothing"); err == nil {
		t.Error("what the page does not name is answered")
	}
}

func TestLogLevel(t *testing.T) {
	socket := steered(t)
	for _, test := range []struct{ args, want string }{
		{"log-level", "0 info\n"},
		{"log-level warning", "0 "},
		{"log-level", "0 warning\n"},
		{"log-level wraning", `2 forwarder: no level "wraning", did you mean warning?` + "\n"},
		{"log-level a b", "2 forwarder: log-level takes one level, found 2\nTry 'forwarder --help'.\n"},
	} {
		code, stdout, stderr := forwarder(t, "", append(strings.Fields(test.args), "--socket", socket)...)
		if got := fmt.Sprint(code, " ", stdout, stderr); got != test.want {
			t.Errorf("%s: got %q, want %q", test.args, got, test.want)
		}
	}
}

// The socket is for a group that is named, and systemd and Prometheus are told how it is.
func TestHealth(t *testing.T) {
	testneed.Root(t, "to give a socket to any group")
	dir, port := t.TempDir(), testneed.Port(t)
	group, err := user.LookupGroup("adm")
	testneed.That(t, err == nil, "a group adm")
	s := serve(t, fmt.Sprintf(`
[options]
control_socket = "%s/control.sock"
control_group = "adm"
metrics_listen = "127.0.0.1:%d"
[source.unix]
driver = "unix_dgram"
path = "%s/socket"
`, dir, port, dir))
	info, err := os.Stat(dir + "/control.sock")
	if err != nil {
		t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; fmt.Sprint(gid) != group.Gid || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is of group %d, mode %v, want %s, 0660", gid, info.Mode().Perm(), group.Gid)
	}
	for _, path := range []string{"healthz", "readyz"} {
		answer, err := http.Get("http://" + net.JoinHostPort("127.0.0.1", fmt.Sprint(port)) + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	s.end()
}

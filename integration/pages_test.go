package integration

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

// A block is commands of a page for a host, or for both relays, and what the last of them prints, where the page shows it.
type block struct {
	where    string // file and line
	place    string // "relays", "loghost01", "client", "build", "relay"
	commands []string
	output   string
}

var fence = regexp.MustCompile("(?ms)^```(sh (\\w+)|text)\n(.*?)^```$")

// blocks returns those of a page.
func blocks(t *testing.T, page string) (blocks []block) {
	text, err := os.ReadFile("../" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatchIndex(string(text), -1) {
		body := string(text[m[6]:m[7]])
		if m[4] < 0 {
			blocks[len(blocks)-1].output = body
			continue
		}
		blocks = append(blocks, block{
			where:    fmt.Sprintf("%s:%d", page, 1+strings.Count(string(text[:m[0]]), "\n")),
			place:    string(text[m[4]:m[5]]),
			commands: strings.Split(strings.TrimSuffix(body, "\n"), "\n"),
		})
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return blocks
}

// TestPages follows the pages of docs/ that have commands to the letter, on hosts that have what this machine has installed, and
// no systemd: a script stands in for systemctl.
func TestPages(t *testing.T) {
	t.Parallel()
	l := lab.New(t, lab.Options{Writable: true})
	l.Require("keepalived", "apt-get", "dpkg", "setpriv", "logger")
	hosts := map[string]*lab.Host{
		"loghost01": l.AddHost("loghost01", "192.168.245.52/24"),
		"loghost02": l.AddHost("loghost02", "192.168.245.53/24"),
		"client":    l.AddHost("client", "192.168.245.10/24"),
		"relay":     l.AddHost("relay", "192.168.245.54/24"), // with syslog-ng
	}
	l.EnableSSH()
	systemctl, err := os.ReadFile("testdata/systemctl")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		h.WriteFile("/usr/local/bin/systemctl", systemctl, 0o755)
	}
	for _, b := range blocks(t, "docs/tutorial.md") {
		switch b.place {
		case "build":
			if want := []string{"make packages"}; !slices.Equal(b.commands, want) {
				t.Fatalf("%s: %q, the test runs %q", b.where, b.commands, want)
			}
			for _, h := range hosts {
				bringPackages(t, h)
			}
		case "relays":
			follow(t, l, b, hosts["loghost01"])
			follow(t, l, b, hosts["loghost02"])
		default:
			follow(t, l, b, hosts[b.place])
		}
	}
	for _, b := range blocks(t, "docs/failures.md") { // all may be done again, as one does when a host was too slow to answer
		l.Eventually(time.Minute, func() error { return run(b, hosts[b.place], b.commands) })
	}

	hosts["relay"].WriteFile("/etc/syslog-ng/syslog-ng.conf", []byte(readExample(t, "syslog-ng/syslog-ng.conf")), 0o644)
	follow(t, l, block{where: "before", commands: []string{"systemctl start syslog-ng", "apt-get install --yes /tmp/kad-forwarder_*.deb"}}, hosts["relay"])
	for _, b := range blocks(t, "docs/migration.md") {
		follow(t, l, b, hosts[b.place])
	}
}

// run runs commands of a block as one shell would, up to the first that fails.
func run(b block, h *lab.Host, commands []string) error {
	if r := h.Run("bash", "-ec", strings.Join(commands, "\n")); r.Code != 0 {
		return fmt.Errorf("%s: %s: %+v", b.where, h.Name, r)
	}
	return nil
}

// follow runs the commands of a block as one shell would. Where the page shows what the last one prints, a reader would wait for
// that.
func follow(t *testing.T, l *lab.Lab, b block, h *lab.Host) {
	t.Helper()
	last := len(b.commands) - 1
	if b.output == "" {
		last++
	}
	if err := run(b, h, b.commands[:last]); err != nil {
		t.Fatalf("%v\n%s", err, l.State())
	}
	if b.output == "" {
		return
	}
	l.Eventually(time.Minute, func() error {
		if r := h.Run("bash", "-ec", b.commands[last]); !lab.SameTable(r.Stdout, b.output) {
			return fmt.Errorf("%s: %s: %s\ngot\n%s%s\nwant\n%s", b.where, h.Name, b.commands[last], r.Stdout, r.Stderr, b.output)
		}
		return nil
	})
}

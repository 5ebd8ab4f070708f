package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

// A block is commands of the tutorial for a host, or for both relays, and what the last of them prints, where the page shows it.
type block struct {
	line     int
	place    string // "relays", "loghost01", "client", "build"
	commands []string
	output   string
}

var fence = regexp.MustCompile("(?ms)^```(sh (\\w+)|text)\n(.*?)^```$")

// tutorial returns the blocks of docs/tutorial.md.
func tutorial(t *testing.T) (blocks []block) {
	text, err := os.ReadFile("../docs/tutorial.md")
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
			line:     1 + strings.Count(string(text[:m[0]]), "\n"),
			place:    string(text[m[4]:m[5]]),
			commands: strings.Split(strings.TrimSuffix(body, "\n"), "\n"),
		})
	}
	return blocks
}

// TestTutorial follows docs/tutorial.md to the letter, on hosts that have what this machine has installed, and no systemd: a
// script stands in for systemctl.
func TestTutorial(t *testing.T) {
	t.Parallel()
	l := lab.New(t, lab.Options{Writable: true})
	l.Require("keepalived", "apt-get", "dpkg", "setpriv", "logger")
	hosts := map[string]*lab.Host{
		"loghost01": l.AddHost("loghost01", "192.168.245.52/24"),
		"loghost02": l.AddHost("loghost02", "192.168.245.53/24"),
		"client":    l.AddHost("client", "192.168.245.10/24"),
	}
	l.EnableSSH()
	systemctl, err := os.ReadFile("testdata/systemctl")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		h.WriteFile("/usr/local/bin/systemctl", systemctl, 0o755)
	}
	blocks := tutorial(t)
	if len(blocks) < 10 {
		t.Fatalf("%d blocks of commands in the tutorial", len(blocks))
	}
	for _, b := range blocks {
		switch b.place {
		case "build":
			buildPackages(t, b, hosts)
		case "relays":
			follow(t, l, b, hosts["loghost01"])
			follow(t, l, b, hosts["loghost02"])
		default:
			follow(t, l, b, hosts[b.place])
		}
	}
}

// buildPackages runs commands at the top of the project, and brings the packages to the hosts.
func buildPackages(t *testing.T, b block, hosts map[string]*lab.Host) {
	for _, command := range b.commands {
		cmd := exec.Command("sh", "-ec", command)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docs/tutorial.md:%d: %v\n%s", b.line, err, out)
		}
	}
	packages, err := filepath.Glob("../dist/*.deb")
	if err != nil || len(packages) == 0 {
		t.Fatalf("no packages: %v", err)
	}
	for _, file := range packages {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hosts {
			h.WriteFile("/tmp/"+filepath.Base(file), data, 0o644)
		}
	}
}

// follow runs the commands of a block as one shell would. Where the page shows what the last one prints, a reader would wait for
// that.
func follow(t *testing.T, l *lab.Lab, b block, h *lab.Host) {
	t.Helper()
	last := len(b.commands) - 1
	if b.output == "" {
		last++
	}
	if r := h.Run("bash", "-ec", strings.Join(b.commands[:last], "\n")); r.Code != 0 {
		t.Fatalf("docs/tutorial.md:%d: %s: %+v\n%s", b.line, h.Name, r, l.State())
	}
	if b.output == "" {
		return
	}
	l.Eventually(30*time.Second, func() error {
		if r := h.Run("bash", "-ec", b.commands[last]); !lab.SameTable(r.Stdout, b.output) {
			return fmt.Errorf("docs/tutorial.md:%d: %s: %s\ngot\n%s%s\nwant\n%s", b.line, h.Name, b.commands[last], r.Stdout, r.Stderr, b.output)
		}
		return nil
	})
}

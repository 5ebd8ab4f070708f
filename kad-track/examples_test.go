package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kad/pkg/keepalived"
	"kad/pkg/testneed"
)

const examples = "../examples/kad-track/"

func TestExampleProfiles(t *testing.T) {
	p, err := loadProfiles(examples + "track.toml")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]int{"relay": 8, "relay-end-to-end": 1, "forwarder": 3}
	if len(p.Profile) != len(checks) {
		t.Errorf("got %d profiles, want %d", len(p.Profile), len(checks))
	}
	for name, want := range checks {
		if got := len(p.read(name).checks); got != want {
			t.Errorf("%s: got %d checks, want %d", name, got, want)
		}
	}
	if err := p.file.Err(); err != nil {
		t.Error(err)
	}
}

// The examples in keepalived.conf have nothing that check complains of, but that the programs
// and files they name are not installed here.
func TestExampleKeepalived(t *testing.T) {
	testneed.Root(t, "who owns a script that keepalived trusts")
	for _, name := range []string{"keepalived-track-script.conf", "keepalived-track-file.conf"} {
		dir := checkFixture(t)
		text, err := os.ReadFile(examples + name)
		if err != nil {
			t.Fatal(err)
		}
		here := strings.NewReplacer("/usr/local/bin/kad-track", dir+"/kad-track", "/run/kad/relay.track", dir+"/zero", "eth0", "lo").Replace(string(text))
		file := write(t, filepath.Join(dir, name), here)
		profiles, err := filepath.Abs(examples + "track.toml")
		if err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := kadTrack(t, "check", "--config", copyTo(t, dir, profiles), file); code != 0 || stderr != "" {
			t.Errorf("%s: %d\n%s", name, code, stderr)
		}
		config, err := keepalived.LoadConfig(file, keepalived.ConfigOptions{})
		if err != nil || len(config.Instances) != 1 || len(config.Scripts)+len(config.Files) != 1 {
			t.Errorf("%s: %+v, %v", name, config, err)
		}
		out, err := exec.Command(testneed.Program(t, "keepalived"), "--config-test", "--use-file", file).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "loopback interface") && !strings.Contains(line, "Unknown interface") {
				t.Errorf("%s: %v: %s", name, err, line)
			}
		}
	}
}

// copyTo copies a file into dir, where it belongs to us alone.
func copyTo(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, filepath.Base(file)), string(text))
}

func TestExampleUnit(t *testing.T) {
	analyze := testneed.Program(t, "systemd-analyze")
	text, err := os.ReadFile(examples + "kad-track.service")
	if err != nil {
		t.Fatal(err)
	}
	// Present where the test runs.
	unit := write(t, filepath.Join(t.TempDir(), "kad-track.service"), strings.ReplaceAll(string(text), "/usr/local/bin/kad-track", "/bin/true"))
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "kad-track.service:") {
		t.Errorf("%v\n%s", err, out)
	}
	// What it runs is a command line that kad-track takes.
	_, line, _ := strings.Cut(string(text), "ExecStart=/usr/local/bin/kad-track watch --track-file /run/kad/relay.track ")
	line, _, _ = strings.Cut(line, "\n")
	dir := t.TempDir()
	args := append([]string{"watch", "--track-file", filepath.Join(dir, "none", "track"), "--config", copyTo(t, dir, examples+"track.toml")}, strings.Fields(line)...)
	expect(t, "no such file or directory", args...)
}

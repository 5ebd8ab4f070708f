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

const examples = "../examples/kad-notify/"

func TestExampleConfig(t *testing.T) {
	data, err := os.ReadFile(examples + "notify.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig("notify.toml", data)
	if err != nil || len(cfg.Hooks) != 2 {
		t.Fatalf("got %+v, %v", cfg, err)
	}
	// What is commented out is good too.
	all := strings.NewReplacer("\n# [", "\n[", "\n# kind", "\nkind", "\n# instance", "\ninstance", "\n# state", "\nstate", "\n# unit", "\nunit",
		"\n# action", "\naction", "\n# command", "\ncommand", "\n# timeout", "\ntimeout", "\n# url", "\nurl").Replace(string(data))
	cfg, err = parseConfig("notify.toml", []byte(all))
	if err != nil || len(cfg.Hooks) != 6 {
		t.Errorf("uncommented: got %+v, %v", cfg, err)
	}
}

func TestExampleKeepalived(t *testing.T) {
	for _, name := range []string{"keepalived-script.conf", "keepalived-fifo.conf"} {
		config, err := keepalived.LoadConfig(examples+name, keepalived.ConfigOptions{})
		if err != nil || len(config.Instances) != 1 {
			t.Fatalf("%s: %+v, %v", name, config, err)
		}
		for _, l := range append(config.Notify, config.Instances[0].Notify...) {
			if l.Argv != nil {
				if err := checkArguments(l); err != nil {
					t.Errorf("%s: %v", l.Pos, err)
				}
			} else if l.Command != defaultFIFO {
				t.Errorf("%s: %s, want %s", l.Pos, l.Command, defaultFIFO)
			}
		}
		path, err := filepath.Abs(examples + name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("keepalived", "--config-test", "--use-file", path).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "/usr/local/bin/kad-notify") { // it is not installed here
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestExampleUnits(t *testing.T) {
	testneed.Program(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"kad-notify-fifo.service", "kad-notify-sync.service", "kad-notify-sync.timer"} {
		text, err := os.ReadFile(examples + name)
		if err != nil {
			t.Fatal(err)
		}
		// Present where the test runs.
		text = []byte(strings.ReplaceAll(string(text), "/usr/local/bin/kad-notify", "/bin/true"))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kad-notify-fifo.service", "kad-notify-sync.timer"} {
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || strings.Contains(string(out), "kad-notify") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestExampleCatalog(t *testing.T) {
	text, err := os.ReadFile(examples + "kad-notify.catalog")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{transitionMessage, outputMessage} {
		if !strings.Contains(string(text), "-- "+id+"\nSubject: ") {
			t.Errorf("no entry for %s", id)
		}
	}
	_, fields := (&change{relay: &relay{}}).journalEntry("")
	for _, word := range strings.Split(string(text), "@")[1:] {
		if _, ok := fields[word]; !ok && word == strings.ToUpper(word) && len(word) > 2 && word != "HOOK" && !strings.ContainsAny(word, " \n.,") {
			t.Errorf("@%s@ is no field", word)
		}
	}
}

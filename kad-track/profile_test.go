package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/pkg/testneed"
)

func TestProfile(t *testing.T) {
	s := startSyslogNG(t)
	drain := filepath.Join(s.dir, "drain")
	config := write(t, filepath.Join(s.dir, "track.toml"), `
[profile.syslog-ng-track-MASTER]
timeout = "2s"
not_if_exists = "`+drain+`"
syslog_ng = "`+s.control+`"
tcp = ["`+s.tcp+`"]
queue_below = 1000

[profile.broken]
tcq = "192.0.2.1:601"
`)
	expect(t, "", "--config", config, "--profile", "syslog-ng-track-MASTER")
	write(t, drain, "")
	expect(t, "--not-if-exists "+drain+": the file exists: this host is drained", "--config", config, "--profile=syslog-ng-track-MASTER")
	os.Remove(drain)

	// The profile comes first, then the command line.
	expect(t, "--not-if-exists /: the file exists: this host is drained", "--not-if-exists", "/", "--config", config, "--profile", "syslog-ng-track-MASTER")

	expect(t, config+": there is no [profile.syslog-ng-track-BACKUP] (did you mean syslog-ng-track-MASTER?)",
		"--config", config, "--profile", "syslog-ng-track-BACKUP")

	link := filepath.Join(s.dir, "syslog-ng-track-MASTER")
	if err := os.Symlink(os.Args[0], link); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]int{link: 0, filepath.Join(s.dir, "kad-track"): 1, "/usr/bin/broken": 1, "nobody": 1} {
		cmd := asTool(t, "--config", config)
		cmd.Args[0] = name
		if name == link {
			cmd.Path = link
		}
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != code {
			t.Errorf("%s: %v, want exit status %d", name, err, code)
		}
	}
}

func TestLoadProfile(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ name, text, want string }{
		{"no such profile", "[profile.p1]\ntcp = 'a:1'\n", "FILE: there is no [profile.p]"},
		{"empty", "", "FILE: there is no [profile.p]"},
		{"syntax", "[profile.p\n", "FILE:1:11: expected '.' or ']' to end table name, but got '\\n' instead"},
		{"unknown check", "[profile.p]\ntpc = 'a:1'\n", "FILE:2:1: profile.p.tpc: no such check (did you mean tcp?)"},
		{"unknown table", "[profiles.p]\n", "FILE:1:2: profiles: no such key (did you mean profile?)"},
		{"a table for a check", "[profile.p.tcp]\na = 1\n", "FILE:1:12: profile.p.tcp: found a table, want ADDR, or a list of them"},
		{"true for an address", "[profile.p]\ntcp = true\n", "FILE:2:1: profile.p.tcp: found true, want ADDR, or a list of them"},
		{"false", "[profile.p]\nsyslog_ng = false\n", "FILE:2:1: profile.p.syslog_ng: found false, want true or a SOCKET, or a list of them"},
		{"bad element", "[profile.p]\ntcp = ['a:1',\n 'b']\n", `FILE:3:2: profile.p.tcp[1]: "b": want HOST:PORT, an IPv6 address in brackets`},
		{"bad number", "[profile.p]\nqueue_below = -1\n", `FILE:2:1: profile.p.queue_below: "-1": want a number of messages from 1`},
		{"bad timeout", "[profile.p]\ntimeout = 5\n", `FILE:2:1: profile.p.timeout: found 5, want a duration such as "500ms" or "2s"`},
		{"negative timeout", "[profile.p]\ntimeout = '-1s'\n", `FILE:2:1: profile.p.timeout: found -1s, want a duration such as "500ms" or "2s"`},
		{"all at once", "[profile.p]\ntcq = 1\nudp = 2\n", "FILE:2:1: profile.p.tcq: no such check (did you mean tcp?)\nFILE:3:1: profile.p.udp: no such check (did you mean udp_listen?)"},
		{"others do not matter", "[profile.o]\ntcq = 1\n[profile.p]\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, filepath.Join(dir, "track.toml"), tt.text)
			_, err := loadProfile(file, "p")
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), file, "FILE")
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestProfileOrder(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "track.toml"), `[profile."a b"]
unit = ["x", "y"]
timeout = "300ms"
disk = ["/=1%"]
syslog_ng = [true, "/run/ctl"]
pid_file = "/run/pid"
`)
	p, err := loadProfile(file, "a b")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range p.checks {
		got = append(got, w.name())
	}
	want := []string{"--unit x", "--unit y", "--disk /=1%", "--syslog-ng", "--syslog-ng=/run/ctl", "--pid-file /run/pid"}
	if !slices.Equal(got, want) || p.timeout != 300*time.Millisecond {
		t.Errorf("got %q, %v", got, p.timeout)
	}
}

func TestProfileInsecure(t *testing.T) {
	testneed.Root(t, "to whom a secure file belongs")
	file := write(t, filepath.Join(t.TempDir(), "track.toml"), "[profile.p]\n")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	expect(t, file+" is insecure: "+file+" can be written by everybody (mode 0666)", "--config", file, "--profile", "p")
	expect(t, `profile "p", which --profile or the name of the command asks for: there is no /none`, "--config", "/none", "--profile", "p")
}

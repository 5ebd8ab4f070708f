package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kad/pkg/testneed"
)

// instance tracks one thing in a block of lines.
func instance(block string) string {
	return "vrrp_instance V {\n interface eth0\n virtual_router_id 51\n priority 100\n" + block + "}\n"
}

func TestCheckKeepalived(t *testing.T) {
	testneed.Root(t, "who owns a script that keepalived trusts")
	const global = "global_defs {\n script_user root\n enable_script_security\n}\n"
	tests := []struct {
		name string
		conf string // below global; DIR is the directory of the files
		want string // without "kad-track: DIR/keepalived.conf:"; the last words of a warning line are enough
	}{
		{"nothing wrong", "vrrp_script s {\n script \"DIR/kad-track --syslog-ng\"\n interval 1\n timeout 2\n fall 2\n}\n" +
			instance(" track_script {\n  s\n }\n"), ""},
		{"built-in test of a file", "vrrp_script s {\n script \"</run/x\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"), ""},
		{"missing script", "vrrp_script s {\n script DIR/none\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": DIR/none: no such file or directory: keepalived drops the script, and its instances run untracked`},
		{"not executable", "vrrp_script s {\n script DIR/zero\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": DIR/zero is not executable for uid 0, gid 0: keepalived drops the script, and its instances run untracked`},
		{"insecure", "vrrp_script s {\n script DIR/open/kad-track\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": DIR/open/kad-track is insecure: DIR/open can be written by everybody (mode 0777): keepalived drops the script, and its instances run untracked`},
		{"no shebang", "vrrp_script s {\n script DIR/naked\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": DIR/naked is neither a program nor begins with a #! line: keepalived counts a script that does not start as a success`},
		{"unknown user", "vrrp_script s {\n script DIR/kad-track\n user no-such-user\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": there is no user "no-such-user", so keepalived drops the script, and its instances run untracked`},
		{"timeout too short", "vrrp_script s {\n script \"DIR/kad-track --timeout 2500ms\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": kad-track may take 2.5s, but keepalived ends it after 2s (raise timeout, or lower --timeout)`},
		{"timeout from the profile", "vrrp_script s {\n script DIR/slow\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": kad-track may take 5s, but keepalived ends it after 2s (raise timeout, or lower --timeout)`},
		{"link from elsewhere", "vrrp_script s {\n script DIR/etc/slow2\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": keepalived resolves DIR/etc/slow2 to DIR/kad-track, so kad-track does not see the name slow2 (put the link beside kad-track, or use --profile)`},
		{"wrong flag", "vrrp_script s {\n script \"DIR/kad-track --tpc 127.0.0.1:601\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": kad-track: unknown flag "--tpc" (did you mean "--tcp"?)`},
		{"wrong value", "vrrp_script s {\n script \"DIR/kad-track --disk /\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": --disk /: want PATH=MINFREE`},
		{"no profile", "vrrp_script s {\n script \"DIR/kad-track --profile slw\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": DIR/track.toml: there is no [profile.slw] (did you mean slow?)`},
		{"a verb", "vrrp_script s {\n script \"DIR/kad-track watch\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": kad-track: unknown verb "watch"`},
		{"always good", "vrrp_script s {\n script \"DIR/kad-track --help\"\n interval 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`5: vrrp_script "s": kad-track checks nothing when it is called so, and exits with 0`},
		{"hair trigger", "vrrp_script s {\n script DIR/kad-track\n}\n" + instance(" track_script {\n  s\n }\n"),
			`warning 5: vrrp_script "s": a single run that takes a second, as on a busy host, is a failure (timeout 3, or fall 2)`},
		{"fraction", "vrrp_script s {\n script \"DIR/kad-track --timeout 50ms\"\n interval 0.1\n fall 2\n}\n" + instance(" track_script {\n  s\n }\n"),
			`warning 5: vrrp_script "s": keepalived before 2.3.2 ignores an interval or timeout with a fraction`},
		{"not defined", "vrrp_script syslog-ng {\n script DIR/kad-track\n interval 2\n}\n" + instance(" track_script {\n  syslogng\n }\n"),
			`14: vrrp_instance "V": there is no vrrp_script "syslogng" (did you mean "syslog-ng"?), so keepalived tracks nothing
warning 5: vrrp_script "syslog-ng" is tracked by nobody`},
		{"defined below", instance(" track_script {\n  s\n }\n") + "vrrp_script s {\n script DIR/kad-track\n interval 2\n}\n",
			`10: vrrp_instance "V": vrrp_script "s" is defined below this line, so keepalived does not know it here and tracks nothing`},
		{"tracks nothing", instance(""), `warning 5: vrrp_instance "V" tracks nothing: it keeps its addresses whatever happens to the daemons behind them`},
		{"weight of the owner", "vrrp_script s {\n script DIR/kad-track\n interval 2\n weight -10\n}\n" +
			strings.Replace(instance(" track_script {\n  s\n }\n"), "priority 100", "priority 255", 1),
			`15: vrrp_instance "V" has priority 255, which no weight changes: "s" moves nothing (lower the priority, or give it weight 0)`},
		{"good file", "track_file f {\n file DIR/zero\n}\n" + instance(" track_file {\n  f\n }\n"), ""},
		{"missing file", "track_file f {\n file DIR/none\n}\n" + instance(" track_file {\n  f\n }\n"),
			`5: track_file "f": DIR/none is not there, which keepalived counts as healthy (start kad-track watch before keepalived)`},
		{"file without a number", "track_file f {\n file DIR/naked\n}\n" + instance(" track_file {\n  f\n }\n"),
			`5: track_file "f": DIR/naked begins with "exit 1\n", which is not a number and counts as 0, healthy`},
		{"file in procfs", "track_file f {\n file /proc/loadavg\n}\n" + instance(" track_file {\n  f\n }\n"),
			`5: track_file "f": /proc/loadavg is on procfs, which tells keepalived of no change`},
		{"a directory", "track_file f {\n file DIR\n}\n" + instance(" track_file {\n  f\n }\n"),
			`5: track_file "f": DIR: is a directory, which keepalived counts as healthy`},
		{"file for everybody", "track_file f {\n file DIR/open/zero\n}\n" + instance(" track_file {\n  f\n }\n"),
			`warning 5: track_file "f": DIR/open/zero is insecure: DIR/open can be written by everybody (mode 0777), who can move the addresses`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := checkFixture(t)
			file := write(t, filepath.Join(dir, "keepalived.conf"), strings.ReplaceAll(global+tt.conf, "DIR", dir))
			code, stdout, stderr := kadTrack(t, "check", "--config", filepath.Join(dir, "track.toml"), file)
			got := strings.ReplaceAll(strings.ReplaceAll(stderr, "kad-track: warning: "+file+":", "warning "), "kad-track: "+file+":", "")
			got = sortWarnings(strings.ReplaceAll(got, dir, "DIR"))
			wantCode := 0
			if tt.want != "" && !strings.HasPrefix(tt.want, "warning") {
				wantCode = 1
			}
			if got != tt.want || code != wantCode || stdout != "" {
				t.Errorf("exit status %d, want %d\ngot  %s\nwant %s", code, wantCode, got, tt.want)
			}
		})
	}
}

// sortWarnings puts the warnings behind the errors.
func sortWarnings(text string) string {
	var errs, warnings []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "warning") {
			warnings = append(warnings, line)
		} else {
			errs = append(errs, line)
		}
	}
	return strings.TrimSuffix(strings.Join(append(errs, warnings...), ""), "\n")
}

// checkFixture makes a directory with what the configurations name.
func checkFixture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"open", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script(filepath.Join(dir, "kad-track"), "#!/bin/sh\n")
	script(filepath.Join(dir, "open", "kad-track"), "#!/bin/sh\n")
	script(filepath.Join(dir, "naked"), "exit 1\n")
	write(t, filepath.Join(dir, "zero"), "0\n")
	write(t, filepath.Join(dir, "open", "zero"), "0\n")
	write(t, filepath.Join(dir, "track.toml"), "[profile.slow]\ntimeout = '5s'\n[profile.slow2]\ntimeout = '5s'\n")
	if err := os.Chmod(filepath.Join(dir, "open"), 0o777); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"slow": "kad-track", "etc/slow2": "../kad-track"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckTrackTOML(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "track.toml")
	for _, tt := range []struct{ name, text, want string }{
		{"good", "[profile.a]\nsyslog_ng = true\n[profile.b]\nexec = '/bin/sh -c true'\n", ""},
		{"every profile", "[profile.a]\ntcq = 1\n[profile.b]\ntimeout = 'x'\n",
			"FILE:2:1: profile.a.tcq: no such check (did you mean tcp?)\nFILE:4:1: profile.b.timeout: found x, want a duration such as \"500ms\" or \"2s\""},
		{"program", "[profile.a]\nexec = ['/none/at/all -x']\n", "FILE:2:1: profile.a.exec: /none: no such file or directory"},
		{"syntax", "[profile\n", "FILE:1:9: expected '.' or ']' to end table name, but got '\\n' instead"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, file, tt.text)
			code, _, stderr := kadTrack(t, "check", file)
			got := strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(stderr, "kad-track: ", ""), file, "FILE"), "\n")
			if got != tt.want || code == 0 != (tt.want == "") {
				t.Errorf("exit status %d\ngot  %s\nwant %s", code, got, tt.want)
			}
		})
	}
	expect(t, filepath.Join(dir, "none.toml")+": no such file or directory", "check", filepath.Join(dir, "none.toml"))
}

func TestIsNumber(t *testing.T) {
	for text, want := range map[string]bool{
		"0\n": true, " -12x": true, "+3": true, "\t7": true,
		"": false, "\n": false, "x": false, "-": false, "- 1": false,
	} {
		if got := isNumber(text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

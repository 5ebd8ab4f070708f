package keepalived

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// scriptCase is a script in a directory, and what CheckScript says of it.
type scriptCase struct {
	name  string
	make  func(dir string) (script string)
	err   string // %s is the directory
	loose bool   // keepalived runs it without enable_script_security
	runAs string // its last part, when not the script's own
}

func scriptFile(dir, name, text string, mode fs.FileMode) string {
	path := filepath.Join(dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
		panic(err)
	}
	return path
}

const scriptText = "#!/bin/sh\nexit 0\n"

func scriptCases() []scriptCase {
	return []scriptCase{
		{name: "good", make: func(d string) string { return scriptFile(d, "good", scriptText, 0o755) }},
		{name: "missing", make: func(d string) string { return d + "/none" }, err: "%s/none: no such file or directory"},
		{name: "a directory", make: func(d string) string { os.Mkdir(d+"/dir", 0o755); return d + "/dir" }, err: "%s/dir is not a file"},
		{name: "not executable", make: func(d string) string { return scriptFile(d, "plain", scriptText, 0o644) },
			err: "%s/plain is not executable for uid 0, gid 0"},
		{name: "writable by all", make: func(d string) string { return scriptFile(d, "loose", scriptText, 0o777) },
			err: "%[1]s/loose is insecure: %[1]s/loose can be written by everybody (mode 0777)", loose: true},
		{name: "writable by the group root", make: func(d string) string { return scriptFile(d, "group", scriptText, 0o775) }},
		{name: "writable by another group", make: func(d string) string {
			path := scriptFile(d, "group", scriptText, 0o755)
			os.Chown(path, 0, 1)
			os.Chmod(path, 0o775)
			return path
		}, err: "%[1]s/group is insecure: %[1]s/group can be written by the group 1 (mode 0775)", loose: true},
		{name: "somebody else's", make: func(d string) string {
			path := scriptFile(d, "foreign", scriptText, 0o755)
			os.Chown(path, 1, 0)
			return path
		}, err: "%[1]s/foreign is insecure: %[1]s/foreign belongs to uid 1", loose: true},
		{name: "in a directory for all", make: func(d string) string {
			os.Mkdir(d+"/open", 0o755)
			os.Chmod(d+"/open", 0o777)
			return scriptFile(d+"/open", "x", scriptText, 0o755)
		}, err: "%[1]s/open/x is insecure: %[1]s/open can be written by everybody (mode 0777)", loose: true},
		{name: "in a sticky directory", make: func(d string) string {
			os.Mkdir(d+"/sticky", 0o755)
			os.Chmod(d+"/sticky", 0o777|fs.ModeSticky)
			return scriptFile(d+"/sticky", "x", scriptText, 0o755)
		}},
		{name: "link beside", make: func(d string) string {
			os.Symlink("good", d+"/name")
			scriptFile(d, "good", scriptText, 0o755)
			return d + "/name"
		}, runAs: "name"},
		{name: "link from elsewhere", make: func(d string) string {
			os.Mkdir(d+"/etc", 0o755)
			os.Symlink("../good", d+"/etc/name")
			scriptFile(d, "good", scriptText, 0o755)
			return d + "/etc/name"
		}, runAs: "good"},
		{name: "link to nowhere", make: func(d string) string { os.Symlink("none", d+"/name"); return d + "/name" },
			err: "%s/none: no such file or directory"},
		{name: "no shebang", make: func(d string) string { return scriptFile(d, "naked", "exit 1\n", 0o755) },
			err: "%s/naked is neither a program nor begins with a #! line", loose: true},
		{name: "no interpreter", make: func(d string) string { return scriptFile(d, "lost", "#!/no/such/shell -e\n", 0o755) },
			err: `%s/lost: its interpreter "/no/such/shell" is no program`, loose: true},
	}
}

func TestCheckScript(t *testing.T) {
	testneed.Root(t, "who owns a script that keepalived trusts")
	for _, tt := range scriptCases() {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			script := tt.make(dir)
			runAs, err := CheckScript(script, Credential{}, true)
			want := ""
			if tt.err != "" {
				want = strings.TrimSuffix(fmt.Sprintf(tt.err, dir), "%!(EXTRA string="+dir+")")
			}
			if got := fmt.Sprint(err); got != want && (want != "" || err != nil) {
				t.Errorf("got %s, want %s", got, want)
			}
			if want := filepath.Join(dir, tt.runAs); tt.runAs != "" && runAs != want {
				t.Errorf("run as %s, want %s", runAs, want)
			}
			if e, ok := errors.AsType[*ScriptError](err); ok {
				dropped := !strings.Contains(tt.name, "shebang") && !strings.Contains(tt.name, "interpreter")
				if e.Dropped != dropped {
					t.Errorf("dropped: %v, want %v", e.Dropped, dropped)
				}
				if _, err := CheckScript(script, Credential{}, false); err.(*ScriptError).Dropped == tt.loose {
					t.Errorf("without security: %v", err)
				}
			}
		})
	}
}

// keepalived is asked about the same scripts: what we say it drops, it drops.
func TestCheckScriptAsKeepalived(t *testing.T) {
	testneed.Root(t, "who owns a script that keepalived trusts")
	path, err := exec.LookPath("/usr/sbin/keepalived")
	testneed.That(t, err == nil, "keepalived")
	for _, security := range []bool{true, false} {
		for _, tt := range scriptCases() {
			if tt.name == "not executable" { // dropped as well, but the configuration test is silent about it
				continue
			}
			t.Run(fmt.Sprintf("%s, security %v", tt.name, security), func(t *testing.T) {
				dir := t.TempDir()
				script := tt.make(dir)
				said := keepalivedSays(t, path, dir, script, security)
				_, err := CheckScript(script, Credential{}, security)
				e, _ := errors.AsType[*ScriptError](err)
				if dropped := strings.Contains(said, "isabling"); (e != nil && e.Dropped) != dropped {
					t.Errorf("got %v; keepalived says\n%s", err, said)
				}
			})
		}
	}
}

// keepalivedSays returns the output of a configuration test with script as a track_script.
func keepalivedSays(t *testing.T, path, dir, script string, security bool) string {
	t.Helper()
	enable := ""
	if security {
		enable = "enable_script_security"
	}
	config := scriptFile(dir, "keepalived.conf", fmt.Sprintf(`global_defs {
 script_user root
 %s
}
vrrp_script s {
 script %q
}
vrrp_instance V {
 state BACKUP
 interface lo
 virtual_router_id 51
 priority 100
 virtual_ipaddress {
  192.0.2.1
 }
 track_script {
  s
 }
}
`, enable, script), 0o644)
	said, _ := exec.Command(path, "-t", "-l", "-D", "-f", config).CombinedOutput()
	return string(said)
}

func TestCheckScriptBuiltin(t *testing.T) {
	for _, command := range []string{"</run/file", "< \t/run/file"} {
		if runAs, err := CheckScript(command, Credential{}, true); runAs != command || err != nil {
			t.Errorf("%q: got %q, %v", command, runAs, err)
		}
	}
	if _, err := CheckScript("no-such-script", Credential{}, true); err == nil || err.Error() != "no-such-script is not in PATH" {
		t.Errorf("got %v", err)
	}
	if runAs, err := CheckScript("sh", Credential{}, true); err != nil || !filepath.IsAbs(runAs) {
		t.Errorf("got %q, %v", runAs, err)
	}
}

func TestExecutableFor(t *testing.T) {
	testneed.Root(t, "to give files away")
	script := scriptFile(t.TempDir(), "s", scriptText, 0o640)
	if err := os.Chown(script, 10, 20); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		mode     fs.FileMode
		uid, gid uint32
		want     bool
	}{
		{0o100, 10, 0, true},
		{0o011, 10, 20, false},
		{0o010, 11, 20, true},
		{0o101, 11, 20, false},
		{0o001, 11, 21, true},
		{0o110, 11, 21, false},
		{0o010, 0, 0, true},
		{0o000, 0, 0, false},
	}
	for _, tt := range tests {
		os.Chmod(script, tt.mode)
		info, err := os.Stat(script)
		if err != nil {
			t.Fatal(err)
		}
		if got := executable(info, Credential{tt.uid, tt.gid}); got != tt.want {
			t.Errorf("mode %04o for %d:%d: got %v", tt.mode, tt.uid, tt.gid, got)
		}
	}
}

func TestCredential(t *testing.T) {
	tests := []struct {
		name        string
		config      Config
		user, group string
		want        Credential
		err         string
	}{
		{name: "script_user", config: Config{ScriptUser: "daemon"}, want: Credential{1, 1}},
		{name: "script_user with group", config: Config{ScriptUser: "daemon", ScriptGroup: "root"}, want: Credential{1, 0}},
		{name: "user of the script", config: Config{ScriptUser: "daemon"}, user: "root", want: Credential{}},
		{name: "unknown user", user: "nobody-of-that-name", err: `there is no user "nobody-of-that-name"`},
		{name: "unknown group", user: "root", group: "none-of-that-name", err: `there is no group "none-of-that-name"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.config.Credential(tt.user, tt.group)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestSecure(t *testing.T) {
	testneed.Root(t, "to give files away")
	dir := t.TempDir()
	file := scriptFile(dir, "f", "", 0o644)
	os.Symlink(file, dir+"/link")
	for _, path := range []string{file, dir + "/link"} {
		if err := Secure(path); err != nil {
			t.Error(err)
		}
	}
	os.Chmod(file, 0o666)
	if err, want := Secure(dir+"/link"), file+" is insecure: "+file+" can be written by everybody (mode 0666)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := Secure(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestConfigScriptTimes(t *testing.T) {
	dir := t.TempDir()
	text := ""
	tests := []struct {
		block             string
		interval, timeout time.Duration
		fall              int
	}{
		{"", 0, 0, 0},
		{"interval 2\n timeout 3\n fall 4", 2 * time.Second, 3 * time.Second, 4},
		{"interval 0.1\n timeout 0.05", 100 * time.Millisecond, 50 * time.Millisecond, 0},
		{"interval 0\n timeout 0\n fall 0", time.Second, time.Second, 1},
		{"interval x\n timeout -1\n fall x", 0, 0, 1},
		{"interval 1e300\n timeout 4294\n fall 2\n fall -2", 0, 4294 * time.Second, 1},
	}
	for i, tt := range tests {
		text += fmt.Sprintf("vrrp_script s%d {\n script /bin/true\n %s\n}\n", i, tt.block)
	}
	config, err := LoadConfig(scriptFile(dir, "keepalived.conf", text, 0o644), ConfigOptions{})
	if err != nil || len(config.Scripts) != len(tests) {
		t.Fatalf("%d scripts, %v", len(config.Scripts), err)
	}
	for i, tt := range tests {
		if s := config.Scripts[i]; s.Interval != tt.interval || s.Timeout != tt.timeout || s.Fall != tt.fall {
			t.Errorf("%q: got %v, %v, %d", tt.block, s.Interval, s.Timeout, s.Fall)
		}
	}
}

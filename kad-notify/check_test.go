package main

import (
	"os"
	"strings"
	"testing"

	"kad/pkg/cli"
)

func TestCheck(t *testing.T) {
	newGobgpd(t)
	r := newRoom(t, route+hookScript("a", "true", ""))
	r.write("kad-notify", "#!/bin/sh\n", 0o755)
	r.write("other", "#!/bin/sh\n", 0o777)
	conf := func(line string) string {
		return strings.Replace(vipConf, "    state BACKUP\n", "    state BACKUP\n    "+line+"\n", 1)
	}
	if err := os.MkdirAll("/run/kad", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		conf   string
		toml   string
		code   int
		stderr string
	}{
		{"good", conf("notify @/kad-notify"), "", 0, ""},
		{"good, own arguments", conf(`notify_master "@/kad-notify INSTANCE VI_1 MASTER"`), "", 0, ""},
		{"good, FIFO", "global_defs {\n    vrrp_notify_fifo /run/kad/notify.fifo\n}\n" + vipConf, "", 0, ""},
		{"FIFO without a user", "global_defs {\n    enable_script_security\n    vrrp_notify_fifo /run/kad/notify.fifo\n    script_user root\n}\n" + vipConf, "", 1,
			"keepalived.conf:3: vrrp_notify_fifo: names no user: keepalived 2.2 then drops it and all scripts at a reload unless script_user stands above, write /run/kad/notify.fifo root"},
		{"nobody calls", vipConf, "", 1, "keepalived's configuration has no line that calls kad-notify: add notify"},
		{"no arguments", conf("notify_master @/kad-notify"), "", 1, "keepalived.conf:4: notify_master: notify arguments \"\": want INSTANCE|GROUP NAME STATE PRIORITY at the end (keepalived appends nothing here)"},
		{"missing script", conf("notify @/kad-notify\n    notify_fault @/none"), "", 1, "keepalived.conf:5: notify_fault: "},
		{"insecure script", conf("notify @/kad-notify\n    notify_fault @/other"), "", 1, "other can be written by everybody (mode 0777)"},
		{"hook for nobody", conf("notify @/kad-notify"), "[hook.z]\nkind = \"bgp\"\ninstance = [\"VI_7\"]\n", 1, "hook z: keepalived has no instance VI_7 and no group (none is named)"},
		{"program is none", conf("notify @/kad-notify"), "[hook.z]\nkind = \"exec\"\ncommand = [\"@/notify.toml\"]\n", 1, "notify.toml is not executable for uid 0, gid 0"},
		{"gobgpd away", conf("notify @/kad-notify"), "[bgp]\ntarget = \"127.0.0.1:1\"\n", 69, "gobgpd at 127.0.0.1:1: connection refused"},
		{"bad configuration", conf("notify @/kad-notify"), "[bgp]\ntarget = \"x\"\n[hook.z]\nkind = \"x\"\n", 78,
			"kad-notify:     target = \"x\"\nkad-notify:     ^\n"},
		{"secret in a bad line", conf("notify @/kad-notify"), "[hook.z]\nkind = \"webhook\"\nurl = \"ftp://u:SECRET@h\"\n", 78, "hook.z.url: is not a URL"},
		{"no keepalived.conf", "", "", 1, "keepalived's configuration: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			good := r.read("notify.toml")
			defer r.write("notify.toml", good, 0o644)
			r.write("notify.toml", good+tt.toml, 0o644)
			r.write("keepalived.conf", tt.conf, 0o644)
			if tt.conf == "" {
				os.Remove(r.path("keepalived.conf"))
			}
			code, stdout, stderr := r.run("check")
			if code != tt.code || !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("code %d, stderr\n%s", code, stderr)
			}
			if strings.Contains(stderr, "SECRET") {
				t.Errorf("a secret in\n%s", stderr)
			}
			if tt.code == cli.OK && stdout != "gobgpd: AS 64512, router id 192.0.2.254\n" {
				t.Errorf("stdout %q", stdout)
			}
		})
	}
}

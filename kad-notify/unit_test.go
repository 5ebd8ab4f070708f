package main

import (
	"fmt"
	"strings"
	"testing"

	"kad/pkg/dbustest"
)

func TestUnit(t *testing.T) {
	s := dbustest.StartSystemd(t)
	for _, tt := range []struct {
		action, unit, result string
		calls, stderr        string
	}{
		{"start", "syslog-ng", "done", "start syslog-ng.service replace", ""},
		{"stop", "relay.target", "done", "stop relay.target replace", ""},
		{"restart", "x.service", "done", "restart x.service replace", ""},
		{"reload", "x.service", "done", "reload x.service replace", ""},
		{"start", "x", "failed", "start x.service replace", "hook u: start x.service: systemd's job ended as failed"},
		{"start", "none", "done", "", "hook u: start none.service: Unit none.service not found."},
		{"start", "slow", "", "start slow.service replace", "hook u: start slow.service: not done after 2s"},
	} {
		t.Run(tt.action+" "+tt.unit+" "+tt.result, func(t *testing.T) {
			s.EndJobs(tt.result)
			timeout := "1m"
			if tt.unit == "slow" {
				timeout = "2s"
			}
			r := newRoom(t, fmt.Sprintf("[hook.u]\nkind = \"unit\"\nunit = %q\naction = %q\ntimeout = %q\n", tt.unit, tt.action, timeout))
			code, _, stderr := r.run("INSTANCE", "VI_1", "MASTER", "240")
			if (code == 0) != (tt.stderr == "") || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("code %d, stderr %q", code, stderr)
			}
			if got := strings.Join(s.Jobs(), "\n"); got != tt.calls {
				t.Errorf("systemd was asked for %q, want %q", got, tt.calls)
			}
		})
	}
}

func TestUnitWithoutBus(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+t.TempDir()+"/none")
	r := newRoom(t, "[hook.u]\nkind = \"unit\"\nunit = \"x\"\naction = \"start\"\n")
	code, _, stderr := r.run("INSTANCE", "VI_1", "MASTER", "240")
	if code != 1 || !strings.Contains(stderr, "hook u: system bus: dial unix ") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

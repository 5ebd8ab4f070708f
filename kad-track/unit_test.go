package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kad/pkg/dbustest"
)

func TestUnit(t *testing.T) {
	s := dbustest.StartSystemd(t)
	expect(t, "--unit syslog-ng: is inactive", "--unit", "syslog-ng")
	for state, why := range map[string]string{
		"active":       "",
		"reloading":    "",
		"refreshing":   "",
		"inactive":     "is inactive",
		"failed":       "is failed",
		"activating":   "is activating",
		"deactivating": "is deactivating",
		"maintenance":  "is maintenance",
	} {
		s.SetUnit("syslog-ng.service", dbustest.Unit{State: state, MainPID: 42})
		expect(t, why, "--unit", "syslog-ng")
		expect(t, why, "--unit", "syslog-ng.service")
	}
	s.SetUnit("syslog.socket", dbustest.Unit{State: "active"})
	expect(t, "", "--unit", "syslog.socket")

	s.SetUnit("syslog-ng.service", dbustest.Unit{State: "active", MainPID: 42})
	probe, err := checkUnit("syslog-ng", setting{})
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := probe(t.Context()); pid != 42 || err != nil {
		t.Errorf("got %d, %v", pid, err)
	}

	defer s.Hang()()
	expect(t, "no answer within 2s", "--timeout", soon, "--unit", "syslog-ng")
}

func TestUnitWithoutSystemd(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", dbustest.Bus(t))
	expect(t, "systemd: The name org.freedesktop.systemd1 was not provided by any .service files", "--unit", "syslog-ng")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "none"))
	expect(t, "system bus: no such file or directory", "--unit", "syslog-ng")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "tcp:host=localhost")
	expect(t, `system bus: bus address "tcp:host=localhost": want unix:path=FILE`, "--unit", "syslog-ng")
}

// systemd's own escaping, as busctl tree shows it.
func TestUnitPath(t *testing.T) {
	for name, want := range map[string]string{
		"syslog-ng":          "syslog_2dng_2eservice",
		"syslog-ng.service":  "syslog_2dng_2eservice",
		"getty@tty1.service": "getty_40tty1_2eservice",
		"3proxy.service":     "_33proxy_2eservice",
		`x\x2dy.mount`:       "x_5cx2dy_2emount",
		"é.service":          "_c3_a9_2eservice",
	} {
		if got, _ := strings.CutPrefix(unitPath(name), systemdObject+"/unit/"); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if os.Getenv("DBUS_SYSTEM_BUS_ADDRESS") != "" {
		t.Error("a test has left its bus behind")
	}
}

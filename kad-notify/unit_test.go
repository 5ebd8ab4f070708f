package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// systemd is a service on a bus of its own that implements the few calls of
// org.freedesktop.systemd1 (see org.freedesktop.systemd1(5)) that kad-notify makes.
type systemd struct {
	conn   *dbus.Conn
	mu     sync.Mutex
	active map[string]bool
	calls  []string
	result string // of jobs; "" for jobs that do not end
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// newSystemd starts a bus and the service on it, and makes it the system bus.
func newSystemd(t *testing.T, active ...string) *systemd {
	t.Helper()
	dir := t.TempDir()
	address := "unix:path=" + dir + "/bus"
	if err := os.WriteFile(dir+"/bus.conf", fmt.Appendf(nil, busConfig, dir+"/bus"), 0o644); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, "dbus-daemon", "--config-file="+dir+"/bus.conf", "--nofork", "--nosyslog")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	s := &systemd{active: map[string]bool{}, result: "done"}
	for _, unit := range active {
		s.active[unit] = true
	}
	eventually(t, "the bus answers", func() (ok bool) {
		var err error
		s.conn, err = dbus.Connect(address)
		return err == nil
	})
	t.Cleanup(func() { s.conn.Close() })
	methods := map[string]any{"StartUnit": s.method("start"), "StopUnit": s.method("stop"), "RestartUnit": s.method("restart"), "ReloadUnit": s.method("reload")}
	if err := s.conn.ExportMethodTable(methods, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.ExportSubtreeMethodTable(map[string]any{"Get": s.get}, "/org/freedesktop/systemd1/unit", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if reply, err := s.conn.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return s
}

func (s *systemd) method(verb string) any {
	return func(unit, mode string) (dbus.ObjectPath, *dbus.Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if unit == "none.service" {
			return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit none.service not found."})
		}
		s.calls = append(s.calls, strings.Join([]string{verb, unit, mode}, " "))
		job := dbus.ObjectPath(fmt.Sprintf("/org/freedesktop/systemd1/job/%d", len(s.calls)))
		if s.result == "done" {
			s.active[unit] = verb != "stop"
		}
		if s.result != "" {
			_ = s.conn.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", uint32(len(s.calls)), job, unit, s.result)
		}
		return job, nil
	}
}

func (s *systemd) get(m dbus.Message, _, property string) (dbus.Variant, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := string(m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath))
	state := "inactive"
	for unit, active := range s.active {
		escaped := strings.NewReplacer("-", "_2d", ".", "_2e").Replace(unit)
		if active && strings.HasSuffix(path, "/"+escaped) {
			state = "active"
		}
	}
	if property != "ActiveState" {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", nil)
	}
	return dbus.MakeVariant(state), nil
}

func (s *systemd) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.calls, "\n")
	s.calls = nil
	return text
}

func TestUnit(t *testing.T) {
	s := newSystemd(t)
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
		{"start", "slow", "", "start slow.service replace", "hook u: start slow.service: not done after 300ms"},
	} {
		t.Run(tt.action+" "+tt.unit+" "+tt.result, func(t *testing.T) {
			s.mu.Lock()
			s.result = tt.result
			s.mu.Unlock()
			r := newRoom(t, fmt.Sprintf("[hook.u]\nkind = \"unit\"\nunit = %q\naction = %q\ntimeout = \"300ms\"\n", tt.unit, tt.action))
			code, _, stderr := r.run("INSTANCE", "VI_1", "MASTER", "240")
			if (code == 0) != (tt.stderr == "") || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("code %d, stderr %q", code, stderr)
			}
			if got := s.said(); got != tt.calls {
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

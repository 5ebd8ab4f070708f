package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	systembus "github.com/godbus/dbus/v5"

	"kad/kad-track/internal/dbus/dbustest"
)

// fakeSystemd is org.freedesktop.systemd1 on a bus of its own, as far as kad-track asks.
type fakeSystemd struct {
	bus *systembus.Conn

	mu    sync.Mutex // guards what follows
	units map[systembus.ObjectPath]fakeUnit
	hang  chan struct{} // asked, it waits for its end
}

type fakeUnit struct {
	state   string // ActiveState
	mainPID uint32 // 0: no service
}

// startSystemd starts a bus and puts systemd on it. KAD's own calls find it by the environment.
func startSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	address := dbustest.Bus(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	bus, err := systembus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	s := &fakeSystemd{bus: bus, units: map[systembus.ObjectPath]fakeUnit{}}
	if err := bus.ExportSubtree(fakeProperties{s}, systemdObject+"/unit", busProperties); err != nil {
		t.Fatal(err)
	}
	if err := bus.Export(fakeManager{}, systemdObject, systemdManager); err != nil {
		t.Fatal(err)
	}
	if reply, err := bus.RequestName(systemd, 0); err != nil || reply != systembus.RequestNameReplyPrimaryOwner {
		t.Fatalf("%v, %v", reply, err)
	}
	return s
}

// set changes a unit, and says so on the bus as systemd does.
func (s *fakeSystemd) set(t *testing.T, path string, u fakeUnit) {
	t.Helper()
	s.mu.Lock()
	s.units[systembus.ObjectPath(path)] = u
	s.mu.Unlock()
	changed := map[string]systembus.Variant{"ActiveState": systembus.MakeVariant(u.state)}
	if err := s.bus.Emit(systembus.ObjectPath(path), busProperties+"."+propertiesChanged, systemdUnit, changed, []string{}); err != nil {
		t.Fatal(err)
	}
}

type fakeManager struct{}

func (fakeManager) Subscribe() *systembus.Error { return nil }

type fakeProperties struct{ *fakeSystemd }

func (s fakeProperties) Get(m systembus.Message, iface, name string) (systembus.Variant, *systembus.Error) {
	s.mu.Lock()
	u, ok := s.units[m.Headers[systembus.FieldPath].Value().(systembus.ObjectPath)]
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	switch {
	case iface == systemdUnit && name == "ActiveState" && ok:
		return systembus.MakeVariant(u.state), nil
	case iface == systemdUnit && name == "ActiveState":
		return systembus.MakeVariant("inactive"), nil
	case iface == systemdService && name == "MainPID" && u.mainPID != 0:
		return systembus.MakeVariant(u.mainPID), nil
	}
	return systembus.Variant{}, systembus.NewError("org.freedesktop.DBus.Error.UnknownProperty",
		[]any{fmt.Sprintf("Unknown interface %s or property %s.", iface, name)})
}

func TestUnit(t *testing.T) {
	s := startSystemd(t)
	const path = systemdObject + "/unit/syslog_2dng_2eservice"
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
		s.set(t, path, fakeUnit{state, 42})
		expect(t, why, "--unit", "syslog-ng")
		expect(t, why, "--unit", "syslog-ng.service")
	}
	s.set(t, systemdObject+"/unit/syslog_2esocket", fakeUnit{"active", 0})
	expect(t, "", "--unit", "syslog.socket")

	s.set(t, path, fakeUnit{"active", 42})
	probe, err := checkUnit("syslog-ng", setting{})
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := probe(t.Context()); pid != 42 || err != nil {
		t.Errorf("got %d, %v", pid, err)
	}

	s.mu.Lock()
	s.hang = make(chan struct{})
	s.mu.Unlock()
	defer close(s.hang)
	expect(t, "no answer within 200ms", "--timeout", "200ms", "--unit", "syslog-ng")
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

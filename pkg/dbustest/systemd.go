package dbustest

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Unit is what systemd says of a unit.
type Unit struct {
	State   string // ActiveState, "" for inactive
	MainPID uint32 // 0: the unit is no service
}

// Systemd is org.freedesktop.systemd1 (org.freedesktop.systemd1(5)) as far as kad asks: the state of
// units, the signal that it has changed, and jobs. Its units are names only, a job starts nothing but
// leaves the unit active or inactive. Every unit exists but none.service.
type Systemd struct {
	conn *dbus.Conn

	mu     sync.Mutex // guards what follows
	units  map[string]Unit
	jobs   []string
	number uint32 // of the last job
	result string
	hung   chan struct{}
}

// StartSystemd starts a bus with a systemd that ends with the test, and makes it the system bus of the
// process.
func StartSystemd(t testing.TB) *Systemd {
	t.Helper()
	address := Bus(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	s, err := ServeSystemd(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

const (
	name       = "org.freedesktop.systemd1"
	object     = "/org/freedesktop/systemd1"
	manager    = name + ".Manager"
	properties = "org.freedesktop.DBus.Properties"
)

// ServeSystemd puts a systemd on the bus at that address, until Close.
func ServeSystemd(address string) (*Systemd, error) {
	conn, err := dbus.Connect(address)
	if err != nil {
		return nil, err
	}
	s := &Systemd{conn: conn, units: map[string]Unit{}, result: "done"}
	methods := map[string]any{"Subscribe": func() *dbus.Error { return nil },
		"StartUnit": s.job("start", "active"), "StopUnit": s.job("stop", "inactive"),
		"RestartUnit": s.job("restart", "active"), "ReloadUnit": s.job("reload", "active")}
	err = cmp.Or(conn.ExportMethodTable(methods, object, manager),
		conn.ExportSubtreeMethodTable(map[string]any{"Get": s.get}, object+"/unit", properties))
	if err == nil {
		_, err = conn.RequestName(name, dbus.NameFlagDoNotQueue)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// Close takes systemd from the bus.
func (s *Systemd) Close() { s.conn.Close() }

// Unit returns what the unit of that name, "syslog-ng.service", is now.
func (s *Systemd) Unit(name string) Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units[name]
}

// SetUnit changes a unit, and says so on the bus.
func (s *Systemd) SetUnit(name string, u Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(name, u)
}

func (s *Systemd) set(unit string, u Unit) {
	s.units[unit] = u
	changed := map[string]dbus.Variant{"ActiveState": dbus.MakeVariant(u.State)}
	s.conn.Emit(unitPath(unit), properties+".PropertiesChanged", name+".Unit", changed, []string{})
}

// Jobs returns the jobs asked for since the last call, in their order: "start syslog-ng.service replace".
func (s *Systemd) Jobs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := s.jobs
	s.jobs = nil
	return jobs
}

// EndJobs has jobs from now on end with a result, "done" or "failed"; with "" they do not end.
func (s *Systemd) EndJobs(result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result = result
}

// Hang has systemd not say the state of units until resume is called.
func (s *Systemd) Hang() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hung := make(chan struct{})
	s.hung = hung
	return func() { close(hung) }
}

// job returns the method that makes jobs of a kind, which leave their unit in that state.
func (s *Systemd) job(verb, state string) any {
	return func(unit, mode string) (dbus.ObjectPath, *dbus.Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if unit == "none.service" {
			return "", dbus.NewError(name+".NoSuchUnit", []any{"Unit none.service not found."})
		}
		s.jobs = append(s.jobs, verb+" "+unit+" "+mode)
		s.number++
		job := dbus.ObjectPath(fmt.Sprintf("%s/job/%d", object, s.number))
		if s.result == "done" {
			s.set(unit, Unit{State: state})
		}
		if s.result != "" {
			s.conn.Emit(object, manager+".JobRemoved", s.number, job, unit, s.result)
		}
		return job, nil
	}
}

func (s *Systemd) get(m dbus.Message, iface, property string) (dbus.Variant, *dbus.Error) {
	s.mu.Lock()
	u, hung := s.units[unitName(m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath))], s.hung
	s.mu.Unlock()
	if hung != nil {
		<-hung
	}
	switch {
	case iface == name+".Unit" && property == "ActiveState":
		return dbus.MakeVariant(cmp.Or(u.State, "inactive")), nil
	case iface == name+".Service" && property == "MainPID" && u.MainPID != 0:
		return dbus.MakeVariant(u.MainPID), nil
	}
	return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty",
		[]any{fmt.Sprintf("Unknown interface %s or property %s.", iface, property)})
}

var (
	special = regexp.MustCompile(`[^A-Za-z0-9]|^[0-9]`)
	escaped = regexp.MustCompile(`_[0-9a-f]{2}`)
)

// unitPath returns the object of a unit: its name, with _XX for bytes that may not stand in a path.
func unitPath(unit string) dbus.ObjectPath {
	return dbus.ObjectPath(object + "/unit/" + special.ReplaceAllStringFunc(unit, func(c string) string {
		return fmt.Sprintf("_%x", c)
	}))
}

func unitName(p dbus.ObjectPath) string {
	return escaped.ReplaceAllStringFunc(path.Base(string(p)), func(hex string) string {
		b, _ := strconv.ParseUint(strings.TrimPrefix(hex, "_"), 16, 8)
		return string([]byte{byte(b)})
	})
}

package integration

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
	"kad/pkg/dbustest"
)

// unitHooks are hooks for notify.toml: each VIP has a collector, which runs where the VIP is, and who
// becomes MASTER has its relay reload.
const unitHooks = `
[hook.collector01-on]
kind = "unit"
instance = ["loghost01-*"]
state = ["MASTER"]
unit = "collector01"
action = "start"

[hook.collector01-off]
kind = "unit"
instance = ["loghost01-*"]
state = ["BACKUP", "FAULT", "STOP", "DELETED"]
unit = "collector01"
action = "stop"

[hook.collector02-on]
kind = "unit"
instance = ["loghost02-*"]
state = ["MASTER"]
unit = "collector02"
action = "start"

[hook.collector02-off]
kind = "unit"
instance = ["loghost02-*"]
state = ["BACKUP", "FAULT", "STOP", "DELETED"]
unit = "collector02"
action = "stop"

[hook.relay]
kind = "unit"
state = ["MASTER"]
unit = "relay"
action = "reload"
`

const busSocket = "/run/dbus/system_bus_socket"

var systemBus = lab.Program{Name: "dbus-daemon", Argv: []string{"dbus-daemon", "--config-file=/etc/kad/bus.conf", "--nofork", "--nosyslog"}}

// startSystemd gives a host a system bus with a systemd on it.
func startSystemd(t *testing.T, h *lab.Host) *dbustest.Systemd {
	t.Helper()
	h.WriteFile("/etc/kad/bus.conf", []byte(dbustest.Config(busSocket)), 0o644)
	if err := h.Do(func() error { return os.MkdirAll("/run/dbus", 0o755) }); err != nil {
		t.Fatal(err)
	}
	h.Start(systemBus)
	h.AwaitListener("unix", busSocket)
	var s *dbustest.Systemd
	err := h.Do(func() (err error) {
		s, err = dbustest.ServeSystemd("unix:path=" + busSocket)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// An outcome is what a change of the pair has to lead to. What is by host has an entry for each relay.
type outcome struct {
	situation lab.Situation
	routes    map[string]string
	told      map[string]map[string]string // by host, as journal.transitions has it
	units     map[string]string            // by host: those that are active, joined by blanks
	jobs      map[string][]string          // by host: what systemd was asked for, among others
}

// down is the outcome of a relay's syslog-ng that fails, up that of one that is well again, still that of a
// change that nobody may notice.
func (l *notifyLab) down(h *lab.Host) outcome {
	peer := l.peer(h)
	o := outcome{
		situation: lab.Down, routes: only01,
		told: map[string]map[string]string{
			h.Name:    {h.Name + "-MASTER": "FAULT", peer.Name + "-BACKUP": "FAULT"},
			peer.Name: {h.Name + "-BACKUP": "MASTER"},
		},
		units: map[string]string{h.Name: "", peer.Name: "collector01 collector02"},
		jobs: map[string][]string{
			h.Name:    {"stop " + collector(h)},
			peer.Name: {"start " + collector(h), "reload relay.service replace"},
		},
	}
	if h == l.Loghost01 {
		o.situation, o.routes = lab.Down01, only02
	}
	return o
}

func (l *notifyLab) up(h *lab.Host) outcome {
	peer, o := l.peer(h), l.still()
	o.told = map[string]map[string]string{
		h.Name:    {h.Name + "-MASTER": "BACKUP MASTER", peer.Name + "-BACKUP": "BACKUP"},
		peer.Name: {h.Name + "-BACKUP": "BACKUP"},
	}
	o.jobs = map[string][]string{
		h.Name:    {"start " + collector(h), "reload relay.service replace"},
		peer.Name: {"stop " + collector(h)},
	}
	return o
}

func (l *notifyLab) still() outcome {
	return outcome{
		situation: lab.Normal, routes: home,
		told:  map[string]map[string]string{"loghost01": {}, "loghost02": {}},
		units: map[string]string{"loghost01": "collector01", "loghost02": "collector02"},
	}
}

func (l *notifyLab) peer(h *lab.Host) *lab.Host {
	if h == l.Loghost01 {
		return l.Loghost02
	}
	return l.Loghost01
}

// collector is the unit that runs where the VIP of a relay is, in a job of systemd.
func collector(h *lab.Host) string {
	return strings.Replace(h.Name, "loghost", "collector", 1) + ".service replace"
}

// verify waits for an outcome, all of it, and forgets what was told and asked for.
func (l *notifyLab) verify(t *testing.T, name string, want outcome) {
	t.Helper()
	l.awaitRoutes(want.situation, want.routes)
	checkTables(t, l.Pair, name, want.situation)
	for _, h := range l.Relays() {
		journal, systemd := l.journals[h.Name], l.systemd[h.Name]
		var jobs []string
		l.Eventually(time.Minute, func() error {
			if got := journal.transitions(); !maps.Equal(got, want.told[h.Name]) {
				return fmt.Errorf("%s: the journal of %s has %v, want %v", name, h.Name, got, want.told[h.Name])
			}
			if got := activeUnits(systemd); got != want.units[h.Name] {
				return fmt.Errorf("%s: on %s run %q, want %q", name, h.Name, got, want.units[h.Name])
			}
			jobs = append(jobs, systemd.Jobs()...)
			for _, job := range want.jobs[h.Name] {
				if !slices.Contains(jobs, job) {
					return fmt.Errorf("%s: systemd of %s was asked for %q, not for %q", name, h.Name, jobs, job)
				}
			}
			return nil
		})
		journal.forget()
	}
}

func activeUnits(s *dbustest.Systemd) string {
	var active []string
	for _, unit := range []string{"collector01", "collector02"} {
		if s.Unit(unit+".service").State == "active" {
			active = append(active, unit)
		}
	}
	return strings.Join(active, " ")
}

// Whatever happens to syslog-ng on either relay, VIPs, tables, routes, journal and units follow.
func TestTransitions(t *testing.T) {
	for _, mode := range notifyModes {
		t.Run(mode.name, func(t *testing.T) {
			l := upNotify(t, mode)
			for _, h := range l.Relays() {
				l.journals[h.Name].forget()
			}
			for _, h := range l.Relays() {
				testTransitions(t, l, h)
			}
		})
	}
}

func testTransitions(t *testing.T, l *notifyLab, h *lab.Host) {
	for _, c := range []struct {
		name       string
		harm, mend func(lab.Program)
	}{
		{"killed", h.Kill, h.Start},
		{"hung", h.Hang, h.Continue},
	} {
		name := "syslog-ng " + c.name + " on " + h.Name
		c.harm(lab.SyslogNG)
		l.verify(t, name, l.down(h))
		c.mend(lab.SyslogNG)
		l.verify(t, name+", mended", l.up(h))
	}
	begin := time.Now()
	h.Restart(lab.SyslogNG)
	h.AwaitListener("unix", "/var/lib/syslog-ng/syslog-ng.ctl")
	if took := time.Since(begin); took > time.Second { // keepalived may have seen two bad answers
		t.Logf("restart took %v: what it leads to is not looked at", took)
		l.awaitRoutes(lab.Normal, home)
		return
	}
	l.verify(t, "syslog-ng restarted on "+h.Name, l.still())
}

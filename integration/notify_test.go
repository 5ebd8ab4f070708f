package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kad/integration/lab"
	"kad/pkg/dbustest"
)

var (
	gobgpd = lab.Program{Name: "gobgpd", Argv: []string{"gobgpd", "--config-file", "/etc/kad/gobgpd.toml",
		"--api-hosts", "127.0.0.1:50051", "--pprof-disable", "--log-level", "error"}}
	// notifySync is what kad-notify-sync.timer does, more often.
	notifySync = lab.Program{Name: "kad-notify-sync", Argv: []string{"sh", "-c", "while :; do kad-notify sync; sleep 1; done"}}
)

// notifyLab is the pair with kad-notify in keepalived.conf, and a router that has a BGP session with
// each of the relays.
type notifyLab struct {
	*lab.Pair
	router   *lab.Host
	journals map[string]*journal          // by host, as is
	systemd  map[string]*dbustest.Systemd // on a bus of its own
	dead     map[*lab.Host]bool           // hosts whose syslog-ng does not run
}

// A notifyMode is a way to have kad-notify called.
type notifyMode struct {
	name   string
	daemon lab.Program // beside keepalived
	fifo   bool        // else by the notify lines of the example
}

var (
	scriptMode = notifyMode{name: "script", daemon: notifySync}
	fifoMode   = notifyMode{name: "fifo", daemon: lab.NotifyFIFO, fifo: true}

	notifyModes = []notifyMode{scriptMode, fifoMode}
)

// upNotify returns the pair in normal operation, with its routes on the router.
func upNotify(t *testing.T, mode notifyMode) *notifyLab {
	t.Helper()
	t.Parallel()
	p := lab.NewPair(t, bin, "../examples")
	p.Require("gobgpd", "gobgp", "dbus-daemon")
	l := &notifyLab{p, p.AddHost("router", "192.168.245.1/24"), map[string]*journal{}, map[string]*dbustest.Systemd{}, map[*lab.Host]bool{}}
	l.router.WriteFile("/etc/kad/gobgpd.toml", []byte(routerConf), 0o644)
	l.router.Start(gobgpd)
	own := strings.NewReplacer("192.168.245.52", "192.168.245.53", "loghost01", "loghost02")
	for _, h := range l.Relays() {
		hooks, daemon := readExample(t, "kad-notify/notify.toml")+unitHooks, readExample(t, "kad-notify/gobgpd.toml")
		conf := readExample(t, "keepalived/"+h.Name+"/keepalived.conf")
		if h == l.Loghost02 {
			daemon = own.Replace(daemon)
		}
		h.WriteFile("/etc/kad/notify.toml", []byte(hooks), 0o644)
		h.WriteFile("/etc/kad/gobgpd.toml", []byte(daemon), 0o644)
		h.WriteFile("/etc/keepalived/keepalived.conf", []byte(mode.adapt(t, conf)), 0o644)
		l.journals[h.Name] = listenJournal(t, h)
		l.systemd[h.Name] = startSystemd(t, h)
		h.Start(gobgpd)
		h.AwaitListener("tcp", "127.0.0.1:50051")
		h.Start(mode.daemon)
	}
	l.Up()
	l.awaitRoutes(lab.Normal, home)
	return l
}

// adapt makes a keepalived.conf of scripts one of the mode.
func (m notifyMode) adapt(t *testing.T, conf string) string {
	t.Helper()
	if !strings.Contains(conf, notifyLine) {
		t.Fatalf("no line %q in\n%s", notifyLine, conf)
	}
	if m.fifo {
		conf = strings.ReplaceAll(conf, notifyLine, "")
		conf = strings.Replace(conf, "global_defs {\n", "global_defs {\n    vrrp_notify_fifo /run/kad/notify.fifo root\n", 1)
	}
	return conf
}

const notifyLine = "    notify \"/usr/local/bin/kad-notify\"\n"

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const routerConf = `
[global.config]
  as = 64513
  router-id = "192.168.245.1"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.168.245.52"
    peer-as = 64512
  [neighbors.transport.config]
    passive-mode = true
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.168.245.53"
    peer-as = 64512
  [neighbors.transport.config]
    passive-mode = true
`

// Where the routes of the VIPs lead to.
var (
	home   = map[string]string{"192.168.245.100/32": "192.168.245.52", "192.168.245.101/32": "192.168.245.53"}
	only01 = map[string]string{"192.168.245.100/32": "192.168.245.52", "192.168.245.101/32": "192.168.245.52"}
	only02 = map[string]string{"192.168.245.100/32": "192.168.245.53", "192.168.245.101/32": "192.168.245.53"}
)

// routes returns the routes that the router has, by prefix: their next hops, joined by commas.
func (l *notifyLab) routes() (map[string]string, error) {
	r := l.router.Run("gobgp", "global", "rib", "-j")
	var table map[string][]struct {
		Attrs []struct {
			Type    int    `json:"type"`
			NextHop string `json:"nexthop"`
		} `json:"attrs"`
	}
	if r.Code != 0 {
		return nil, errors.New(r.Stdout + r.Stderr)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &table); err != nil {
		return nil, fmt.Errorf("%w: %s", err, r.Stdout)
	}
	routes := map[string]string{}
	for prefix, paths := range table {
		var hops []string
		for _, p := range paths {
			for _, a := range p.Attrs {
				if a.NextHop != "" {
					hops = append(hops, a.NextHop)
				}
			}
		}
		slices.Sort(hops)
		routes[prefix] = strings.Join(hops, ",")
	}
	return routes, nil
}

// awaitRoutes waits for a situation, and then for the router to have exactly these routes.
func (l *notifyLab) awaitRoutes(s lab.Situation, want map[string]string) {
	l.Await(s)
	l.Eventually(time.Minute, func() error {
		got, err := l.routes()
		if err == nil && !maps.Equal(got, want) {
			err = fmt.Errorf("the router has %v, want %v", got, want)
		}
		return err
	})
}

// The router sees the VIPs' routes move with them, whatever happens to keepalived and gobgpd.
func TestNotify(t *testing.T) {
	for _, mode := range notifyModes {
		t.Run(mode.name, func(t *testing.T) { testNotify(t, upNotify(t, mode)) })
	}
}

func testNotify(t *testing.T, l *notifyLab) {
	h := l.Loghost02
	for _, c := range []struct {
		name       string
		harm, mend func(lab.Program)
		program    lab.Program
	}{
		{"keepalived stopped", h.Stop, h.Start, lab.Keepalived},
		{"gobgpd killed", h.Kill, h.Start, gobgpd},
	} {
		t.Logf("%s", c.name)
		c.harm(c.program)
		if c.program.Name != gobgpd.Name {
			l.awaitRoutes(lab.Down, only01)
		}
		c.mend(c.program)
		if c.program.Name == gobgpd.Name {
			h.AwaitListener("tcp", "127.0.0.1:50051")
			if got := h.Run("kad-notify", "sync"); got.Code != 0 { // kad-notify-sync.service is part of gobgpd's
				t.Errorf("sync: %+v", got)
			}
		}
		l.awaitRoutes(lab.Normal, home)
	}
	// A killed keepalived leaves its VIP behind, and says nothing.
	h.Kill(lab.Keepalived)
	l.Eventually(time.Minute, func() error {
		got, err := l.routes()
		if err == nil && !maps.Equal(got, only01) {
			err = fmt.Errorf("keepalived killed: the router has %v, want %v", got, only01)
		}
		return err
	})
	h.Start(lab.Keepalived)
	l.awaitRoutes(lab.Normal, home)

	want := map[string]string{"INSTANCE": "loghost02-BACKUP", "STATE": "MASTER", "PREVIOUS_STATE": "BACKUP", "VIPS": "192.168.245.101", "VRRP_PRIORITY": "230"}
	if !l.journals["loghost01"].has(want) {
		t.Errorf("no %v in the journal of loghost01", want)
	}
	if state, err := h.ReadFile("/run/kad/state/loghost02-MASTER"); string(state) != "MASTER\n" {
		t.Errorf("state file: %q, %v", state, err)
	}
	r := h.Run("kad-notify", "history", "loghost02-MASTER")
	for _, word := range []string{"STOP", "MASTER", "route="} {
		if !strings.Contains(r.Stdout, word) {
			t.Errorf("no %s in the history\n%s%s", word, r.Stdout, r.Stderr)
		}
	}
}

// However hosts and daemons fail and come back, in the end the routes lead to where the VIPs are.
func TestNotifyRandom(t *testing.T) {
	for _, mode := range notifyModes {
		t.Run(mode.name, func(t *testing.T) {
			l := upNotify(t, mode)
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			for round := range 4 {
				for range 25 {
					h := l.Relays()[random.IntN(2)]
					l.shake(h, random.IntN(8))
					time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
				}
				for _, h := range l.Relays() {
					l.mend(h)
				}
				t.Logf("round %d", round)
				l.awaitRoutes(lab.Normal, home)
			}
		})
	}
}

// shake does one of eight things to a host.
func (l *notifyLab) shake(h *lab.Host, what int) {
	switch what {
	case 0:
		l.toggle(h, h.Kill)
	case 1:
		l.Eventually(time.Minute, func() error { // one that is just starting would be killed
			if r := h.Run("kad-status"); r.Code != 0 {
				return errors.New(r.Stderr)
			}
			return nil
		})
		h.Signal(lab.Keepalived, unix.SIGHUP)
	case 2:
		h.Restart(lab.Keepalived)
	case 3:
		h.Kill(lab.Keepalived)
		time.Sleep(200 * time.Millisecond) // until its children are reaped: keepalived takes them for a running one
		h.Start(lab.Keepalived)
	case 4:
		h.Heal() // a port that is down cannot be cut
		h.Cut()
	case 5:
		h.Heal()
	case 6:
		h.Unplug()
	case 7:
		l.toggle(h, h.Stop)
	}
}

// toggle ends syslog-ng where it runs, and starts it where it does not.
func (l *notifyLab) toggle(h *lab.Host, end func(lab.Program)) {
	if l.dead[h] {
		h.Start(lab.SyslogNG)
	} else {
		end(lab.SyslogNG)
	}
	l.dead[h] = !l.dead[h]
}

func (l *notifyLab) mend(h *lab.Host) {
	h.Heal()
	if l.dead[h] {
		l.toggle(h, nil)
	}
}

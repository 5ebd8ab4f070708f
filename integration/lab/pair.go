package lab

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Pair is a lab with two relays of the examples and a client of theirs.
type Pair struct {
	*Lab
	Loghost01, Loghost02, Client *Host

	setup setup
}

// A setup is what runs on both relays beside keepalived, and its files, by their names in examples.
type setup struct {
	keepalived string // directory of the hosts' keepalived.conf
	files      map[string]string
	programs   []Program // in the order of their start
	ready      string    // unix socket of what the relay is tracked by
	needs      []string  // programs of the machine
}

var (
	ofSyslogNG = setup{
		keepalived: "keepalived",
		files:      map[string]string{"syslog-ng/syslog-ng.conf": "/etc/syslog-ng/syslog-ng.conf"},
		programs:   []Program{SyslogNG},
		ready:      "/var/lib/syslog-ng/syslog-ng.ctl",
		needs:      []string{SyslogNG.Name},
	}
	ofForwarder = setup{
		keepalived: "pair",
		files:      map[string]string{"pair/forwarder.toml": "/etc/forwarder/forwarder.toml", "pair/track.toml": "/etc/kad/track.toml"},
		programs:   []Program{Forwarder, NotifyFIFO, Track},
		ready:      "/run/forwarder/control.sock",
	}
)

// NewPair returns the pair of examples/keepalived, with syslog-ng on the relays. Its configurations are in place, and nothing
// runs yet. It needs the programs that these configurations call in bin.
func NewPair(tb TB, bin, examples string) *Pair {
	tb.Helper()
	return newPair(tb, bin, examples, ofSyslogNG)
}

// NewForwarderPair is NewPair for examples/pair, with forwarder in the place of syslog-ng.
func NewForwarderPair(tb TB, bin, examples string) *Pair {
	tb.Helper()
	p := newPair(tb, bin, examples, ofForwarder)
	p.Client.configure(filepath.Join(examples, "pair", "client.toml"), "/etc/forwarder/forwarder.toml")
	return p
}

func newPair(tb TB, bin, examples string, s setup) *Pair {
	tb.Helper()
	l := New(tb, Options{Bin: bin})
	l.Require(append(s.needs, Keepalived.Name)...)
	p := &Pair{
		Lab:       l,
		Loghost01: l.AddHost("loghost01", "192.168.245.52/24"),
		Loghost02: l.AddHost("loghost02", "192.168.245.53/24"),
		Client:    l.AddHost("client", "192.168.245.10/24"),
		setup:     s,
	}
	for _, h := range l.hosts { // what the units ask for
		l.must(h, "mkdir", "-p", "/run/kad", "/run/forwarder", "/var/log/forwarder")
	}
	for _, h := range p.Relays() {
		h.configure(filepath.Join(examples, s.keepalived, h.Name, "keepalived.conf"), "/etc/keepalived/keepalived.conf")
		for from, to := range s.files {
			h.configure(filepath.Join(examples, from), to)
		}
		// keepalived drops a track script that it cannot run, and goes on without.
		l.must(h, "keepalived", "--config-test")
	}
	return p
}

func (h *Host) configure(from, to string) {
	h.lab.tb.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		h.lab.tb.Fatalf("lab: host %s: %v", h.Name, err)
	}
	h.WriteFile(to, text, 0o644)
}

// Relays returns loghost01 and loghost02.
func (p *Pair) Relays() []*Host { return []*Host{p.Loghost01, p.Loghost02} }

// Up starts all daemons on both relays, keepalived last, and waits for normal operation. The order spares the first check of a
// relay a failure.
func (p *Pair) Up() {
	p.tb.Helper()
	for _, h := range p.Relays() {
		for _, program := range p.setup.programs {
			h.Start(program)
		}
	}
	for _, h := range p.Relays() {
		h.AwaitListener("unix", p.setup.ready)
	}
	for _, h := range p.Relays() {
		h.Start(Keepalived)
	}
	p.Await(Normal)
}

// Situation is who holds which VIP of the pair.
type Situation struct {
	name string
	vips map[string][]string // by host
}

// Normal and Down, where loghost02's syslog-ng is down, are those that the specification shows with
// tables. In Down01 it is loghost01's. In Split the relays do not hear each other.
var (
	Normal = Situation{"normal", map[string][]string{"loghost01": {vip100}, "loghost02": {vip101}}}
	Down   = Situation{"down", map[string][]string{"loghost01": {vip100, vip101}}}
	Down01 = Situation{"down01", map[string][]string{"loghost02": {vip100, vip101}}}
	Split  = Situation{"split", map[string][]string{"loghost01": {vip100, vip101}, "loghost02": {vip100, vip101}}}
)

const (
	vip100 = "192.168.245.100"
	vip101 = "192.168.245.101"
)

// settled is how long a situation has to last to count: for a moment both relays may take the same VIP.
const settled = 200 * time.Millisecond

// Await waits until the VIPs are where the situation has them and stay there. It returns when they got
// there.
func (p *Pair) Await(s Situation) (since time.Time) {
	p.tb.Helper()
	p.Eventually(time.Minute, func() error {
		if err := p.is(s); err != nil {
			since = time.Time{}
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if d := time.Since(since); d < settled {
			return fmt.Errorf("%s, but only for %v", s.name, d)
		}
		return nil
	})
	return since
}

// is tells what is different from the situation.
func (p *Pair) is(s Situation) error {
	for _, h := range p.Relays() {
		if got, want := h.vips(), s.vips[h.Name]; !slices.Equal(got, want) {
			return fmt.Errorf("%s has the VIPs %v, in the situation %s they are %v", h.Name, got, s.name, want)
		}
	}
	return nil
}

// vips returns the host's addresses but its own.
func (h *Host) vips() (vips []string) {
	for _, a := range h.Addrs() {
		if a != h.addr {
			vips = append(vips, a.String())
		}
	}
	slices.Sort(vips)
	return vips
}

// Cluster runs "kad-status loghost01 loghost02" outside of the hosts, with the lab's Rsh for ssh.
func (p *Pair) Cluster() Result {
	p.tb.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(p.opts.Bin, "kad-status"), "--rsh", p.Rsh(), p.Loghost01.Name, p.Loghost02.Name)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return result(cmd.Run(), &stdout, &stderr)
}

//go:embed tables/*.txt
var tables embed.FS

// Table returns what kad-status prints on a relay in Normal or Down, as the specification has it, or
// by the same rules in Down01.
func (s Situation) Table(h *Host) string {
	table, err := tables.ReadFile("tables/" + s.name + "-" + h.Name + ".txt")
	if err != nil {
		h.lab.tb.Fatalf("lab: %v", err)
	}
	return string(table)
}

// SameTable tells whether two outputs of kad-status are the same byte for byte, PIDs aside.
func SameTable(got, want string) bool {
	return hidePIDs(got) == hidePIDs(want)
}

var pids = regexp.MustCompile(`(?m)^keepalived: PIDs => \d+,\d+$`)

func hidePIDs(table string) string { return pids.ReplaceAllString(table, "keepalived: PIDs =>") }

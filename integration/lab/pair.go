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

// Pair is a lab with the two relays of examples/keepalived and a client of theirs.
type Pair struct {
	*Lab
	Loghost01, Loghost02, Client *Host
}

// NewPair returns a pair with the configurations of the directory examples in place and nothing running
// yet. It needs the programs that these configurations call in bin.
func NewPair(tb TB, bin, examples string) *Pair {
	tb.Helper()
	l := New(tb, Options{Bin: bin})
	l.Require(Keepalived.Name, SyslogNG.Name)
	p := &Pair{
		Lab:       l,
		Loghost01: l.AddHost("loghost01", "192.168.245.52/24"),
		Loghost02: l.AddHost("loghost02", "192.168.245.53/24"),
		Client:    l.AddHost("client", "192.168.245.10/24"),
	}
	for _, h := range p.Relays() {
		h.configure(filepath.Join(examples, "keepalived", h.Name, "keepalived.conf"), "/etc/keepalived/keepalived.conf")
		h.configure(filepath.Join(examples, "syslog-ng", "syslog-ng.conf"), "/etc/syslog-ng/syslog-ng.conf")
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

// Up starts syslog-ng and keepalived on both relays and waits for normal operation. The order spares
// the first run of the track scripts a failure.
func (p *Pair) Up() {
	p.tb.Helper()
	for _, h := range p.Relays() {
		h.Start(SyslogNG)
	}
	for _, h := range p.Relays() {
		h.AwaitListener("unix", "/var/lib/syslog-ng/syslog-ng.ctl")
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
	p.Eventually(30*time.Second, func() error {
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

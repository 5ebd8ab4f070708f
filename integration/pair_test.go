package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

// upPair returns the pair of relays in normal operation.
func upPair(t *testing.T) *lab.Pair {
	t.Helper()
	t.Parallel()
	p := lab.NewPair(t, bin, "../examples")
	p.Up()
	return p
}

// TestTables holds kad-status against the tables of the specification.
func TestTables(t *testing.T) {
	p := upPair(t)
	checkTables(t, p, "normal", lab.Normal)
	checkVIPLines(t, p)
	for _, c := range []struct {
		name       string
		harm, mend func(lab.Program)
	}{
		{"killed", p.Loghost02.Kill, p.Loghost02.Start},
		{"hung", p.Loghost02.Hang, p.Loghost02.Continue},
	} {
		c.harm(lab.SyslogNG)
		p.Await(lab.Down)
		checkTables(t, p, "syslog-ng "+c.name+" on loghost02", lab.Down)
		c.mend(lab.SyslogNG)
		p.Await(lab.Normal)
		checkTables(t, p, "recovered", lab.Normal)
	}
}

func checkTables(t *testing.T, p *lab.Pair, name string, s lab.Situation) {
	for _, h := range p.Relays() {
		t.Run(name+"/"+h.Name, func(t *testing.T) {
			got := h.Run("kad-status")
			if want := s.Table(h); !lab.SameTable(got.Stdout, want) || got.Code != 0 {
				t.Errorf("exit %d, printed\n%s%s\nwant\n%s\n%s", got.Code, got.Stdout, got.Stderr, want, p.State())
			}
		})
	}
}

// The specification shows the addresses with prefix, scope and interface.
func checkVIPLines(t *testing.T, p *lab.Pair) {
	got := p.Loghost01.Run("sh", "-c", "ip a | grep inet.*eth0").Stdout
	const want = "    inet 192.168.245.52/24 brd 192.168.245.255 scope global eth0\n" +
		"    inet 192.168.245.100/32 scope global eth0\n"
	if got != want {
		t.Errorf("addresses: got\n%s\nwant\n%s", got, want)
	}
}

func TestSplitBrain(t *testing.T) {
	p := upPair(t)
	expect(t, p.Cluster(), clusterNormal)
	p.Loghost01.Cut()
	p.Await(lab.Split)
	expect(t, p.Cluster(), clusterSplit)
	p.Loghost01.Heal()
	p.Await(lab.Normal)
	expect(t, p.Cluster(), clusterNormal)
}

// TestSSH asks the relays from a third host, as one does.
func TestSSH(t *testing.T) {
	p := upPair(t)
	p.EnableSSH()
	view := func() lab.Result { return p.Client.Run("kad-status", "--timeout", "5s", "loghost01", "loghost02") }
	expect(t, view(), clusterNormal)
	p.Loghost01.Isolate()
	p.Loghost02.Isolate()
	p.Await(lab.Split)
	expect(t, view(), clusterSplit)
	p.Loghost02.Cut()
	expect(t, view(), lab.Result{Code: 1, Stdout: `
             VIP     ACTIVE ON   loghost01   loghost02      VERDICT
  -----------------------------------------------------------------
 192.168.245.100     loghost01      MASTER unreachable           ok
 192.168.245.101     loghost01      MASTER unreachable           ok
`, Stderr: "kad-status: loghost02: unreachable: no answer in 5s\n"})
	p.Loghost01.Heal()
	p.Loghost02.Heal()
	p.Await(lab.Normal)
	expect(t, view(), clusterNormal)
}

var (
	clusterNormal = lab.Result{Stdout: `
             VIP     ACTIVE ON   loghost01   loghost02      VERDICT
  -----------------------------------------------------------------
 192.168.245.100     loghost01      MASTER      BACKUP           ok
 192.168.245.101     loghost02      BACKUP      MASTER           ok
`}
	clusterSplit = lab.Result{Code: 1, Stdout: `
             VIP            ACTIVE ON   loghost01   loghost02      VERDICT
  ------------------------------------------------------------------------
 192.168.245.100  loghost01,loghost02      MASTER      MASTER  SPLIT BRAIN
 192.168.245.101  loghost01,loghost02      MASTER      MASTER  SPLIT BRAIN
`, Stderr: `kad-status: 192.168.245.100: SPLIT BRAIN: held by loghost01 and loghost02
kad-status: 192.168.245.101: SPLIT BRAIN: held by loghost01 and loghost02
`}
)

// expect compares whole results. Those wanted begin with a newline, for the reader's sake.
func expect(t *testing.T, got, want lab.Result) {
	t.Helper()
	want.Stdout = strings.TrimPrefix(want.Stdout, "\n")
	if got != want {
		t.Errorf("got exit %d\n%s%s\nwant exit %d\n%s%s", got.Code, got.Stdout, got.Stderr, want.Code, want.Stdout, want.Stderr)
	}
}

// TestTrouble asks a relay that has nothing good to say.
func TestTrouble(t *testing.T) {
	p := upPair(t)
	h := p.Loghost02
	for _, c := range []struct {
		name string
		harm func()
		code int
		says string // on stderr
	}{
		{"no carrier", h.Unplug, 0, "loghost02-MASTER: FAULT: interface eth0 has no carrier\n"},
		{"keepalived hangs", func() { h.Hang(lab.Keepalived) }, 69, "the process is stopped (SIGSTOP)\n"},
		{"keepalived is dead", func() { h.Kill(lab.Keepalived) }, 69, "no keepalived is running: "},
	} {
		c.harm()
		p.Eventually(time.Minute, func() error {
			got := h.Run("kad-status")
			if got.Code != c.code || !strings.Contains(got.Stderr, c.says) {
				return fmt.Errorf("%s: exit %d, %q, want exit %d, %q", c.name, got.Code, got.Stderr, c.code, c.says)
			}
			return nil
		})
	}
	h.Heal()
	h.Start(lab.Keepalived)
	p.Await(lab.Normal)
	checkTables(t, p, "recovered", lab.Normal)
}

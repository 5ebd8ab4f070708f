package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kad/integration/lab"
)

// TestForwarderPair breaks the pair of examples/pair in all ways while a client logs to it: the VIPs move and come back, and no
// message is lost.
func TestForwarderPair(t *testing.T) {
	t.Parallel()
	p := lab.NewForwarderPair(t, bin, "../examples")
	p.Up()
	p.Client.Start(lab.Forwarder)
	traffic := p.Send(10_000, 25*time.Second)
	for _, c := range []struct {
		name       string
		harm, mend func()
		situation  lab.Situation
	}{
		{"loghost01's forwarder is killed", func() { p.Loghost01.Kill(lab.Forwarder) }, func() { p.Loghost01.Start(lab.Forwarder) }, lab.Down01},
		{"loghost02's forwarder hangs", func() { p.Loghost02.Hang(lab.Forwarder) }, func() { p.Loghost02.Continue(lab.Forwarder) }, lab.Down},
		{"loghost01 is unplugged", p.Loghost01.Unplug, p.Loghost01.Heal, lab.Down01},
		{"loghost01 is drained", func() { p.Loghost01.WriteFile("/etc/kad/drain", nil, 0o644) }, func() { p.Loghost01.Run("rm", "/etc/kad/drain") }, lab.Down01},
	} {
		began := time.Now()
		c.harm()
		moved := p.Await(c.situation).Sub(began)
		for _, h := range p.Relays() {
			if _, ok := h.Running(lab.Forwarder); ok {
				h.Signal(lab.Forwarder, unix.SIGHUP)
			}
		}
		c.mend()
		p.Await(lab.Normal)
		t.Logf("%s: the VIP had moved after %v", c.name, moved.Round(time.Millisecond))
	}
	if traffic.Over() {
		t.Log("the last harm was done when all was sent")
	}
	got := traffic.Report()
	t.Logf("%+v", got)
	if got.Sent == 0 || got.Lost != 0 {
		t.Errorf("%+v\n%s", got, p.State())
	}
}

// TestForwarderHealth: kad-status shows beside the VIPs what the forwarders say of themselves.
func TestForwarderHealth(t *testing.T) {
	t.Parallel()
	p := lab.NewForwarderPair(t, bin, "../examples")
	p.Up()
	shown := func(health, verdict string) func() error {
		return func() error {
			want := fmt.Sprintf("       forwarder             -          ok%12s%13s\n", health, verdict)
			if got := p.Cluster(); !strings.HasSuffix(got.Stdout, want) || got.Code != 0 {
				return fmt.Errorf("exit %d, got\n%s%s\nwant at its end\n%s", got.Code, got.Stdout, got.Stderr, want)
			}
			return nil
		}
	}
	wide := func(h *lab.Host, health string) {
		t.Helper()
		got := h.Run("kad-status", "-o", "wide")
		lines := strings.Split(strings.TrimSuffix(got.Stdout, "\n"), "\n")
		if got.Code != 0 || !strings.HasSuffix(got.Stdout, "  "+health+"\n") || len(lines) != 6 || !strings.HasSuffix(lines[2], "  FORWARDER") {
			t.Errorf("exit %d, want %s, got\n%s%s", got.Code, health, got.Stdout, got.Stderr)
		}
	}
	p.Eventually(time.Minute, shown("ok", "ok"))
	wide(p.Loghost02, "ok")

	p.Loghost02.Hang(lab.Forwarder)
	p.Await(lab.Down)
	p.Eventually(time.Minute, shown("no answer", "FAILS"))
	wide(p.Loghost02, "no answer")

	p.Loghost02.Kill(lab.Forwarder)
	p.Eventually(time.Minute, shown("dead", "FAILS"))
	wide(p.Loghost02, "dead")
}

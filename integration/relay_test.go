package integration

import (
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

package destination

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/forwarder/internal/relp"
	"kad/pkg/testneed"
)

func loopback(host, port int) string { return fmt.Sprintf("127.0.0.%d:%d", host, port) }

// refuseRELP accepts connections and refuses their sessions. It counts them.
func refuseRELP(t *testing.T, address string) (l net.Listener, refused *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	refused = &atomic.Int32{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if n, _ := conn.Read(make([]byte, 1000)); n > 0 { // a probe sends nothing
					refused.Add(1)
					_, _ = conn.Write(relp.AppendResponse(nil, 1, []byte("500 not now")))
				}
			}()
		}
	}()
	return l, refused
}

func waitForServer(t *testing.T, d *Destination, server string) {
	t.Helper()
	waitFor(t, "use of "+server, func() bool { st, _ := d.Status(); return st.Connected == server })
}

// A server that refuses the session, or does not answer to its begin, is one that failed.
func TestRELPNoSession(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, address string){
		"refused": func(t *testing.T, address string) { refuseRELP(t, address) },
		"no answer": func(t *testing.T, address string) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			port := testneed.Port(t)
			begin(t, loopback(1, port))
			second := startRELP(t, loopback(2, port), allOK)
			d, finish := relpDestination(t, port, func(r *RELP) { r.ConnectTimeout = option.Duration(300 * time.Millisecond) })
			add(d, 0, 10)
			finish()
			got, _, _ := second.state()
			wantNumbers(t, got, 0, 10)
		})
	}
}

// Where one address of a name refuses the session, the next one is tried.
func TestRELPNextAddress(t *testing.T) {
	port := testneed.Port(t)
	fakeDNS(t, func(int) [][]byte { return [][]byte{{127, 0, 0, 9}, {127, 0, 0, 1}} })
	_, refused := refuseRELP(t, loopback(9, port))
	good := startRELP(t, loopback(1, port), allOK)
	d, finish := relpDestination(t, port, func(r *RELP) {
		r.Address, r.Failover, r.TimeReopen = "loghost.example", nil, option.Duration(time.Hour)
	})
	add(d, 0, 10)
	finish()
	got, _, _ := good.state()
	wantNumbers(t, got, 0, 10)
	if refused.Load() != 1 {
		t.Errorf("the first address was asked %d times", refused.Load())
	}
}

// The primary server is back when it answers, by RELP too: not while it takes connections alone. Nothing comes twice then.
func TestRELPFailback(t *testing.T) {
	port := testneed.Port(t)
	second := startRELP(t, loopback(2, port), allOK)
	d, finish := relpDestination(t, port, func(r *RELP) {
		r.Failover.Failback = &Failback{TCPProbeInterval: option.Duration(10 * time.Millisecond), SuccessfulProbesRequired: 2}
	})
	add(d, 0, 500)
	waitForServer(t, d, "127.0.0.2")
	l, refused := refuseRELP(t, loopback(1, port))
	waitFor(t, "refused probes", func() bool { return refused.Load() >= 3 })
	if st, _ := d.Status(); st.Connected != "127.0.0.2" || !strings.Contains(st.ProbeError, "500 not now") && st.GoodProbes == 0 || st.FailedProbes < 2 {
		t.Errorf("status %+v", st)
	}
	l.Close()
	first := startRELP(t, loopback(1, port), allOK)
	next := 500
	waitFor(t, "failback", func() bool {
		add(d, next, next+10)
		next += 10
		st, _ := d.Status()
		return st.Connected == "127.0.0.1"
	})
	add(d, next, next+500)
	finish()
	before, _, closed := second.state()
	after, sessions, _ := first.state()
	wantNumbers(t, append(before, after...), 0, next+500)
	if len(before) < 500 || len(after) < 500 || closed != 1 || sessions != 1 {
		t.Errorf("%d messages before, %d after; %d sessions closed, %d opened", len(before), len(after), closed, sessions)
	}
	if st, _ := d.Status(); st.Switches != 1 || st.ResentUnacknowledged+st.ResentUnread > 0 {
		t.Errorf("status %+v", st)
	}
}

// Another server is used when somebody says so, and kept when it fails if it is pinned. Nothing comes twice by the switch.
func TestRELPSwitch(t *testing.T) {
	port := testneed.Port(t)
	first := startRELP(t, loopback(1, port), allOK)
	var failing atomic.Bool
	second := startRELP(t, loopback(2, port), func(got []int) ([]byte, bool) {
		if failing.Load() {
			return nil, true
		}
		return allOK(got)
	})
	d, finish := relpDestination(t, port, func(r *RELP) { r.TimeReopen = option.Duration(10 * time.Millisecond) })
	add(d, 0, 500)
	waitForServer(t, d, "127.0.0.1")
	if err := d.Switch(t.Context(), "127.0.0.2", true); err != nil {
		t.Fatal(err)
	}
	add(d, 500, 1000)
	waitForServer(t, d, "127.0.0.2")
	waitFor(t, "answers", func() bool { _, _, _, waiting := d.Counts(); return waiting == 0 })
	failing.Store(true)
	add(d, 1000, 1001)
	waitFor(t, "more attempts", func() bool { _, sessions, _ := second.state(); return sessions > 3 })
	got, _, _ := first.state()
	if st, _ := d.Status(); !st.Pinned || st.Current != "127.0.0.2" || len(got) > 1000 {
		t.Errorf("status %+v, the first server has %d messages", st, len(got))
	}
	if err := d.Unpin(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForServer(t, d, "127.0.0.1")
	add(d, 1001, 1500)
	finish()
	after, sessions, _ := first.state()
	taken, _, _ := second.state()
	all := append(append(append([]string{}, got...), taken[:1000-len(got)]...), after[len(got):]...)
	wantNumbers(t, all, 0, 1500)
	if sessions != 2 {
		t.Errorf("%d sessions of the first server, want 2", sessions)
	}
}

package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/integration/lab"
)

// trackWatch is kad-track.service, but passes as soon as syslog-ng is back.
var trackWatch = lab.Program{Name: "kad-track", Argv: []string{"kad-track", "watch",
	"--track-file", trackFile, "--syslog-ng", "--rise", "1"}}

const (
	trackFile   = "/run/kad/relay.track"
	failoverVIP = "192.168.245.100"
)

// failoverConf is a keepalived.conf without preemption, so that the VIP stays where it went: its VRRP
// version and advert_int, what is tracked, and where.
const failoverConf = `global_defs {
    enable_script_security
    script_user root
}
%[3]s
vrrp_instance relay {
    state BACKUP
    nopreempt
    interface eth0
    virtual_router_id 100
    priority 230
    version %[1]d
    advert_int %[2]s
    virtual_ipaddress {
        ` + failoverVIP + `
    }
    %[4]s {
        relay
    }
}
`

// A tracking is a way in which keepalived gets to know of syslog-ng's death.
type tracking struct{ block, list string }

var (
	byScript = tracking{`vrrp_script relay {
    script "/usr/local/bin/kad-track --syslog-ng"
    interval 1
    timeout 3
}`, "track_script"}
	byFile = tracking{`track_file relay {
    file ` + trackFile + `
    weight 0
}`, "track_file"}
)

// BenchmarkFailover kills syslog-ng on the MASTER and takes the time until a client is answered at the
// VIP, by the other relay: with kad-track as a track_script at interval 1, then with kad-track watch.
// Each is done at least ten times, -benchtime=30x does it thirty times.
func BenchmarkFailover(b *testing.B) {
	for _, v := range []struct {
		name    string
		version int
		advert  string
	}{{"VRRPv2-advert-1", 2, "1"}, {"VRRPv3-advert-0.1", 3, "0.1"}} {
		b.Run(v.name, func(b *testing.B) {
			times := func(t tracking) []time.Duration {
				return failovers(b, fmt.Sprintf(failoverConf, v.version, v.advert, t.block, t.list), max(10, b.N))
			}
			script, watch := times(byScript), times(byFile)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(median(script)), "ms/script")
			b.ReportMetric(milliseconds(slices.Max(script)), "ms/script-max")
			b.ReportMetric(milliseconds(median(watch)), "ms/watch")
			b.ReportMetric(milliseconds(slices.Max(watch)), "ms/watch-max")
			b.ReportMetric(float64(median(script))/float64(median(watch)), "script/watch")
		})
	}
}

// failovers has the VIP go to and fro between two relays, and returns how long it took each time.
func failovers(b *testing.B, conf string, runs int) (took []time.Duration) {
	p := lab.NewPair(b, bin, "../examples")
	for _, h := range p.Relays() {
		h.WriteFile("/etc/keepalived/keepalived.conf", []byte(conf), 0o644)
		h.Start(lab.SyslogNG)
		h.AwaitListener("unix", "/var/lib/syslog-ng/syslog-ng.ctl")
		if strings.Contains(conf, trackFile) {
			h.WriteFile(trackFile, []byte("1\n"), 0o644)
			h.Start(trackWatch)
			p.Eventually(time.Minute, func() error { return passes(h) })
		}
		h.Start(lab.Keepalived)
	}
	for range runs {
		master, backup := awaitRoles(p)
		time.Sleep(rand.N(time.Second)) // the script runs each second
		begin := time.Now()
		master.Kill(lab.SyslogNG)
		err := p.Client.Do(awaitAnswer)
		took = append(took, time.Since(begin))
		if err != nil {
			b.Fatalf("%v\n%s", err, p.State())
		}
		if !slices.Contains(backup.Addrs(), netip.MustParseAddr(failoverVIP)) {
			b.Fatalf("answered, but not by %s\n%s", backup.Name, p.State())
		}
		master.Start(lab.SyslogNG)
	}
	return took
}

// passes returns nil when the track_file says so.
func passes(h *lab.Host) error {
	text, err := h.ReadFile(trackFile)
	if err == nil && string(text) != "0\n" {
		err = fmt.Errorf("%s: the track_file says %q", h.Name, text)
	}
	return err
}

// awaitRoles waits until one relay is MASTER and the other one BACKUP, ready to take over.
func awaitRoles(p *lab.Pair) (master, backup *lab.Host) {
	p.Eventually(time.Minute, func() error {
		master, backup = nil, nil
		for _, h := range p.Relays() {
			switch dump := h.Run("kad-status", "--output", "json").Stdout; {
			case strings.Contains(dump, `"live": "MASTER"`):
				master = h
			case strings.Contains(dump, `"live": "BACKUP"`):
				backup = h
			}
		}
		if master == nil || backup == nil {
			return errors.New("want a MASTER and a BACKUP")
		}
		return nil
	})
	return master, backup
}

// awaitAnswer connects to the VIP until that succeeds. A SYN that finds nobody is not waited for.
func awaitAnswer() error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.DialTimeout("tcp", failoverVIP+":601", 3*time.Millisecond)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}

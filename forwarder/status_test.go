package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kad/forwarder/internal/stats"
	"kad/pkg/cli/clitest"
)

// snapshots are those of a relay whose primary server has gone, ten seconds apart.
func snapshots() (before, now *stats.Snapshot) {
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.Local)
	make := func(at time.Time, n uint64) *stats.Snapshot {
		return &stats.Snapshot{
			Schema: stats.Schema, Time: at, Version: "1.0.0", Started: at.Add(-50 * time.Hour),
			Configuration: stats.Configuration{Loaded: time.Date(2026, 11, 22, 8, 0, 0, 0, time.Local), Reloads: 1},
			Sources: []stats.Source{
				{Name: "s_net", Driver: "network", Received: 81_234_567 + 20*n, Connections: 12, BlockedBy: []string{}},
				{Name: "s_net", Index: 1, Driver: "network", Received: 4_321_000 + n, KernelDrops: 4711, Truncated: 3, BlockedBy: []string{"d_archive"}},
				{Name: "s_local", Driver: "unix_dgram", Received: 48_211, BlockedBy: []string{}},
			},
			Paths: []stats.Path{{Name: "auth", Matched: 1_234_567 + n}, {Name: "auth.sudo", Matched: 4021}, {Name: "rest", Matched: 84_369_211 + 20*n}},
			Destinations: []stats.Destination{
				{
					Name: "d_central", Driver: "syslog", State: stats.Connected, Sent: 85_603_778 + 21*n, Routed: 85_603_898 + 21*n,
					Dropped: map[string]uint64{"queue_full": 0}, Resent: map[string]uint64{"unacknowledged": 12, "unread": 0},
					Queued: 120, Bytes: 24_576, Oldest: at.Add(-20 * time.Millisecond), IsOnDisk: true,
					Server: &stats.Server{
						Servers: []string{"primary.example.com", "failover1.example.com"}, Current: "failover1.example.com",
						Address: "192.0.2.7:6514", Since: at.Add(-125 * time.Minute), Switches: 1,
						Probes: 125, FailedProbes: 125, ProbeError: "dial tcp 192.0.2.6:6514: connect: connection refused",
						Errors: []string{"it has not answered for dead_peer_timeout", ""},
					},
				},
				{
					Name: "d_archive", Driver: "program", State: stats.Failing, Error: "write |1: broken pipe", Sent: 1_234_000, Routed: 1_254_567,
					Dropped: map[string]uint64{"queue_full": 10_567}, Resent: map[string]uint64{},
					Queued: 10_000, Bytes: 2_134_567, Oldest: at.Add(-11 * time.Minute), Blocked: 612.4, Blocks: []string{"s_net"},
				},
				{Name: "d_a_file_with_a_very_long_name", Driver: "file", State: stats.Working, Sent: 4021, Routed: 4021},
			},
		}
	}
	return make(at, 0), make(at.Add(10*time.Second), 10_000)
}

func TestStatusScreens(t *testing.T) {
	before, now := snapshots()
	for name, text := range map[string]string{
		"status":          newView(now, nil, false).String(),
		"status --watch":  newView(now, before, false).String(),
		"status -o wide":  newView(now, nil, true).String(),
		"failover status": serverTable(now, now.Destinations[:1]),
	} {
		clitest.Screen(t, "README.md", "forwarder "+name, text, *update)
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > screenWidth && !strings.Contains(name, "wide") {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
	clitest.Screen(t, "../README.md", "forwarder status", newView(now, nil, false).String(), *update)
	clitest.Screen(t, "../docs/scale-out.md", "forwarder status", newView(streaming(now), nil, false).String(), *update)
}

// streaming is a snapshot of what consumes a stream, publishes to another one, and has just lost the leader of both.
func streaming(like *stats.Snapshot) *stats.Snapshot {
	s := *like
	leader := stats.Stream{
		Server: "nats://nats2:4222", Cluster: "logs", Leader: "nats3", LeaderChanges: 1,
		Replicas: []stats.Replica{{Name: "nats1", Lag: 4711}, {Name: "nats2", IsCurrent: true}},
	}
	from, to := leader, leader
	from.Name, from.Messages, from.Pending, from.InFlight, from.Duplicates = "LOGS", 81_234_567, 12_345, 1024, 12
	to.Name, to.Messages, to.InFlight, to.Lag, to.Leader = "ALERTS", 4021, 17, 2.25, ""
	s.Sources = []stats.Source{{Name: "s_stream", Driver: "nats", Received: 81_221_198, BlockedBy: []string{}, Stream: &from}}
	s.Paths = []stats.Path{{Name: "alerts", Matched: 4038}}
	s.Destinations = []stats.Destination{{
		Name: "d_alerts", Driver: "nats", State: stats.Working, Sent: 4021, Routed: 4038, Queued: 17, Bytes: 4352, Oldest: s.Time.Add(-2250 * time.Millisecond), Stream: &to,
	}}
	return &s
}

func TestShort(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 99_999: "99999", 100_000: "100k", 999_499: "999k", 999_500: "1.00M", 1_234_567: "1.23M", 12_345_678: "12.3M",
		123_456_789: "123M", 18_446_744_073_709_551_615: "18.4E",
	} {
		if got := short(n); got != want {
			t.Errorf("short(%d): got %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1.00K", 24_576: "24.0K", 1<<20 - 1: "1.00M"} {
		if got := size(n); got != want {
			t.Errorf("size(%d): got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", time.Hour: "1h", 47 * time.Hour: "47h", 49 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("age(%v): got %s, want %s", d, got, want)
		}
	}
	if got := clip("a\x1b[2Jb", 0); got != "a\uFFFD[2Jb" {
		t.Errorf("clip: got %q", got)
	}
}

// --watch on a pipe writes one screen after the other without any escape codes, also of a forwarder that has gone.
func TestStatusWatch(t *testing.T) {
	for name, socket := range map[string]string{"/S": steered(t), "no forwarder answers": t.TempDir() + "/control.sock"} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		done := make(chan int)
		go func() {
			done <- run(ctx, []string{"forwarder", "status", "--watch", "--socket", socket}, nil, w, io.Discard)
			w.Close()
		}()
		var shown strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(shown.String(), name) {
			n, err := r.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, shown.String())
			}
			shown.Write(buf[:n])
		}
		cancel()
		go io.Copy(io.Discard, r)
		if code := <-done; code != 0 || strings.Contains(shown.String(), "\x1b") {
			t.Errorf("code %d, %q", code, shown.String())
		}
	}
}

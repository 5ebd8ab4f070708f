package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A destination that nobody listens at, with room for 100 messages: the rest is dropped.
func TestCountersOfSyslogNG(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddress(t))
	s := startSyslogNG(t, fmt.Sprintf(`destination dead { network("127.0.0.1" port(%s) transport(tcp) log-fifo-size(100)); };
log { source(s); destination(dead); };`, port))
	flags := []string{"--syslog-ng=" + s.control, "--state-dir", t.TempDir()}
	with := func(more ...string) []string { return append(slices.Clone(flags), more...) }

	expect(t, "", with("--queue-below", "1")...)
	expect(t, "", with("--dropped-below", "1/1h")...)

	conn, err := net.Dial("tcp", s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, strings.Repeat("<46>Nov 22 01:02:03 client test: message\n", 500))
	eventually(t, "500 messages have arrived", func() bool {
		text, _ := os.ReadFile(s.logFile)
		return strings.Count(string(text), "\n") == 500
	})
	eventually(t, "400 of them are dropped", func() bool {
		code, _, _ := kadTrack(t, with("--dropped-below", "400/1h")...)
		return code == 1
	})
	name := "destination dead#0 tcp,127.0.0.1:" + port
	expect(t, "syslog-ng="+s.control+": 100 messages wait for "+name, with("--queue-below", "100")...)
	expect(t, "", with("--queue-below", "101")...)
	expect(t, "syslog-ng="+s.control+": 400 messages dropped in the last 1h0m0s", with("--dropped-below", "400/1h")...)
	expect(t, "", with("--dropped-below", "401/1h")...)
}

func TestStatsOfOtherVersions(t *testing.T) {
	const stats = `SourceName;SourceId;SourceInstance;State;Type;Number
dst.file;d#0;/var/log/a;o;queued;500
dst.file;"d;x#0";/var/log/b;d;queued;7
dst.network;n#0;tcp,192.0.2.1:601;a;dropped;3
dst.network;n#0;tcp,192.0.2.1:601;a;memory_usage;3000
global;scratch_buffers_bytes;;a;queued;4096
center;;queued;a;processed;12
dst.short;a
.
`
	socket := serve(t, func(conn net.Conn) {
		command := make([]byte, 100)
		if n, _ := conn.Read(command); string(command[:n]) == "STATS CSV\n" {
			conn.Write([]byte(stats))
		}
	})
	got, err := syslogNGCounters(t.Context(), socket)
	want := []destination{{name: `"d x#0" /var/log/b`, queued: 7}, {name: "n#0 tcp,192.0.2.1:601", dropped: 3}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	expect(t, `syslog-ng's counter "dst.x;y;z;a;queued;-1": "-1" is not a number`, "--queue-below", "1",
		"--syslog-ng="+serve(t, func(conn net.Conn) {
			command := make([]byte, 100)
			n, _ := conn.Read(command)
			if strings.HasPrefix(string(command[:n]), "STATS") {
				conn.Write([]byte("dst.x;y;z;a;queued;-1\n"))
			}
			conn.Write([]byte(".\n"))
		}))
}

func TestRecord(t *testing.T) {
	s := func(at int, total uint64) sample { return sample{time.Duration(at) * time.Second, total} }
	tests := []struct {
		name    string
		history []sample
		now     sample
		want    []sample // over an interval of 60 s
	}{
		{"first", nil, s(100, 5), []sample{s(100, 5)}},
		{"second", []sample{s(100, 5)}, s(101, 6), []sample{s(100, 5), s(101, 6)}},
		{"thinned", []sample{{s(99, 0).at + 5e8, 4}, s(100, 5)}, sample{s(100, 0).at + 1e8, 6},
			[]sample{{s(99, 0).at + 5e8, 4}, {s(100, 0).at + 1e8, 6}}},
		{"the base stays", []sample{s(30, 1), s(50, 2), s(100, 3)}, s(105, 4), []sample{s(30, 1), s(50, 2), s(100, 3), s(105, 4)}},
		{"the base moves", []sample{s(30, 1), s(50, 2), s(100, 3)}, s(110, 4), []sample{s(50, 2), s(100, 3), s(110, 4)}},
		{"long pause", []sample{s(30, 1), s(50, 2)}, s(1000, 4), []sample{s(50, 2), s(1000, 4)}},
		{"daemon restarted", []sample{s(30, 7), s(50, 8)}, s(60, 2), []sample{s(60, 2)}},
		{"host restarted", []sample{s(30, 1), s(50, 2)}, s(7, 2), []sample{s(7, 2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := record(tt.history, tt.now, time.Minute); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// However often it is called, the history stays short and counts the growth of the interval.
func TestRecordLong(t *testing.T) {
	var history []sample
	for i := range 100_000 {
		now := sample{time.Duration(i) * 7 * time.Millisecond, uint64(i)}
		history = record(history, now, time.Minute)
		if len(history) > 2*resolution+2 {
			t.Fatalf("%d samples", len(history))
		}
		want := min(i, 60_000/7)
		if got := int(now.total - history[0].total); got < want || got > want+want/resolution+2 {
			t.Fatalf("sample %d: grown by %d, want %d", i, got, want)
		}
	}
}

func TestHistoryFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "new", "history")
	if n, err := droppedWithin(time.Minute, file, 10); n != 0 || err != nil {
		t.Errorf("first: %d, %v", n, err)
	}
	if n, err := droppedWithin(time.Minute, file, 13); n != 3 || err != nil {
		t.Errorf("second: %d, %v", n, err)
	}
	write(t, file, "garbage\n")
	if n, err := droppedWithin(time.Minute, file, 20); n != 0 || err != nil {
		t.Errorf("after garbage: %d, %v", n, err)
	}
	if _, err := droppedWithin(time.Minute, filepath.Join(write(t, filepath.Join(dir, "f"), ""), "x"), 1); err == nil {
		t.Error("no error where no file can be")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "new", ".*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestCounterFlags(t *testing.T) {
	for value, why := range map[string]string{
		"":     "want a number of messages from 1",
		"0":    "want a number of messages from 1",
		"-1":   "want a number of messages from 1",
		"many": "want a number of messages from 1",
	} {
		expect(t, "--queue-below "+value+": "+why, "--queue-below="+value)
	}
	for value, why := range map[string]string{
		"10":     "want N/INTERVAL with a duration such as 30s or 5m",
		"0/1m":   "want N/INTERVAL with a number of messages from 1",
		"10/0s":  "want N/INTERVAL with a duration such as 30s or 5m",
		"10/min": "want N/INTERVAL with a duration such as 30s or 5m",
	} {
		expect(t, "--dropped-below "+value+": "+why, "--dropped-below", value)
	}
}

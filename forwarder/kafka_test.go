package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kad/forwarder/internal/kafka/kafkatest"
	"kad/forwarder/internal/stats"
	"kad/pkg/testneed"
)

// The example of Kafka works: what a relay took while no broker answered, and that was killed, is in the archive when they do.
func TestKafkaExample(t *testing.T) {
	dir, port := t.TempDir(), testneed.Port(t)
	c := kafkatest.Start(t, kafkatest.Options{})
	start := func(name, brokers string) (kill func()) {
		text, err := os.ReadFile(filepath.Join(examples, name+".toml"))
		if err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf("[options]\ntime_reopen = \"50ms\"\ncontrol_socket = \"%s/%s.sock\"\n", dir, name)
		config += strings.NewReplacer("[options]\n", "", `"kafka1:9092", "kafka2:9092", "kafka3:9092"`, brokers, "/var/log/hosts", dir+"/hosts",
			"port = 514", fmt.Sprintf("ip = \"127.0.0.1\"\nport = %d", port), "reliable = true", fmt.Sprintf("dir = %q\nreliable = true", dir)).Replace(string(text))
		file := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return startForwarder(t, file)
	}
	status := func(name string) (s stats.Snapshot) {
		_, text, _ := forwarder(t, "", "status", "--socket", dir+"/"+name+".sock", "-o", "json")
		_ = json.Unmarshal([]byte(text), &s) // it may not run yet
		return s
	}
	send := func(from, to int) {
		t.Helper()
		waitFor(t, func() bool {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return false
			}
			for n := from; n < to; n++ {
				fmt.Fprintf(conn, "<13>Oct 11 22:14:15 web app: message %03d\n", n)
			}
			conn.Close()
			return true
		})
	}
	kill := start("kafka-site", `"127.0.0.1:1"`)
	send(0, 100)
	waitFor(t, func() bool {
		s := status("kafka-site")
		return len(s.Destinations) == 1 && s.Destinations[0].Queued == 100 && s.Destinations[0].State == stats.Failing
	})
	kill()

	brokers := `"` + strings.Join(c.ListenAddrs(), `", "`) + `"`
	defer start("kafka-site", brokers)()
	defer start("kafka-archive", brokers)()
	send(100, 200)
	var lines []string
	waitFor(t, func() bool {
		text, _ := os.ReadFile(dir + "/hosts/web.log")
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return len(lines) >= 200
	})
	for n, line := range lines {
		if !strings.HasSuffix(line, fmt.Sprintf("app: message %03d", n)) {
			t.Fatalf("line %d of %d: %q", n, len(lines), line)
		}
	}
	s := status("kafka-archive").Sources[0].Stream
	if s.Name != "logs" || s.Cluster != "lab" || len(s.Replicas) != 2 {
		t.Errorf("stream %+v", s)
	}
	_, screen, _ := forwarder(t, "", "status", "--socket", dir+"/kafka-archive.sock")
	if i := slices.IndexFunc(strings.Split(screen, "\n"), func(line string) bool { return strings.Contains(line, "cluster lab, leader ") }); i < 0 {
		t.Errorf("status has no cluster:\n%s", screen)
	}
}

package stats

import (
	"bytes"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the table of docs/metrics.md")

// full is a snapshot in which there is something for each metric.
func full() Snapshot {
	at := time.Unix(1_800_000_000, 0)
	batches := NewHistogram(1, 10)
	batches.Observe(5, 2)
	return Snapshot{
		Time: at, Version: "1.0.0", Configuration: Configuration{Loaded: at, Reloads: 2, Failed: 1, Error: "no"},
		Sources: []Source{{Name: "s", Index: 1, Received: 10, Connections: 2, KernelDrops: 3, BlockedBy: []string{"d"}, Stream: &Stream{Pending: 6}}},
		Paths:   []Path{{Name: "all.one", Matched: 4}},
		Destinations: []Destination{
			{
				Name: "d", State: Connected, Routed: 9, Sent: 7, Dropped: map[string]uint64{"queue_full": 1}, Resent: map[string]uint64{"unread": 2},
				Queued: 1, Bytes: 100, Oldest: at.Add(-90 * time.Second), Blocked: 1.5, Batches: batches, Delays: NewHistogram(1),
				Server: &Server{Servers: []string{"a", "b", "a"}, Current: "b", Switches: 1, Probes: 5, FailedProbes: 3},
			},
			{Name: "f", State: Failing, Stream: &Stream{Server: "nats://a", Lag: 1.5, Duplicates: 3, LeaderChanges: 2}},
		},
		Certificates: []Certificate{{User: "destination d", NotAfter: at}},
		VIPs:         []VIP{{Address: "192.0.2.100", IsHeld: true}},
	}
}

func TestMetrics(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(full).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.String()
	for _, want := range []string{
		`forwarder_received_messages_total{driver="1",source="s"} 10`,
		`forwarder_kernel_dropped_datagrams_total{driver="1",source="s"} 3`,
		`forwarder_source_blocked{destination="d",driver="1",source="s"} 1`,
		`forwarder_matched_messages_total{log_path="all.one"} 4`,
		`forwarder_dropped_messages_total{destination="d",reason="queue_full"} 1`,
		`forwarder_resent_messages_total{destination="d",reason="unread"} 2`,
		`forwarder_queue_oldest_seconds{destination="d"} 90`,
		`forwarder_queue_oldest_seconds{destination="f"} 0`,
		`forwarder_batch_messages_bucket{destination="d",le="10"} 2`,
		`forwarder_batch_messages_sum{destination="d"} 10`,
		`forwarder_destination_up{destination="f"} 0`,
		`forwarder_server_in_use{destination="d",server="a"} 0`,
		`forwarder_server_in_use{destination="d",server="b"} 1`,
		`forwarder_probes_total{destination="d",result="success"} 2`,
		`forwarder_stream_up{user="destination f"} 1`,
		`forwarder_stream_up{user="source s 1"} 0`,
		`forwarder_stream_pending_messages{user="source s 1"} 6`,
		`forwarder_stream_ack_lag_seconds{user="destination f"} 1.5`,
		`forwarder_stream_duplicates_total{user="destination f"} 3`,
		`forwarder_stream_leader_changes_total{user="destination f"} 2`,
		`forwarder_certificate_expiry_timestamp_seconds{user="destination d"} 1.8e+09`,
		`forwarder_vip_held{address="192.0.2.100"} 1`,
		`forwarder_last_reload_successful 0`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, m := range metrics() {
		if !strings.Contains(got, "\n# TYPE "+m.name+" ") {
			t.Errorf("%s has no value in a full snapshot", m.name)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// Names are as Prometheus wants them: https://prometheus.io/docs/practices/naming/
func TestMetricNames(t *testing.T) {
	shape := regexp.MustCompile(`^forwarder(_[a-z]+)+$`)
	for _, m := range metrics() {
		if !shape.MatchString(m.name) || strings.HasSuffix(m.name, "_total") != (m.kind == counter) || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s: %q", m.name, m.help)
		}
	}
}

// The page has the metrics that the program has.
func TestPage(t *testing.T) {
	const page, begin, end = "../../../docs/metrics.md", "<!-- metrics: written by go test -update -->\n\n", "\n<!-- end of metrics -->"
	was, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	table.WriteString("| name | type | labels | what |\n| --- | --- | --- | --- |\n")
	for _, m := range metrics() {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
	}
	head, rest, found := strings.Cut(string(was), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	is := head + begin + table.String() + end + tail
	if is == string(was) {
		return
	}
	if !*update {
		t.Fatalf("%s is not up to date; go test -update rewrites it", page)
	}
	if err := os.WriteFile(page, []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

package destination

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"kad/forwarder/internal/jetstream/natstest"
	"kad/forwarder/internal/kafka/kafkatest"
	"kad/forwarder/internal/option"
)

// A destination whose options a reload changes goes on with the queue of the one before: what that has published is not
// published again.
func TestPublisherHandover(t *testing.T) {
	t.Run("nats", func(t *testing.T) {
		server := natstest.Start(t, "")
		stream := server.Stream(natstest.Config{})
		first, next := natsDriver(server.URL), natsDriver(server.URL)
		next.Window, next.BatchMessages = 16, 5
		handOver(t, first, next, func(int) []string { return messages(t, stream) })
	})
	t.Run("kafka", func(t *testing.T) {
		c := kafkatest.Start(t, kafkatest.Options{})
		first, next := kafkaDriver(c.ListenAddrs()...), kafkaDriver(c.ListenAddrs()...)
		next.Window = 16
		handOver(t, first, next, func(count int) (texts []string) {
			for _, r := range c.Read("logs", count) {
				texts = append(texts, string(r.Value))
			}
			return texts
		})
	})
}

func handOver(t *testing.T, first, next Driver, published func(count int) []string) {
	t.Helper()
	first.Settings().Driver, next.Settings().Driver = "log", "log"
	before := startNATS(t, first)
	const count = 2000
	before.send(texts(0, count/2)...)
	before.until("messages flow", func() bool { _, _, sent, _ := before.Counts(); return sent > 0 })
	if err := next.Init(); err != nil {
		t.Fatal(err)
	}
	d := New("d", next)
	if !d.CanInherit(before.Destination) {
		t.Fatal("it cannot inherit")
	}
	if err := d.Inherit(before.Destination); err != nil {
		t.Fatal(err)
	}
	after := runNATS(t, d)
	after.send(texts(count/2, count)...)
	after.untilSent(count)
	var want []string
	for _, text := range texts(0, count) {
		want = append(want, "<38>1 1970-01-01T00:00:00+00:00 web1.example.com sshd - - - "+text)
	}
	got := published(count)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d messages are published, %d different ones, want %d", len(got), len(slices.Compact(got)), count)
	}
}

// The dead letter file that cannot be written keeps what is too large, until it can.
func TestPublisherBuries(t *testing.T) {
	server := natstest.Start(t, "max_payload: 1KB")
	server.Stream(natstest.Config{})
	n := natsDriver(server.URL)
	dir := t.TempDir()
	n.WhenTooLarge, n.DeadLetterFile, n.TimeReopen = "dead_letter", dir+"/a/dead", option.Duration(20*time.Millisecond)
	r := startNATS(t, n)
	r.send(fmt.Sprintf("%02000d", 1))
	r.untilFailure("no such file or directory")
	if _, dropped, sent, waiting := r.Counts(); dropped != 0 || sent != 0 || waiting != 1 {
		t.Errorf("dropped %d, sent %d, waiting %d", dropped, sent, waiting)
	}
	if err := os.Mkdir(dir+"/a", 0o700); err != nil {
		t.Fatal(err)
	}
	r.until("it is buried", func() bool { _, dropped, _, waiting := r.Counts(); return dropped == 1 && waiting == 0 })
}

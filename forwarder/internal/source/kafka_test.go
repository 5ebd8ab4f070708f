package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kad/forwarder/internal/kafka"
	"kad/forwarder/internal/kafka/kafkatest"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func kafkaSource(c *kafkatest.Cluster) *Kafka {
	globals := option.Defaults()
	globals.TimeReopen = option.Duration(50 * time.Millisecond)
	k := newKafka(&globals).(*Kafka)
	k.Brokers, k.Topics, k.Group = []string{"127.0.0.1:1"}, []string{"logs"}, "g"
	if c != nil {
		k.Brokers = c.ListenAddrs()
	}
	k.leaveTimeout = 200 * time.Millisecond
	return k
}

// publishKafka publishes numbered messages and returns what a source has to give of them.
func publishKafka(c *kafkatest.Cluster, from, to int) (want []string) {
	var texts []string
	for i := from; i < to; i++ {
		texts = append(texts, fmt.Sprintf("<13>1 2026-11-22T01:02:03Z h a - - - %06d", i))
		want = append(want, fmt.Sprintf("%06d", i))
	}
	c.Publish("logs", texts...)
	return want
}

// wantSorted waits for so many lines and compares them, whatever their order: it is that of partitions.
func wantSorted(t *testing.T, c *capture, want []string) {
	t.Helper()
	var got []string
	for range 6 { // a broker is asked again after a while
		if got = slices.Sorted(slices.Values(c.wait(len(want)))); len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func untilCommitted(t *testing.T, c *kafkatest.Cluster, want int64) {
	t.Helper()
	var got int64
	for range 1200 {
		if got = c.Committed("g", "logs"); got == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d committed, want %d", got, want)
}

func TestKafka(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	want := publishKafka(c, 0, 50)
	r := run(t, kafkaSource(c), "$MSG")
	wantSorted(t, r.capture, want)
	untilCommitted(t, c, 50)
	s := streamOf(r)
	if s.Name != "logs" || s.Cluster != "lab" || s.Leader == "" || s.Pending != 0 || s.InFlight != 0 || s.Error != "" {
		t.Errorf("status %+v", s)
	}
	r.stop()
	want = publishKafka(c, 50, 60)
	wantSorted(t, start(t, kafkaSource(c), "$MSG"), want) // goes on behind what is committed
}

// What is not safe is not committed, nor is what came after it; what the source leaves is consumed again.
func TestKafkaReceipt(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	r := run(t, kafkaSource(c), "$MSG")
	r.hold.Store(true)
	want := publishKafka(c, 0, 10)
	wantSorted(t, r.capture, want)
	if n := streamOf(r).InFlight; n != 10 {
		t.Errorf("%d in flight", n)
	}
	r.stop()
	if n := c.Committed("g", "logs"); n != 0 {
		t.Errorf("%d committed", n)
	}
	r = run(t, kafkaSource(c), "$MSG")
	r.hold.Store(true)
	wantSorted(t, r.capture, want)
	release(r.capture, (*logmsg.Receipt).Release)
	untilCommitted(t, c, 10)
}

// What is lost is consumed again, in the same run.
func TestKafkaLost(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	r := run(t, kafkaSource(c), "$MSG")
	r.hold.Store(true)
	want := publishKafka(c, 0, 10)
	wantSorted(t, r.capture, want)
	r.capture.hold.Store(false)
	release(r.capture, (*logmsg.Receipt).Lose)
	wantSorted(t, r.capture, slices.Sorted(slices.Values(append(want, want...))))
	untilCommitted(t, c, 10)
}

// A member that joins takes over a partition, and one that leaves gives its own back: what is safe is consumed once.
func TestKafkaRebalance(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	one := run(t, kafkaSource(c), "$MSG")
	want := publishKafka(c, 0, 20)
	wantSorted(t, one.capture, want)
	two := run(t, kafkaSource(c), "$MSG")
	publishKafka(c, 20, 400)
	both := func(count int) (got []string) {
		for range 1000 {
			got = append(one.capture.wait(0), two.capture.wait(0)...)
			if len(got) >= count {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		return slices.Sorted(slices.Values(got))
	}
	if got := both(400); len(got) != 400 || len(slices.Compact(got)) != 400 {
		t.Fatalf("%d messages, want 400", len(got))
	}
	untilCommitted(t, c, 400)
	two.stop()
	publishKafka(c, 400, 500)
	if got := both(500); len(got) != 500 || len(slices.Compact(got)) != 500 {
		t.Fatalf("%d messages after one has left, want 500", len(got))
	}
}

// Errors that pass cost nothing. A leader that changes is not among them: kfake forgets where the epoch of the one before has
// ended, which the driver takes for lost records.
func TestKafkaFaults(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	r := run(t, kafkaSource(c), "$MSG")
	want := publishKafka(c, 0, 10)
	wantSorted(t, r.capture, want)
	for n, breaks := range []func(){
		c.RehashCoordinators,
		func() { c.Fail(kmsg.Fetch, kerr.NotLeaderForPartition, 3) },
		func() { c.Fail(kmsg.OffsetCommit, kerr.CoordinatorLoadInProgress, 3) },
		func() { c.Fail(kmsg.Heartbeat, kerr.NotCoordinator, 1) },
	} {
		untilCommitted(t, c, int64(len(want))) // what is not may come again
		breaks()
		want = append(want, publishKafka(c, 10+10*n, 20+10*n)...)
		wantSorted(t, r.capture, want)
	}
	untilCommitted(t, c, int64(len(want)))
}

// What is wrong is said, and when it is put right it goes on.
func TestKafkaWrong(t *testing.T) {
	t.Run("no broker", func(t *testing.T) {
		t.Parallel()
		untilError(t, run(t, kafkaSource(nil), "$MSG"), "127.0.0.1:1: unable to dial: dial tcp 127.0.0.1:1: connect: connection refused")
	})
	t.Run("no topic", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{NoTopic: true})
		r := run(t, kafkaSource(c), "$MSG")
		untilError(t, r, `topic "logs" does not exist: make it, or have the brokers make what is asked for`)
		c.MakeTopic("logs")
		wantSorted(t, r.capture, publishKafka(c, 0, 3))
	})
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{User: "relay"})
		k := kafkaSource(c)
		k.SASL = &kafka.SASL{Mechanism: "scram_sha_256", User: "relay", PasswordFile: filepath.Join(t.TempDir(), "password")}
		if err := os.WriteFile(k.SASL.PasswordFile, []byte("guess"), 0o600); err != nil {
			t.Fatal(err)
		}
		untilError(t, run(t, k, "$MSG"), "user, password or mechanism may be wrong")
	})
	t.Run("group", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{})
		end := c.Fail(kmsg.JoinGroup, kerr.GroupAuthorizationFailed, -1)
		r := run(t, kafkaSource(c), "$MSG")
		untilError(t, r, "GROUP_AUTHORIZATION_FAILED")
		end()
		wantSorted(t, r.capture, publishKafka(c, 0, 3))
	})
	t.Run("commit", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{})
		end := c.Fail(kmsg.OffsetCommit, kerr.GroupAuthorizationFailed, -1)
		r := run(t, kafkaSource(c), "$MSG")
		wantSorted(t, r.capture, publishKafka(c, 0, 3))
		untilError(t, r, "what is safe cannot be committed: GROUP_AUTHORIZATION_FAILED")
		end()
		untilCommitted(t, c, 3)
	})
}

func TestKafkaInit(t *testing.T) {
	for _, test := range []struct {
		set  func(k *Kafka)
		want string
	}{
		{func(k *Kafka) { k.Brokers = nil }, `brokers: brokers are required, like ["192.0.2.1:9092"]`},
		{func(k *Kafka) { k.Topics = nil }, `topics: topics are required, like ["logs"]`},
		{func(k *Kafka) { k.Topics = []string{"a", ".."} }, `topics[1]: ".." is no name of a topic: it is not . or .., and has 1 to 249 characters`},
		{func(k *Kafka) { k.Group = "" }, "group: the name of the consumer group is required"},
		{func(k *Kafka) { k.Window = 1 }, "window: 1 is not from 512 to 1048576"},
	} {
		k := kafkaSource(nil)
		test.set(k)
		if err := k.Init(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

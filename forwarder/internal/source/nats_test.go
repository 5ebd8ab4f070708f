package source

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/jetstream/natstest"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/stats"
)

func natsSource(url string) *NATS {
	globals := option.Defaults()
	globals.TimeReopen = option.Duration(50 * time.Millisecond)
	n := newNATS(&globals).(*NATS)
	n.Servers, n.Stream, n.Consumer = []string{url}, "LOGS", "c"
	n.AckWait = option.Duration(time.Second)
	n.leaveTimeout = 200 * time.Millisecond
	return n
}

// A natsTest has a server with a stream.
type natsTest struct {
	*natstest.Server
	t *testing.T
}

func newNATSTest(t *testing.T) *natsTest {
	n := &natsTest{natstest.Start(t, ""), t}
	n.Stream(natstest.Config{})
	return n
}

func (n *natsTest) publish(from, to int) (want []string) {
	n.t.Helper()
	js := n.JetStream()
	for i := from; i < to; i++ {
		if _, err := js.Publish(n.t.Context(), "logs.a.b", fmt.Appendf(nil, "<13>1 2026-11-22T01:02:03Z h a - - - %d", i)); err != nil {
			n.t.Fatal(err)
		}
		want = append(want, fmt.Sprint(i))
	}
	return want
}

// wantPending waits until so many messages are delivered and not acknowledged, and no others wait.
func (n *natsTest) wantPending(want int) {
	n.t.Helper()
	js := n.JetStream()
	state := ""
	for range 1000 {
		if c, err := js.Consumer(n.t.Context(), "LOGS", "c"); err != nil {
			state = err.Error()
		} else if i := c.CachedInfo(); i.NumAckPending == want && i.NumPending == 0 {
			return
		} else {
			state = fmt.Sprintf("%d delivered, %d wait", i.NumAckPending, i.NumPending)
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.t.Fatalf("%s, want %d delivered", state, want)
}

func wantLines(t *testing.T, c *capture, want []string) {
	t.Helper()
	if got := c.wait(len(want)); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestNATS(t *testing.T) {
	n := newNATSTest(t)
	want := n.publish(0, 3)
	c := start(t, natsSource(n.URL), "$HOST $MSG")
	for i, line := range want {
		want[i] = "h " + line
	}
	wantLines(t, c, want)
	n.wantPending(0)
}

// A batch is its messages; what is none, though it says so, is one message with all that cannot be told apart.
func TestNATSBatch(t *testing.T) {
	n := newNATSTest(t)
	js := n.JetStream()
	const head = "<13>1 - h a - - - " // of 18 bytes
	for _, text := range []string{"21 " + head + "one21 " + head + "two", "23 " + head + "three99 " + head, head + "none", ""} {
		if _, err := js.PublishMsg(t.Context(), natstest.Message("logs.a", text, "Syslog-Batch", "2")); err != nil {
			t.Fatal(err)
		}
	}
	c := start(t, natsSource(n.URL), "$MSGHDR$MSG")
	wantLines(t, c, []string{"a: one", "a: two", "a: three", "99 " + head, "a: none"})
	n.wantPending(0)
}

// A message is acknowledged when it is safe; until then it is delivered again and not taken again.
func TestNATSReceipt(t *testing.T) {
	n := newNATSTest(t)
	r := run(t, natsSource(n.URL), "$MSG")
	r.hold.Store(true)
	want := n.publish(0, 10)
	wantLines(t, r.capture, want)
	time.Sleep(2500 * time.Millisecond) // twice ack_wait
	n.wantPending(10)
	wantLines(t, r.capture, want)
	release(r.capture, (*logmsg.Receipt).Release)
	n.wantPending(0)
}

// What is lost is delivered again.
func TestNATSLost(t *testing.T) {
	n := newNATSTest(t)
	r := run(t, natsSource(n.URL), "$MSG")
	r.hold.Store(true)
	want := n.publish(0, 10)
	wantLines(t, r.capture, want)
	r.capture.hold.Store(false)
	release(r.capture, (*logmsg.Receipt).Lose)
	wantLines(t, r.capture, append(want, want...))
	n.wantPending(0)
}

// A server that is killed, or a consumer that is deleted, costs nothing and doubles nothing.
func TestNATSRestart(t *testing.T) {
	n := newNATSTest(t)
	want := n.publish(0, 100)
	c := start(t, natsSource(n.URL), "$MSG")
	wantLines(t, c, want)
	n.wantPending(0)
	n.Kill()
	n.Restart()
	want = append(want, n.publish(100, 200)...)
	wantLines(t, c, want)
	n.wantPending(0)
	if err := n.JetStream().DeleteConsumer(t.Context(), "LOGS", "c"); err != nil {
		t.Fatal(err)
	}
	want = append(want, n.publish(200, 300)...)
	wantLines(t, c, want)
	n.wantPending(0)
	wantLines(t, c, want)
}

// A stream that is deleted and made anew has other messages by the same numbers: they are taken.
func TestNATSStreamAnew(t *testing.T) {
	n := newNATSTest(t)
	r := run(t, natsSource(n.URL), "$MSG")
	want := n.publish(0, 10)
	wantLines(t, r.capture, want)
	n.wantPending(0)
	if err := n.JetStream().DeleteStream(t.Context(), "LOGS"); err != nil {
		t.Fatal(err)
	}
	untilError(t, r, "not exist")
	n.Stream(natstest.Config{})
	want = append(want, n.publish(10, 15)...)
	wantLines(t, r.capture, want)
	n.wantPending(0)
	if e := streamOf(r).Error; e != "" {
		t.Errorf("error %q", e)
	}
}

// What is wrong is said, and when it is put right it goes on.
func TestNATSWrong(t *testing.T) {
	t.Run("no server", func(t *testing.T) {
		untilError(t, run(t, natsSource("nats://127.0.0.1:1"), "$MSG"), "nats://127.0.0.1:1: nats: no servers available for connection")
	})
	t.Run("no stream", func(t *testing.T) {
		n := &natsTest{natstest.Start(t, ""), t}
		r := run(t, natsSource(n.URL), "$MSG")
		untilError(t, r, `stream "LOGS" does not exist: make it, or give create_stream`)
		n.Stream(natstest.Config{})
		wantLines(t, r.capture, n.publish(0, 3))
	})
	t.Run("credentials", func(t *testing.T) {
		user := natstest.NewUser(t)
		server := natstest.Start(t, "authorization { users: [{ nkey: "+user.Public+" }] }")
		d := natsSource(server.URL)
		d.NKeyFile = natstest.NewUser(t).File(t)
		untilError(t, run(t, d, "$MSG"), "nats: Authorization Violation")
	})
	t.Run("a consumer without acknowledgements", func(t *testing.T) {
		n := newNATSTest(t)
		if err := n.Consumer("c", natstest.NoAcknowledgement); err != nil {
			t.Fatal(err)
		}
		untilError(t, run(t, natsSource(n.URL), "$MSG"), `consumer "c" has the acknowledgement policy AckNone, want explicit`)
	})
}

func streamOf(r *running) stats.Stream { return r.runner.(Streamer).Stream() }

func untilError(t *testing.T, r *running, want string) {
	t.Helper()
	for range 1000 {
		if strings.Contains(streamOf(r).Error, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("error %q, want %q", streamOf(r).Error, want)
}

func TestNATSInit(t *testing.T) {
	for _, test := range []struct {
		set  func(n *NATS)
		want string
	}{
		{func(n *NATS) { n.Consumer = "a.b" }, "consumer: the name of a durable consumer is required, without blanks and any of . * > / \\"},
		{func(n *NATS) { n.Window = 0 }, "window: 0 is not from 1 to 32768"},
		{func(n *NATS) { n.AckWait = 0 }, "ack_wait: 0s is below the minimum 1s"},
		{func(n *NATS) { n.Stream = "" }, "stream: the name of a stream is required, without blanks and any of . * > / \\"},
	} {
		n := natsSource("nats://127.0.0.1:1")
		test.set(n)
		if err := n.Init(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// release lets go of the receipts that are held.
func release(c *capture, how func(r *logmsg.Receipt)) {
	for {
		select {
		case r := <-c.held:
			how(r)
		default:
			return
		}
	}
}

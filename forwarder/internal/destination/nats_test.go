package destination

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/jetstream"
	"kad/forwarder/internal/jetstream/natstest"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"
)

func natsDriver(servers ...string) *NATS {
	n := newNATS(&option.Globals{LogFIFOSize: 100000, LogFIFOBytes: 64 << 20, TimeReopen: option.Duration(50 * time.Millisecond)}).(*NATS)
	n.Servers, n.Stream, n.Subject = servers, "LOGS", template.Must("logs.$HOST.$PROGRAM")
	return n
}

// A natsRun is a destination that runs.
type natsRun struct {
	*Destination
	t    *testing.T
	done chan error
}

func startNATS(t *testing.T, n Driver) *natsRun {
	t.Helper()
	if err := n.Init(); err != nil {
		t.Fatal(err)
	}
	return runNATS(t, New("d", n))
}

func runNATS(t *testing.T, d *Destination) *natsRun {
	r := &natsRun{d, t, make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { r.done <- r.Run(ctx, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// send routes messages with these texts.
func (r *natsRun) send(texts ...string) {
	b := r.NewBatch()
	for _, text := range texts {
		b.Add(natsMessage(text), true)
	}
	b.Flush(nil)
}

func natsMessage(text string) *logmsg.Message {
	m := &logmsg.Message{}
	m.Reset(&logmsg.Origin{}, syslog.Time{})
	m.Priority, m.Hostname, m.AppName, m.Msg = syslog.NewPriority(syslog.Auth, syslog.Info), []byte("web1.example.com"), []byte("sshd"), []byte(text)
	return m
}

// until waits for a condition.
func (r *natsRun) until(what string, condition func() bool) {
	r.t.Helper()
	for range 3000 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("%s: not so; failure %q", what, r.Failure())
}

func (r *natsRun) untilSent(n uint64) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d sent", n), func() bool { _, _, sent, _ := r.Counts(); return sent == n })
}

func (r *natsRun) untilFailure(text string) {
	r.t.Helper()
	r.until("failure "+text, func() bool { return strings.Contains(r.Failure(), text) })
}

// texts are numbered messages.
func texts(from, to int) (list []string) {
	for n := from; n < to; n++ {
		list = append(list, fmt.Sprintf("message %d", n))
	}
	return list
}

func TestNATS(t *testing.T) {
	server := natstest.Start(t, "")
	stream := server.Stream(natstest.Config{})
	r := startNATS(t, natsDriver(server.URL))
	r.send("first")
	r.untilSent(1)
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "logs.web1_example_com.sshd" {
		t.Errorf("subject %q", m.Subject)
	}
	if want := "<38>1 1970-01-01T00:00:00+00:00 web1.example.com sshd - - - first"; string(m.Data) != want {
		t.Errorf("got %q, want %q", m.Data, want)
	}
	for name, want := range map[string]string{"Syslog-Facility": "auth", "Syslog-Severity": "info", "Syslog-Host": "web1.example.com", "Syslog-Program": "sshd"} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if id := m.Header.Get("Nats-Msg-Id"); !strings.HasPrefix(id, messageIDs()) {
		t.Errorf("id %q does not begin with %q", id, messageIDs())
	}
	s, _ := r.Stream()
	if s == nil || s.Name != "LOGS" || s.Server == "" || s.InFlight != 0 {
		t.Errorf("status %+v", s)
	}
}

// A server that is killed costs nothing and doubles nothing, whatever was on its way, one by one or in batches.
func TestNATSRestart(t *testing.T) {
	for _, batch := range []int{1, 7} {
		t.Run(fmt.Sprintf("batches of %d", batch), func(t *testing.T) { restartNATS(t, batch) })
	}
}

func restartNATS(t *testing.T, batch int) {
	server := natstest.Start(t, "")
	stream := server.Stream(natstest.Config{})
	n := natsDriver(server.URL)
	n.Window, n.BatchMessages = 64, batch
	r := startNATS(t, n)
	const count = 3000
	go func() {
		for i := 0; i < count; i += 10 {
			r.send(texts(i, i+10)...)
			time.Sleep(time.Millisecond)
		}
	}()
	for kill := range 3 {
		before := uint64(kill * 700)
		r.until("messages flow", func() bool { _, _, sent, _ := r.Counts(); return sent > before })
		server.Kill()
		server.Restart()
	}
	r.untilSent(count)
	if got := messages(t, stream); len(got) != count {
		t.Errorf("the stream has %d messages, want %d", len(got), count)
	}
}

// messages are all that a stream has, out of its batches.
func messages(t *testing.T, stream natstest.Reader) (list []string) {
	t.Helper()
	for _, m := range natstest.Read(t, stream) {
		if m.Header.Get("Syslog-Batch") == "" {
			list = append(list, string(m.Data))
			continue
		}
		framer := syslog.Framer{Framing: syslog.OctetCounting}
		for b := m.Data; len(b) > 0; {
			text, used, err := framer.Next(b)
			if err != nil || text == nil {
				t.Fatalf("batch %q: %v", m.Data, err)
			}
			list, b = append(list, string(text)), b[used:]
		}
	}
	return list
}

// What one read brings for one subject is one message of the stream, up to the limits; of one letter it has its headers.
func TestNATSBatch(t *testing.T) {
	server := natstest.Start(t, "max_payload: 4KB")
	stream := server.Stream(natstest.Config{})
	n := natsDriver(server.URL)
	n.BatchMessages, n.BatchBytes = 20, 1<<20
	r := startNATS(t, n)
	want := texts(0, 50)
	r.send(want...) // 20, 20, 10
	r.send("alone") // 1
	want = append(want, "alone")
	long := strings.Repeat("0123456789", 100)
	for range 10 {
		want = append(want, long)
	}
	r.send(want[51:]...)                                 // 3, 3, 3, 1
	r.send("before", strings.Repeat("x", 5000), "after") // 1, 1 that is cut, 1
	r.untilSent(64)
	got := messages(t, stream)
	for i, text := range append(want, "before", "x", "after") {
		if i >= len(got) || !strings.Contains(got[i], "- - - "+text) {
			t.Fatalf("message %d is not %.50q: %.200q", i, text, got)
		}
	}
	var counts, ids []string
	for _, m := range natstest.Read(t, stream) {
		counts = append(counts, m.Header.Get("Syslog-Batch"))
		ids = append(ids, m.Header.Get("Nats-Msg-Id"))
		if isAlone := bytes.HasSuffix(m.Data, []byte("- alone")); isAlone != (m.Header.Get("Syslog-Program") != "") && counts[len(counts)-1] != "" {
			t.Errorf("headers %v of %q", m.Header, m.Data)
		}
	}
	if want := []string{"20", "20", "10", "", "3", "3", "3", "", "", "", ""}; !slices.Equal(counts, want) {
		t.Errorf("batches of %q, want %q", counts, want)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(counts) {
		t.Errorf("ids %q are not of one message each", ids)
	}
	if s, _ := r.Stream(); s.InFlight != 0 || s.Cut != 1 {
		t.Errorf("status %+v", s)
	}
}

// Batches are the same when the queue gives their messages again, joined to others: the stream knows them.
func TestNATSBatchResend(t *testing.T) {
	server := natstest.Start(t, "")
	stream := server.Stream(natstest.Config{})
	n := natsDriver(server.URL)
	n.BatchMessages = 4
	if err := n.Init(); err != nil {
		t.Fatal(err)
	}
	format := n.Format()
	reads := make([]*queue.Batch, 3)
	for i := range reads {
		b := queue.Get(0)
		for j := range 6 {
			m := &logmsg.Message{}
			m.Reset(&logmsg.Origin{}, syslog.Time{})
			m.Hostname, m.AppName, m.Msg = []byte("h"), []byte("a"), fmt.Append(nil, i, j)
			b.Data = format.Append(b.Data, m, &template.Context{})
			b.Ends = append(b.Ends, len(b.Data))
		}
		reads[i] = b
	}
	joined := queue.Get(1 << 16)
	for _, b := range reads {
		if !joined.Join(&queue.Batch{Data: b.Data, Ends: b.Ends}) {
			t.Fatal("batches do not join")
		}
	}
	r := startNATS(t, n)
	for _, b := range reads {
		r.queue.Append(b)
	}
	r.untilSent(18)
	r.queue.Append(joined)
	r.untilSent(36)
	if got := messages(t, stream); len(got) != 18 {
		t.Errorf("the stream has %d messages, want 18: %q", len(got), got)
	}
}

// What a queue gives again, as after a crash, bears the ids that it had, and is not doubled.
func TestNATSResend(t *testing.T) {
	server := natstest.Start(t, "")
	stream := server.Stream(natstest.Config{})
	for range 2 {
		r := startNATS(t, natsDriver(server.URL))
		b := queue.Get(0)
		b.Data = append(b.Data, "logs.a.b\nNats-Msg-Id: 17\n\ntext"...)
		b.Ends = append(b.Ends, len(b.Data))
		r.queue.Append(b)
		r.untilSent(1)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("the stream has %d messages, %v", info.State.Msgs, err)
	}
}

func TestNATSTooLarge(t *testing.T) {
	server := natstest.Start(t, "max_payload: 1KB")
	stream := server.Stream(natstest.Config{})
	long := strings.Repeat("0123456789", 250)
	dead := filepath.Join(t.TempDir(), "dead")
	next := uint64(1)
	for _, test := range []struct {
		action string
		parts  int
	}{{"truncate", 1}, {"split", 4}, {"dead_letter", 0}} {
		n := natsDriver(server.URL)
		n.WhenTooLarge, n.DeadLetterFile = test.action, dead
		r := startNATS(t, n)
		r.send(long, "short")
		r.until("all is settled", func() bool { _, dropped, sent, waiting := r.Counts(); return sent+dropped == 2 && waiting == 0 })
		text := ""
		for i := range test.parts {
			m, err := stream.GetMsg(t.Context(), next)
			if err != nil {
				t.Fatal(err)
			}
			next++
			head := "<38>1 1970-01-01T00:00:00+00:00 web1.example.com sshd - - - "
			rest, ok := strings.CutPrefix(string(m.Data), head)
			if !ok {
				t.Errorf("%s: part %q has no head", test.action, m.Data)
			}
			text += rest
			if got, want := m.Header.Get("Syslog-Part"), fmt.Sprintf("%d/%d", i+1, test.parts); test.action == "split" && got != want {
				t.Errorf("part %q, want %q", got, want)
			}
			if got, want := m.Header.Get("Syslog-Truncated"), fmt.Sprint(len(head)+len(long)); test.action == "truncate" && got != want {
				t.Errorf("truncated %q, want %q", got, want)
			}
		}
		s, _ := r.Stream()
		switch test.action {
		case "truncate":
			if !strings.HasPrefix(long, text) || len(text) < 500 || s.Cut != 1 {
				t.Errorf("truncate: %d bytes, %d cut", len(text), s.Cut)
			}
		case "split":
			if text != long || s.Cut != 1 {
				t.Errorf("split: got %q, %d cut", text, s.Cut)
			}
		case "dead_letter":
			if b, err := os.ReadFile(dead); err != nil || !bytes.HasSuffix(b, []byte(long+"\n\n")) || r.Dropped()["dead_letter"] != 1 {
				t.Errorf("dead letters %q, %v", b, err)
			}
		}
		m, err := stream.GetMsg(t.Context(), next)
		if err != nil || !strings.HasSuffix(string(m.Data), "short") {
			t.Errorf("%s: the next one is not there: %v", test.action, err)
		}
		next++
	}
}

// What is wrong is said, nothing is lost, and when it is put right it goes on.
func TestNATSWrong(t *testing.T) {
	t.Run("no server", func(t *testing.T) {
		r := startNATS(t, natsDriver("nats://127.0.0.1:1"))
		r.untilFailure("nats://127.0.0.1:1: nats: no servers available for connection")
	})
	t.Run("no stream", func(t *testing.T) {
		server := natstest.Start(t, "")
		r := startNATS(t, natsDriver(server.URL))
		r.send("first")
		r.untilFailure(`stream "LOGS" does not exist: make it, or give create_stream`)
		server.Stream(natstest.Config{})
		r.untilSent(1)
	})
	t.Run("stream deleted", func(t *testing.T) {
		server := natstest.Start(t, "")
		server.Stream(natstest.Config{})
		r := startNATS(t, natsDriver(server.URL))
		r.send("first")
		r.untilSent(1)
		if err := server.JetStream().DeleteStream(t.Context(), "LOGS"); err != nil {
			t.Fatal(err)
		}
		r.send("second")
		r.untilFailure(`stream "LOGS" does not exist`)
		server.Stream(natstest.Config{})
		r.untilSent(2)
	})
	t.Run("stream full", func(t *testing.T) {
		server := natstest.Start(t, "")
		stream := server.Stream(natstest.Full(2))
		r := startNATS(t, natsDriver(server.URL))
		r.send("first", "second", "third")
		r.untilFailure("maximum messages exceeded")
		if err := stream.DeleteMsg(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		r.untilSent(3)
	})
	t.Run("subject of no stream", func(t *testing.T) {
		server := natstest.Start(t, "")
		server.Stream(natstest.Config{})
		n := natsDriver(server.URL)
		n.Subject = template.Must("other.$HOST")
		r := startNATS(t, n)
		r.send("first")
		r.untilFailure(`stream "LOGS" does not take it: it has no leader, or not the subject`)
	})
}

// A stream is made if the configuration says so, and described by it.
func TestNATSCreateStream(t *testing.T) {
	server := natstest.Start(t, "")
	n := natsDriver(server.URL)
	n.CreateStream = &jetstream.CreateStream{Subjects: []string{"logs.>"}}
	r := startNATS(t, n)
	r.send("first")
	r.untilSent(1)
	s, err := server.JetStream().Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.Duplicates != 2*time.Minute || c.Replicas != 1 || len(c.Subjects) != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestNATSSubject(t *testing.T) {
	n := natsDriver("nats://127.0.0.1:1")
	n.Subject = template.Must("logs.$HOST.${PROGRAM}.x$PID")
	for _, test := range []struct{ host, program, want string }{
		{"web1", "sshd", "logs.web1.sshd.x_"},
		{"web1.example.com", "a b", "logs.web1_example_com.a_b.x_"},
		{"", "$SYS>*", "logs._._SYS__.x_"},
		{"h\nNats-Msg-Id: 1", "\xff\x00é", "logs.h_Nats-Msg-Id:_1.____.x_"},
		{strings.Repeat("a", 1000), "b", "logs." + strings.Repeat("a", 128) + ".b.x_"},
	} {
		m := &logmsg.Message{}
		m.Reset(&logmsg.Origin{}, syslog.Time{})
		m.Hostname, m.AppName = []byte(test.host), []byte(test.program)
		head, _, _ := strings.Cut(string(n.Format().Append(nil, m, &template.Context{})), "\n")
		if head != test.want {
			t.Errorf("%q, %q: got %q, want %q", test.host, test.program, head, test.want)
		}
	}
}

func TestNATSInit(t *testing.T) {
	for _, test := range []struct {
		set  func(n *NATS)
		want string
	}{
		{func(n *NATS) { n.Servers = nil }, `servers: servers are required, like ["nats://192.0.2.1:4222"]`},
		{func(n *NATS) { n.Servers = []string{"192.0.2.1"} }, `servers[0]: a server is not like "nats://192.0.2.1:4222" or "tls://192.0.2.1:4222"`},
		{func(n *NATS) { n.Servers = []string{"nats://u:secret@h"} }, "servers[0]: no user and password here, where each may read them: use credentials_file or nkey_file"},
		{func(n *NATS) { n.Stream = "a.b" }, "stream: the name of a stream is required, without blanks and any of . * > / \\"},
		{func(n *NATS) { n.Subject = nil }, `subject: the subject is required, like "logs.$HOST.$PROGRAM"`},
		{func(n *NATS) { n.Subject = template.Must("logs..$HOST") }, `subject: "logs..$HOST" has an empty token: no dot at an end, nor two in a row`},
		{func(n *NATS) { n.Subject = template.Must("logs.>") }, `subject: "logs.>" has a blank, * or >, or begins with a dollar`},
		{func(n *NATS) { n.NKeyFile = "/dev/null" }, "nkey_file: /dev/null has no seed: nkeys: no nkey seed found"},
		{func(n *NATS) { n.Window = 0 }, "window: 0 is not from 1 to 65536"},
		{func(n *NATS) { n.BatchMessages = 0 }, "batch_messages: 0 is not from 1 to 65536"},
		{func(n *NATS) { n.BatchBytes = 1 }, "batch_bytes: 1 is not from 1024 to 67108864"},
		{func(n *NATS) { n.WhenTooLarge = "drop" }, `when_too_large: "drop" is not known, want truncate, split or dead_letter`},
		{func(n *NATS) { n.WhenTooLarge = "dead_letter" }, `dead_letter_file: required for when_too_large = "dead_letter"`},
		{func(n *NATS) { n.CreateStream = &jetstream.CreateStream{} }, `create_stream.subjects: the subjects of the stream are required, like ["logs.>"]`},
	} {
		n := natsDriver("nats://127.0.0.1:1")
		test.set(n)
		if err := n.Init(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

package destination

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/kafka"
	"kad/forwarder/internal/kafka/kafkatest"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/template"
	"kad/pkg/syslog"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func kafkaDriver(brokers ...string) *Kafka {
	globals := option.Defaults()
	globals.TimeReopen = option.Duration(50 * time.Millisecond)
	k := newKafka(&globals).(*Kafka)
	k.Brokers, k.Topic = brokers, template.Must("logs")
	return k
}

func headersOf(r *kgo.Record) map[string]string {
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	return headers
}

func TestKafka(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{})
	k := kafkaDriver(c.ListenAddrs()...)
	k.Key = template.Must("$HOST")
	r := startNATS(t, k)
	r.send("first")
	r.untilSent(1)
	record := c.Read("logs", 1)[0]
	if want := "<38>1 1970-01-01T00:00:00+00:00 web1.example.com sshd - - - first"; string(record.Value) != want {
		t.Errorf("got %q, want %q", record.Value, want)
	}
	if string(record.Key) != "web1.example.com" {
		t.Errorf("key %q", record.Key)
	}
	headers := headersOf(record)
	for name, want := range map[string]string{"Syslog-Facility": "auth", "Syslog-Severity": "info", "Syslog-Host": "web1.example.com", "Syslog-Program": "sshd", kafka.KeyHeader: ""} {
		if headers[name] != want {
			t.Errorf("%s: got %q, want %q", name, headers[name], want)
		}
	}
	if id := headers["Syslog-Id"]; !strings.HasPrefix(id, messageIDs()) {
		t.Errorf("id %q does not begin with %q", id, messageIDs())
	}
	s, _ := r.Stream()
	if s.Name != "logs" || s.Cluster != "lab" || s.Leader == "" || s.Server == "" || len(s.Replicas) != 2 || s.InFlight != 0 {
		t.Errorf("status %+v", s)
	}
}

// Leaders that change, brokers that go and errors that pass neither lose nor double a record, and those of a key keep their order.
func TestKafkaFaults(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	k := kafkaDriver(c.ListenAddrs()...)
	k.Window, k.Key = 64, template.Must("$HOST")
	r := startNATS(t, k)
	const count = 3000
	go func() {
		for i := 0; i < count; i += 10 {
			r.send(texts(i, i+10)...)
			time.Sleep(time.Millisecond)
		}
	}()
	for n, breaks := range []func(){
		c.ShufflePartitionLeaders,
		func() { c.Fail(kmsg.Produce, kerr.NotLeaderForPartition, 3) },
		func() { c.Fail(kmsg.Produce, kerr.NotEnoughReplicas, 3) },
		func() { c.Fail(kmsg.Produce, kerr.RequestTimedOut, 1) },
		func() {
			if err := c.RemoveNode(c.LeaderFor("logs", 0)); err != nil {
				t.Error(err)
			}
		},
	} {
		before := uint64(n * 500)
		r.until("messages flow", func() bool { _, _, sent, _ := r.Counts(); return sent > before })
		breaks()
	}
	r.untilSent(count)
	last := -1
	for _, record := range c.Read("logs", count) {
		var n int
		if _, err := fmt.Sscanf(string(record.Value[bytes.Index(record.Value, []byte("- - - "))+6:]), "message %d", &n); err != nil {
			t.Fatal(err)
		}
		if n != last+1 {
			t.Fatalf("message %d comes after %d", n, last)
		}
		last = n
	}
}

func TestKafkaTooLarge(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{})
	long := strings.Repeat("0123456789", 1000)
	dead := filepath.Join(t.TempDir(), "dead")
	for _, test := range []struct {
		action string
		parts  int
	}{{"truncate", 1}, {"split", 3}, {"dead_letter", 0}} {
		c.MakeTopic(test.action)
		k := kafkaDriver(c.ListenAddrs()...)
		k.Topic, k.MaxMessageBytes, k.WhenTooLarge, k.DeadLetterFile = template.Must(test.action), 4<<10, test.action, dead
		r := startNATS(t, k)
		r.send(long, "short")
		r.until("all is settled", func() bool { _, dropped, sent, waiting := r.Counts(); return sent+dropped == 2 && waiting == 0 })
		const head = "<38>1 1970-01-01T00:00:00+00:00 web1.example.com sshd - - - "
		text := ""
		records := c.Read(test.action, test.parts+1)
		for i, record := range records[:test.parts] {
			rest, ok := strings.CutPrefix(string(record.Value), head)
			if !ok {
				t.Errorf("%s: part %q has no head", test.action, record.Value)
			}
			text += rest
			if got, want := headersOf(record)["Syslog-Part"], fmt.Sprintf("%d/%d", i+1, test.parts); test.action == "split" && got != want {
				t.Errorf("part %q, want %q", got, want)
			}
		}
		switch s, _ := r.Stream(); test.action {
		case "truncate":
			if !strings.HasPrefix(long, text) || len(text) < 3000 || s.Cut != 1 {
				t.Errorf("truncate: %d bytes, %d cut", len(text), s.Cut)
			}
		case "split":
			if text != long || s.Cut != 1 {
				t.Errorf("split: %d bytes, %d cut", len(text), s.Cut)
			}
		case "dead_letter":
			if b, err := os.ReadFile(dead); err != nil || !bytes.HasSuffix(b, []byte(long+"\n\n")) || r.Dropped()["dead_letter"] != 1 {
				t.Errorf("dead letters of %d bytes, %v", len(b), err)
			}
		}
		if last := records[len(records)-1]; !strings.HasSuffix(string(last.Value), "short") {
			t.Errorf("%s: the last one is %.100q", test.action, last.Value)
		}
	}
}

// What is wrong is said, nothing is lost, and when it is put right it goes on.
func TestKafkaWrong(t *testing.T) {
	t.Run("no broker", func(t *testing.T) {
		t.Parallel()
		startNATS(t, kafkaDriver("127.0.0.1:1")).untilFailure("127.0.0.1:1: unable to dial: dial tcp 127.0.0.1:1: connect: connection refused")
	})
	t.Run("no topic", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{NoTopic: true})
		r := startNATS(t, kafkaDriver(c.ListenAddrs()...))
		r.send("first")
		r.untilFailure(`topic "logs" does not exist: make it, or have the brokers make what is asked for`)
		c.MakeTopic("logs")
		r.untilSent(1)
	})
	t.Run("no topic of a template", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{NoTopic: true})
		k := kafkaDriver(c.ListenAddrs()...)
		k.Topic = template.Must("logs.$PROGRAM")
		r := startNATS(t, k)
		r.send("first")
		r.untilFailure(`topic "logs.sshd" does not exist`)
		c.MakeTopic("logs.sshd")
		r.untilSent(1)
	})
	t.Run("brokers take less", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{MaxBytes: 2000})
		r := startNATS(t, kafkaDriver(c.ListenAddrs()...))
		text := ""
		for range 150 { // compressed it is large, too
			text += rand.Text()
		}
		r.send(text)
		r.untilFailure(`topic "logs" takes no batch of that size: lower max_message_bytes, or raise max.message.bytes of the topic`)
	})
	t.Run("not allowed", func(t *testing.T) {
		t.Parallel()
		c := kafkatest.Start(t, kafkatest.Options{})
		end := c.Fail(kmsg.Produce, kerr.TopicAuthorizationFailed, -1)
		r := startNATS(t, kafkaDriver(c.ListenAddrs()...))
		r.send("first")
		r.untilFailure(`topic "logs": TOPIC_AUTHORIZATION_FAILED`)
		end()
		r.untilSent(1)
	})
}

// Brokers that all go are missed when there has been no acknowledgement for a while; what is on its way does not keep us from ending.
func TestKafkaGone(t *testing.T) {
	t.Parallel()
	c := kafkatest.Start(t, kafkatest.Options{})
	r := startNATS(t, kafkaDriver(c.ListenAddrs()...))
	r.send("first")
	r.untilSent(1)
	c.Close()
	r.send("second")
	r.untilFailure("connection refused")
	if s, _ := r.Stream(); s.InFlight != 1 || s.Lag < lagLimit.Seconds() || s.Server != "" {
		t.Errorf("status %+v", s)
	}
}

func TestKafkaSASL(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{User: "relay"})
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	for file, text := range map[string]string{good: "secret\n", bad: "guess"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, mechanism := range []string{"plain", "scram_sha_256", "scram_sha_512"} {
		for _, password := range []string{good, bad} {
			t.Run(mechanism+" "+filepath.Base(password), func(t *testing.T) {
				t.Parallel()
				k := kafkaDriver(c.ListenAddrs()...)
				k.SASL = &kafka.SASL{Mechanism: mechanism, User: "relay", PasswordFile: password}
				r := startNATS(t, k)
				r.send("first")
				if password == good {
					r.untilSent(1)
					return
				}
				r.untilFailure("a broker closed the connection while it was asked to let us in: user, password or mechanism may be wrong")
			})
		}
	}
}

// A Kafka says so itself.
func TestKafkaSASLError(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{User: "relay"})
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("guess"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Refuse()
	k := kafkaDriver(c.ListenAddrs()...)
	k.SASL = &kafka.SASL{Mechanism: "plain", User: "relay", PasswordFile: password}
	r := startNATS(t, k)
	r.untilFailure("SASL_AUTHENTICATION_FAILED")
	if strings.Contains(r.Failure(), "guess") {
		t.Errorf("%s tells the password", r.Failure())
	}
}

func TestKafkaTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	trusted := writePEM(t, filepath.Join(t.TempDir(), "ca"), "CERTIFICATE", ca.der)
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate(t))
	own, ownKey := keepPair(t, ca.issue(t, "127.0.0.2", time.Now().Add(-time.Minute)))
	for _, test := range []struct {
		name   string
		broker tls.Certificate
		verify tls.ClientAuthType
		client option.ClientTLS
		want   string // failure; empty: it works
	}{
		{"trusted", ca.issue(t, "127.0.0.1", time.Now().Add(-time.Minute)), tls.NoClientCert, option.ClientTLS{}, ""},
		{"mutual", ca.issue(t, "127.0.0.1", time.Now().Add(-time.Minute)), tls.RequireAndVerifyClientCert, option.ClientTLS{CertFile: own, KeyFile: ownKey}, ""},
		{"wrong authority", other.issue(t, "127.0.0.1", time.Now().Add(-time.Minute)), tls.NoClientCert, option.ClientTLS{}, "certificate signed by unknown authority"},
		{"expired", ca.issue(t, "127.0.0.1", time.Now().Add(-2*time.Hour)), tls.NoClientCert, option.ClientTLS{}, "certificate has expired"},
		{"no certificate of ours", ca.issue(t, "127.0.0.1", time.Now().Add(-time.Minute)), tls.RequireAndVerifyClientCert, option.ClientTLS{}, "tls: certificate required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := kafkatest.Start(t, kafkatest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{test.broker}, ClientAuth: test.verify, ClientCAs: pool}})
			k := kafkaDriver(c.ListenAddrs()...)
			test.client.CAFile = trusted
			k.TLS = &test.client
			r := startNATS(t, k)
			r.send("first")
			if test.want != "" {
				r.untilFailure(test.want)
				return
			}
			r.untilSent(1)
			if has := r.Certificate() != nil; has != (test.client.CertFile != "") {
				t.Errorf("certificate %v", r.Certificate())
			}
		})
	}
}

func TestKafkaTopic(t *testing.T) {
	k := kafkaDriver("127.0.0.1:1")
	k.Topic = template.Must("$HOST.$PROGRAM")
	for _, test := range []struct{ host, program, want string }{
		{"web1.example.com", "sshd", "web1.example.com.sshd"},
		{"a b\n", "c/d é", "a_b_.c_d___"},
		{"", "", "_"},
		{".", "", "_"},
		{strings.Repeat("a", 300), "b", strings.Repeat("a", 249)},
	} {
		m := &logmsg.Message{}
		m.Reset(&logmsg.Origin{}, syslog.Time{})
		m.Hostname, m.AppName = []byte(test.host), []byte(test.program)
		head, _, _ := strings.Cut(string(k.Format().Append(nil, m, &template.Context{})), "\n")
		if head != test.want {
			t.Errorf("%q, %q: got %q, want %q", test.host, test.program, head, test.want)
		}
	}
}

func TestKafkaInit(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		set  func(k *Kafka)
		want string
	}{
		{func(k *Kafka) { k.Brokers = nil }, `brokers: brokers are required, like ["192.0.2.1:9092"]`},
		{func(k *Kafka) { k.Brokers = []string{"kafka://h:1"} }, `brokers[0]: "kafka://h:1" is not like "192.0.2.1:9092"`},
		{func(k *Kafka) { k.Topic = nil }, `topic: the topic is required, like "logs" or "logs.$HOST"`},
		{func(k *Kafka) { k.Topic = template.Must("a b") }, `topic: "a b" has ' ': a topic has letters, digits, dots, underlines and dashes`},
		{func(k *Kafka) { k.Window = 0 }, "window: 0 is not from 1 to 65536"},
		{func(k *Kafka) { k.MaxMessageBytes = 1 }, "max_message_bytes: 1 is not from 4096 to 1073741824"},
		{func(k *Kafka) { k.SASL = &kafka.SASL{Mechanism: "plain", PasswordFile: empty} }, "sasl.user: the user is required"},
		{func(k *Kafka) { k.SASL = &kafka.SASL{Mechanism: "plain", User: "u", PasswordFile: "/nonexistent"} }, "sasl.password_file: open /nonexistent: no such file or directory"},
		{func(k *Kafka) { k.SASL = &kafka.SASL{Mechanism: "plain", User: "u", PasswordFile: empty} }, "sasl.password_file: " + empty + " has no password in its first line"},
		{func(k *Kafka) { k.WhenTooLarge = "dead_letter" }, `dead_letter_file: required for when_too_large = "dead_letter"`},
	} {
		k := kafkaDriver("127.0.0.1:1")
		test.set(k)
		if err := k.Init(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

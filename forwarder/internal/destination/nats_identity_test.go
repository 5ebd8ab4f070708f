package destination

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/jetstream"
	"kad/forwarder/internal/jetstream/natstest"
	"kad/forwarder/internal/option"
)

// natsCreate is a driver that makes its stream, so that a test needs no identity of its own.
func natsCreate(server *natstest.Server) *NATS {
	n := natsDriver(server.URL)
	n.CreateStream = &jetstream.CreateStream{Subjects: []string{"logs.>"}}
	return n
}

// keepPair writes a certificate and its key, and returns what of a server's configuration says so.
func keepPair(t *testing.T, pair tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return writePEM(t, filepath.Join(dir, "cert"), "CERTIFICATE", pair.Certificate[0]), writePEM(t, filepath.Join(dir, "key"), "PRIVATE KEY", der)
}

// A server whose certificate is not as it should be, or that does not know ours, gets nothing.
func TestNATSTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	trusted := writePEM(t, filepath.Join(t.TempDir(), "ca"), "CERTIFICATE", ca.der)
	now := time.Now().Add(-time.Minute)
	own, ownKey := keepPair(t, ca.issue(t, "127.0.0.2", now))
	foreign, foreignKey := keepPair(t, other.issue(t, "127.0.0.2", now))
	for _, test := range []struct {
		name   string
		server tls.Certificate
		verify bool // it asks for ours
		client option.ClientTLS
		want   string // failure; empty: it works
	}{
		{"trusted", ca.issue(t, "127.0.0.1", now), false, option.ClientTLS{}, ""},
		{"mutual", ca.issue(t, "127.0.0.1", now), true, option.ClientTLS{CertFile: own, KeyFile: ownKey}, ""},
		{"wrong authority", other.issue(t, "127.0.0.1", now), false, option.ClientTLS{}, "certificate signed by unknown authority"},
		{"expired", ca.issue(t, "127.0.0.1", now.Add(-2*time.Hour)), false, option.ClientTLS{}, "certificate has expired"},
		{"not yet valid", ca.issue(t, "127.0.0.1", now.Add(time.Hour)), false, option.ClientTLS{}, "is before"},
		{"wrong name", ca.issue(t, "127.0.0.9", now), false, option.ClientTLS{}, "not 127.0.0.1"},
		{"no certificate of ours", ca.issue(t, "127.0.0.1", now), true, option.ClientTLS{}, "remote error: tls: "},
		{"wrong certificate of ours", ca.issue(t, "127.0.0.1", now), true, option.ClientTLS{CertFile: foreign, KeyFile: foreignKey}, "remote error: tls: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cert, key := keepPair(t, test.server)
			server := natstest.Start(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: %t }", cert, key, trusted, test.verify))
			n := natsCreate(server)
			test.client.CAFile = trusted
			n.TLS = &test.client
			r := startNATS(t, n)
			r.send("first")
			if test.want == "" {
				r.untilSent(1)
				return
			}
			r.untilFailure(test.want)
			if _, dropped, sent, waiting := r.Counts(); dropped != 0 || sent != 0 || waiting != 1 {
				t.Errorf("dropped %d, sent %d, waiting %d", dropped, sent, waiting)
			}
		})
	}
	t.Run("a server without TLS", func(t *testing.T) {
		server := natstest.Start(t, "")
		n := natsCreate(server)
		n.TLS = &option.ClientTLS{CAFile: trusted}
		startNATS(t, n).untilFailure("secure connection not available")
	})
}

// A certificate of ours that was replaced is used when the connection is made anew.
func TestNATSRenewal(t *testing.T) {
	ca := newAuthority(t)
	trusted := writePEM(t, filepath.Join(t.TempDir(), "ca"), "CERTIFICATE", ca.der)
	cert, key := keepPair(t, ca.issue(t, "127.0.0.1", time.Now().Add(-time.Minute)))
	server := natstest.Start(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", cert, key, trusted))
	n := natsCreate(server)
	own, ownKey := keepPair(t, ca.issue(t, "127.0.0.2", time.Now().Add(-time.Minute)))
	n.TLS = &option.ClientTLS{CAFile: trusted, CertFile: own, KeyFile: ownKey}
	r := startNATS(t, n)
	r.send("first")
	r.untilSent(1)
	before := r.Certificate()
	writePEM(t, own, "CERTIFICATE", ca.issue(t, "127.0.0.2", time.Now()).Certificate[0])
	server.Kill()
	server.Restart()
	r.send("second")
	r.untilSent(2)
	if after := r.Certificate(); !after.NotAfter.After(before.NotAfter) {
		t.Errorf("the certificate ends %v, before it was %v", after.NotAfter, before.NotAfter)
	}
}

// Who we are is said by a seed or by credentials, and who is not known gets no further.
func TestNATSIdentity(t *testing.T) {
	user := natstest.NewUser(t)
	operator := natstest.NewOperator(t)
	ofUser := fmt.Sprintf("authorization { users: [{ nkey: %s }] }", user.Public)
	for _, test := range []struct {
		name, config      string
		nkey, credentials string
		want              string // failure; empty: it works
	}{
		{name: "nkey", config: ofUser, nkey: user.File(t)},
		{name: "wrong nkey", config: ofUser, nkey: natstest.NewUser(t).File(t), want: "nats: Authorization Violation"},
		{name: "no nkey", config: ofUser, want: "nats: Authorization Violation"},
		{name: "credentials", config: operator.Config, credentials: operator.Credentials(t, time.Time{})},
		{name: "expired credentials", config: operator.Config, credentials: operator.Credentials(t, time.Now().Add(-time.Minute)), want: "nats: "},
		{name: "credentials of another operator", config: operator.Config, credentials: natstest.NewOperator(t).Credentials(t, time.Time{}), want: "nats: Authorization Violation"},
		{name: "no credentials", config: operator.Config, want: "nats: Authorization Violation"},
		{name: "credentials file is gone", config: operator.Config, credentials: "/nonexistent", want: "/nonexistent: no such file or directory"},
		{name: "credentials file is none", config: operator.Config, credentials: os.DevNull, want: "nats: Authorization Violation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := natsCreate(natstest.Start(t, test.config))
			n.NKeyFile, n.CredentialsFile = test.nkey, test.credentials
			r := startNATS(t, n)
			r.send("first")
			if test.want == "" {
				r.untilSent(1)
				return
			}
			r.untilFailure(test.want)
		})
	}
}

// A server that allows too little says so, and gets nothing until it allows it.
func TestNATSPermissions(t *testing.T) {
	user := natstest.NewUser(t)
	server := natstest.Start(t, fmt.Sprintf(`authorization { users: [{ nkey: %s, permissions: { publish: ["$JS.API.>"], subscribe: [">"] } }] }`, user.Public))
	n := natsCreate(server)
	n.NKeyFile = user.File(t)
	r := startNATS(t, n)
	r.send("first")
	r.untilFailure("ermissions Violation for Publish to")
	server.Kill()
	server.Configure(fmt.Sprintf(`authorization { users: [{ nkey: %s }] }`, user.Public))
	server.Restart()
	r.untilSent(1)
}

// A server that is too old is told apart by its version, before anything is asked of it.
func TestNATSOldServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go oldServer(conn)
		}
	}()
	r := startNATS(t, natsDriver("nats://"+l.Addr().String()))
	r.untilFailure("has version 2.8.4, want at least 2.9.0")
}

// oldServer says hello and answers PING, until the client goes.
func oldServer(conn net.Conn) {
	defer conn.Close()
	fmt.Fprintf(conn, "INFO {\"server_id\":\"A\",\"version\":\"2.8.4\",\"proto\":1,\"headers\":true,\"jetstream\":true,\"max_payload\":1048576}\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "PING") {
			fmt.Fprint(conn, "PONG\r\n")
		}
	}
}

// Whatever values a subject is made of, the server takes it.
func TestNATSLegalSubjects(t *testing.T) {
	r := startNATS(t, natsCreate(natstest.Start(t, "")))
	b := r.NewBatch()
	hosts := []string{"", ".", "..", "*", ">", "a b", "a\nb", "a\r\nPUB x 1", "\x00\xff", "ünï", "$JS.API", "a>b*c", strings.Repeat("x", 70000)}
	for _, host := range hosts {
		m := natsMessage("text")
		m.Hostname, m.AppName = []byte(host), []byte(host)
		b.Add(m, true)
	}
	b.Flush(nil)
	r.untilSent(uint64(len(hosts)))
}

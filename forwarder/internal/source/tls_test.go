package source

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate for a name, as PEM.
func (a *authority) issue(name string, until time.Time) (cert, key []byte) {
	a.t.Helper()
	k := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// client is the configuration of a client with a certificate.
func (a *authority) client(until time.Time) *tls.Config {
	a.t.Helper()
	pair, err := tls.X509KeyPair(a.issue("client", until))
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true} // it is the server that is tested
}

// A tlsSource is a source that wants certificates of its authority.
type tlsSource struct {
	*authority
	*running
	addr, dir string
}

func newTLSSource(t *testing.T, set func(n *Network)) *tlsSource {
	t.Helper()
	s := &tlsSource{authority: newAuthority(t), dir: t.TempDir()}
	s.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}))
	s.install("first")
	d, addr := network(t, "network", func(n *Network) {
		n.Transport = "tls"
		n.TLS = &TLS{CertFile: s.dir + "/cert.pem", KeyFile: s.dir + "/key.pem", CAFile: s.dir + "/ca.pem"}
		if set != nil {
			set(n)
		}
	})
	s.addr, s.running = addr, run(t, d, "$MSG")
	return s
}

func (s *tlsSource) write(name string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// install gives the source a certificate for a name.
func (s *tlsSource) install(name string) {
	s.t.Helper()
	cert, key := s.issue(name, time.Now().Add(time.Hour))
	s.write("cert.pem", cert)
	s.write("key.pem", key)
}

// send sends a line and tells whether the server took the certificate, which a client of TLS 1.3 learns when it reads.
func (s *tlsSource) send(c *tls.Config, text string) error {
	conn, err := tls.Dial("tcp", s.addr, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, header+text); err != nil {
		return err
	}
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err = io.Copy(io.Discard, conn)
	return err
}

func TestTLSClients(t *testing.T) {
	later := time.Now().Add(time.Hour)
	s := newTLSSource(t, nil)
	for _, test := range []struct {
		name   string
		config *tls.Config
		ok     bool
	}{
		{"of the authority", s.client(later), true},
		{"of another authority", newAuthority(t).client(later), false},
		{"expired", s.client(time.Now().Add(-time.Minute)), false},
		{"without a certificate", &tls.Config{InsecureSkipVerify: true}, false},
		{"old protocol", &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, false},
	} {
		if err := s.send(test.config, test.name); (err == nil) != test.ok {
			t.Errorf("client %s: %v", test.name, err)
		}
	}
	plain := dial(t, "tcp", s.addr)
	_, _ = fmt.Fprintln(plain, header+"not TLS at all")
	_ = plain.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = io.Copy(io.Discard, plain)
	if got := s.wait(1); len(got) != 1 || got[0] != "of the authority" {
		t.Errorf("got %q", got)
	}
	for end := time.Now().Add(time.Minute); s.in.Counts().TLSErrors < 5 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // a client may hear of it before it is counted
	}
	s.stop()
	if c := s.in.Counts(); c.TLSErrors != 5 || c.Received != 1 || c.Connections != 0 {
		t.Errorf("counted %+v", c)
	}
}

// A client that does not go on with its handshake counts as a connection, and does not hold the source up when it stops.
func TestTLSStalled(t *testing.T) {
	s := newTLSSource(t, func(n *Network) { n.MaxConnections = 1 })
	stalled := dial(t, "tcp", s.addr)
	if _, err := stalled.Write([]byte{22, 3, 1}); err != nil {
		t.Fatal(err)
	}
	for s.in.Counts().Connections == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.send(s.client(time.Now().Add(time.Hour)), "second"); err == nil {
		t.Error("a second connection is not refused")
	}
	before := time.Now()
	s.stop()
	if took := time.Since(before); took > handshakeTimeout/2 {
		t.Errorf("it stopped after %v", took)
	}
	if c := s.in.Counts(); c.Refused != 1 || c.TLSErrors != 0 || c.Connections != 0 {
		t.Errorf("counted %+v", c)
	}
}

// A new certificate is for new connections; one that cannot be used leaves the one before.
func TestTLSReload(t *testing.T) {
	s := newTLSSource(t, nil)
	config := s.client(time.Now().Add(time.Hour))
	open, err := tls.Dial("tcp", s.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	awaitName := func(want string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			c, err := tls.Dial("tcp", s.addr, config)
			if err != nil {
				t.Fatal(err)
			}
			got := c.ConnectionState().PeerCertificates[0].Subject.CommonName
			_ = c.Close()
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the certificate is of %s, want %s", got, want)
			}
		}
	}
	awaitName("first")
	s.install("second")
	awaitName("second")
	s.write("cert.pem", []byte("nonsense"))
	time.Sleep(lookInterval + 50*time.Millisecond) // for it to be looked at
	awaitName("second")
	s.install("third")
	awaitName("third")
	if _, err := fmt.Fprintln(open, header+"over the first connection"); err != nil {
		t.Error(err)
	}
	if got := s.wait(1); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// However much comes without the end of a line: memory stays.
func TestNoNewline(t *testing.T) {
	d, addr := network(t, "network", nil)
	s := run(t, d, "$(length $MSG)")
	c := dial(t, "tcp", addr)
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 100
	for range n {
		if _, err := c.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	want := n << 20 / 65536
	if got := len(s.wait(want)); got != want {
		t.Errorf("got %d messages, want %d", got, want)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("100 MiB without a newline take %d bytes", grown)
	}
}

// A flood of connections beyond the limit is refused, and the one that was there goes on.
func TestFlood(t *testing.T) {
	d, addr := network(t, "network", func(n *Network) { n.MaxConnections = 3 })
	s := run(t, d, "$MSG")
	var kept []net.Conn
	for i := range 3 {
		c := dial(t, "tcp", addr)
		_, _ = fmt.Fprintln(c, header+"first")
		s.wait(i + 1)
		kept = append(kept, c)
	}
	const flood = 500
	for range flood {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	for _, c := range kept { // byte by byte, as a slow writer does
		for _, b := range []byte(header + "slow\n") {
			_, _ = c.Write([]byte{b})
		}
	}
	if got := s.wait(6); len(got) != 6 || got[5] != "slow" {
		t.Errorf("got %q", got)
	}
	if c := s.in.Counts(); c.Refused != flood || c.Connections != 3 {
		t.Errorf("counted %+v", c)
	}
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTCP(t *testing.T) {
	s := startSyslogNG(t)
	expect(t, "", "--tcp", s.tcp)
	_, port, _ := net.SplitHostPort(s.tcp)
	expect(t, "", "--tcp", "localhost:"+port)
	s.signal(t, syscall.SIGKILL)
	expect(t, "--tcp "+s.tcp+": connection refused", "--tcp", s.tcp)
	expect(t, "--tcp localhost: want HOST:PORT, an IPv6 address in brackets", "--tcp", "localhost")
}

// A name server that never answers must not hold kad-track up.
func TestTCPHangingDNS(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	original := net.DefaultResolver
	defer func() { net.DefaultResolver = original }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, silent.LocalAddr().String())
	}}
	begin := time.Now()
	expect(t, "no answer within 300ms", "--timeout", "300ms", "--tcp", "loghost.example:601")
	if took := time.Since(begin); took > 4*time.Second { // the resolver's own timeout is 5 s
		t.Errorf("took %v", took)
	}
}

func TestUDPListen(t *testing.T) {
	tests := []struct{ network, bound, asked, why string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1:%s", ""},
		{"udp4", "127.0.0.1:0", ":%s", ""},
		{"udp4", "127.0.0.1:0", "127.0.0.2:%s", "nobody has bound it"},
		{"udp4", "127.0.0.1:0", "0.0.0.0:%s", "nobody has bound it"},
		{"udp4", "127.0.0.1:0", "[::1]:%s", "nobody has bound it"},
		{"udp4", "0.0.0.0:0", "127.0.0.1:%s", ""},
		{"udp4", "0.0.0.0:0", "[::1]:%s", "nobody has bound it"},
		{"udp6", "[::1]:0", "[::1]:%s", ""},
		{"udp6", "[::1]:0", ":%s", ""},
		{"udp", "[::]:0", "127.0.0.1:%s", ""},
		{"udp", "[::]:0", "[::1]:%s", ""},
	}
	for _, tt := range tests {
		t.Run(tt.bound+" "+tt.asked, func(t *testing.T) {
			conn, err := net.ListenPacket(tt.network, tt.bound)
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
			asked := fmt.Sprintf(tt.asked, port)
			expect(t, tt.why, "--udp-listen", asked)
			conn.Close()
			expect(t, "nobody has bound it", "--udp-listen", asked)
		})
	}
	t.Run("a client is no listener", func(t *testing.T) {
		conn, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		expect(t, "nobody has bound it", "--udp-listen", conn.LocalAddr().String())
	})
	expect(t, `"localhost" is not an IP address`, "--udp-listen", "localhost:514")
	expect(t, "want IP:PORT or :PORT, an IPv6 address in brackets", "--udp-listen", ":syslog")
}

func TestParseLocal(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the samples are of a little-endian kernel")
	}
	tests := []struct{ in, want string }{
		{"0100007F:0202", "127.0.0.1:514"},
		{"B80D01200000000000000000010000 00:0202", ""},
		{"B80D0120000000000000000001000000:0202", "[2001:db8::1]:514"},
		{"0100007F", ""},
		{"0100:0202", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, err := parseLocal(tt.in)
		if want, _ := netip.ParseAddrPort(tt.want); got != want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %v, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestUnix(t *testing.T) {
	s := startSyslogNG(t)
	expect(t, "", "--unix", s.control)
	s.signal(t, syscall.SIGKILL)
	expect(t, "--unix "+s.control+": connection refused", "--unix", s.control)
	for _, network := range []string{"unixgram", "unixpacket"} {
		path := filepath.Join(t.TempDir(), "socket")
		fd, err := unix.Socket(unix.AF_UNIX, map[string]int{"unixgram": unix.SOCK_DGRAM, "unixpacket": unix.SOCK_SEQPACKET}[network], 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		unix.Listen(fd, 1)
		expect(t, "", "--unix", path)
		unix.Close(fd)
		expect(t, "connection refused", "--unix", path)
	}
	expect(t, "no such file or directory", "--unix", filepath.Join(s.dir, "none"))
}

func TestTLSServers(t *testing.T) {
	certificate := newCertificate(t)
	tests := []struct {
		name   string
		config *tls.Config
		why    string
	}{
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, ""},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, ""},
		{"client certificate required", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, ""},
		{"NIST P-384 only", &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}}, ""},
		{"TLS 1.1 at most", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
			"refused the TLS handshake: alert 70 (protocol_version)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Certificates = []tls.Certificate{certificate}
			l, err := tls.Listen("tcp", "127.0.0.1:0", tt.config)
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
					go func() { conn.(*tls.Conn).Handshake(); conn.Close() }()
				}
			}()
			expect(t, tt.why, "--tls", l.Addr().String())
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		expect(t, "refused the TLS handshake: alert 80 (internal_error)", "--tls", answering(t, func(conn net.Conn) {
			tls.Server(conn, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, io.EOF }}).Handshake()
		}))
	})
	t.Run("not TLS", func(t *testing.T) {
		expect(t, `does not speak TLS: it says "SSH-2.0"`, "--tls", answering(t, func(conn net.Conn) { io.WriteString(conn, "SSH-2.0-x\r\n") }))
	})
	t.Run("closes", func(t *testing.T) {
		expect(t, "closed without an answer to the TLS handshake", "--tls", answering(t, func(conn net.Conn) { conn.Read(make([]byte, 2000)) }))
	})
}

// answering returns the address of a TCP server that answers each connection.
func answering(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer(conn)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestTLSOfSyslogNG(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	certificate := newCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "cert"), "CERTIFICATE", certificate.Certificate[0])
	writePEM(t, filepath.Join(dir, "key"), "PRIVATE KEY", key)
	host, port, _ := net.SplitHostPort(address)
	s := startSyslogNG(t, fmt.Sprintf(`source tls { network(ip(%s) port(%s) transport(tls)
  tls(key-file("%[3]s/key") cert-file("%[3]s/cert") peer-verify(required-untrusted))); };
log { source(tls); destination(d); };`, host, port, dir))
	expect(t, "", "--tls", address)
	expect(t, "connected, but no answer to the TLS handshake", "--timeout", soon, "--tls", s.tcp)
	s.signal(t, syscall.SIGSTOP)
	expect(t, "connected, but no answer to the TLS handshake", "--timeout", soon, "--tls", address)
	s.signal(t, syscall.SIGKILL)
	expect(t, "connection refused", "--tls", address)
}

// newCertificate returns a certificate that its own key has signed.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "loghost"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

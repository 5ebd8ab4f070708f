package destination

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/testneed"
)

// An authority issues certificates, all for the same key.
type authority struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
	der  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, root: &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}}
	if a.der, err = x509.CreateCertificate(cryptorand.Reader, a.root, a.root, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a certificate for an address that is good for an hour after begin.
func (a *authority) issue(t *testing.T, ip string, begin time.Time) tls.Certificate {
	t.Helper()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: begin, NotAfter: begin.Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)}}
	der, err := x509.CreateCertificate(cryptorand.Reader, leaf, a.root, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

func (a *authority) certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(a.der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// resolver makes lookups of names go to dial.
func resolver(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: dial}
}

// Whatever is wrong with the primary server, the next one, which asks for a certificate of ours, gets all messages.
func TestFaultyPrimary(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	now := time.Now().Add(-time.Minute)
	for _, test := range []struct {
		name    string
		primary string
		show    *tls.Certificate // by the primary server; nil: it accepts and says nothing
		dial    func(ctx context.Context, network, address string) (net.Conn, error)
		want    string // in the primary server's error
	}{
		{name: "expired", show: new(ca.issue(t, "127.0.0.1", now.Add(-2*time.Hour))), want: "certificate has expired"},
		{name: "not yet valid", show: new(ca.issue(t, "127.0.0.1", now.Add(time.Hour))), want: "is before"},
		{name: "wrong authority", show: new(other.issue(t, "127.0.0.1", now)), want: "unknown authority"},
		{name: "wrong name", show: new(ca.issue(t, "127.0.0.9", now)), want: "not 127.0.0.1"},
		{name: "half-open handshake", want: "deadline exceeded"},
		{name: "resolver hangs", primary: "loghost.example", want: "loghost.example", dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		{name: "resolver is gone", primary: "loghost.example", want: "loghost.example", dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no resolver")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			port, dir := testneed.Port(t), t.TempDir()
			first, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
			var serving sync.WaitGroup
			defer serving.Wait()
			serving.Go(func() {
				for conn, err := first.Accept(); err == nil; conn, err = first.Accept() {
					if test.show != nil {
						_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*test.show}}).Handshake() // the client ends it
					} else {
						_, _ = io.Copy(io.Discard, conn) // until the client goes
					}
					_ = conn.Close()
				}
			})
			defer first.Close()
			clients := x509.NewCertPool()
			root, err := x509.ParseCertificate(ca.der)
			if err != nil {
				t.Fatal(err)
			}
			clients.AddCert(root)
			second, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port), &tls.Config{
				Certificates: []tls.Certificate{ca.issue(t, "127.0.0.2", now)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer second.Close()
			got := map[string]bool{}
			serving.Go(func() {
				for conn, err := second.Accept(); err == nil; conn, err = second.Accept() {
					for s := bufio.NewScanner(conn); s.Scan(); {
						got[s.Text()] = true
					}
					_ = conn.Close()
				}
			})
			if test.dial != nil {
				resolver(t, test.dial)
			}
			keyDER, err := x509.MarshalPKCS8PrivateKey(ca.key)
			if err != nil {
				t.Fatal(err)
			}
			f := startFeed(t, func(n *Network) {
				if test.primary != "" {
					n.Address = test.primary
				}
				n.Port, n.Transport, n.ConnectTimeout, n.DeadPeer = port, "tls", option.Duration(500*time.Millisecond), option.Duration(500*time.Millisecond)
				n.TLS = &TLS{ClientTLS: option.ClientTLS{CAFile: writePEM(t, filepath.Join(dir, "ca"), "CERTIFICATE", ca.der),
					CertFile: writePEM(t, filepath.Join(dir, "cert"), "CERTIFICATE", ca.issue(t, "127.0.0.8", now).Certificate[0]),
					KeyFile:  writePEM(t, filepath.Join(dir, "key"), "PRIVATE KEY", keyDER),
				}}
			})
			f.add(500)
			waitFor(t, "connection to the second server", func() bool { st, _ := f.d.Status(); return st.Connected == "127.0.0.2" })
			if st, _ := f.d.Status(); !strings.Contains(st.Errors[0], test.want) {
				t.Errorf("the error of the primary server is %q, want %q", st.Errors[0], test.want)
			}
			f.finish(t)
			first.Close()
			second.Close()
			serving.Wait()
			if len(got) != 500 {
				t.Errorf("the second server has %d messages, want 500", len(got))
			}
		})
	}
}
